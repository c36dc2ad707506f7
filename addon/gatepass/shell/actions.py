"""What GitHub Actions' runner reads: its environment file, and its commands in a step's output. Pure.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def environment_file(variables: Mapping[str, str]) -> str:
    """What to append to $GITHUB_ENV. The delimiter is random: a value that held it could set other variables."""
    delimiter = f"gatepass_{secrets.token_hex(16)}"
    return "".join(f"{name}<<{delimiter}\n{value}\n{delimiter}\n" for name, value in variables.items())


def masks(values: Iterable[str]) -> str:
    """Commands that keep the passwords in URLs out of the job's log, where each step's environment is shown."""
    return "".join(f"::add-mask::{_escape(secret)}\n" for secret in sorted(set(_passwords(values))))


def _passwords(values: Iterable[str]) -> Iterable[str]:
    for value in values:
        try:
            password = urlsplit(value).password
        except ValueError:  # no URL
            continue
        if password:
            yield from (password, unquote(password))


def _escape(text: str) -> str:
    """A command's data as the runner unescapes it (actions/toolkit, `packages/core/src/command.ts`)."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
