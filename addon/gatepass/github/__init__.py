"""The one client of a forge, and what its answers mean. All network I/O to API, web and asset hosts is here.

Knows no flow, no rule and no cache; a secret is given to it, and it gives it to the forge's API alone.
"""
