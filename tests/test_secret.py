"""The type that holds a secret."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

from gatepass.secret import Secret
from gatepass.sources import Env

TOKEN = "ghp_secret"


def test_a_secret_does_not_slip_out() -> None:
    """No way of printing, formatting, copying or pickling a secret gives it away."""
    secret = Secret(TOKEN, "env:FIRST")
    assert TOKEN not in repr(secret) + str(secret) + repr([secret]) + repr({"a": secret})
    for leak in (lambda: f"{secret}", lambda: f"{secret:>40}", lambda: pickle.dumps(secret), lambda: copy.copy(secret)):
        with pytest.raises(TypeError) as error:
            leak()
        assert TOKEN not in str(error.value)
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == TOKEN


def test_a_secret_is_not_compared_by_accident() -> None:
    """Two of the same text are not equal; whether they are the same is asked for by name."""
    secret, same, other = Secret(TOKEN, "env:FIRST"), Secret(TOKEN, "env:SECOND"), Secret("ghp_other", "env:FIRST")
    assert secret != same
    assert secret != TOKEN
    assert len({secret, same}) == 2
    assert secret.is_same(same)
    assert not secret.is_same(other)


def test_a_mark() -> None:
    """What people are shown is the same for the same token; of what may be a password there is nothing."""
    one, same, other = (Secret(value, "env:X") for value in ("ghp_abc", "ghp_abc", "ghp_abd"))
    assert one.mark == same.mark != other.mark
    assert re.fullmatch(r"[0-9a-f]{8}", one.mark or "")
    assert Secret("hunter2", "env:X").mark is None


def test_a_fingerprint_needs_the_key() -> None:
    """The same secret has the same fingerprint under the same key, and another one under another."""
    secret = Secret(TOKEN, "env:FIRST")
    assert secret.fingerprint(b"a") == Secret(TOKEN, "file:/x").fingerprint(b"a")
    assert secret.fingerprint(b"a") != secret.fingerprint(b"b")
    assert len(secret.fingerprint(b"a")) == 12


def test_identity() -> None:
    """What is learnt is kept under the fingerprint, or under what tokens that follow each other share."""
    secret = Secret(TOKEN, "env:FIRST")
    assert secret.identity(b"a") == secret.fingerprint(b"a")
    first, second = (Secret(text, "github-app:1", identity="app 1") for text in ("ghs_1", "ghs_2"))
    assert first.identity(b"a") == second.identity(b"a")
    origin = (Env("FIRST"), None)
    again = Secret(TOKEN, "env:FIRST", origin).anew()
    assert again.is_same(secret)
    assert again.origin == origin
    assert again.identity(b"a") != secret.identity(b"a")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("ghp_abc", "classic token"),
        ("github_pat_abc", "fine-grained token"),
        ("gho_abc", "OAuth token"),
        ("ghs_abc", "App or Actions token"),
        ("ghu_abc", "App user token"),
        ("abc", "token"),
    ],
)
def test_kinds(value: str, kind: str) -> None:
    """A token's prefix tells its kind."""
    assert Secret(value, "env:X").kind == kind
