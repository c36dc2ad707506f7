"""`python -m gatepass`."""

from gatepass.cli import main

main()
