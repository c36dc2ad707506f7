"""Secrets, and where they come from."""

from __future__ import annotations

import copy
import pickle

import pytest

from gatepass.credentials import Credentials, Secret
from gatepass.forges import Host
from gatepass.problems import Unresolvable
from gatepass.rules import Credential

CREDENTIAL = Credential("github", ("env:FIRST", "env:SECOND"), frozenset({Host("github.com")}))
TOKEN = "ghp_secret"


def test_a_secret_does_not_slip_out() -> None:
    """No way of printing, formatting, copying or pickling a secret gives it away."""
    secret = Secret(TOKEN, "env:FIRST")
    assert TOKEN not in repr(secret) + str(secret) + repr([secret]) + repr({"a": secret})
    for leak in (lambda: f"{secret}", lambda: f"{secret:>40}", lambda: pickle.dumps(secret), lambda: copy.copy(secret)):
        with pytest.raises(TypeError) as error:
            leak()
        assert TOKEN not in str(error.value)
    assert secret != Secret(TOKEN, "env:FIRST")
    assert secret.reveal() == TOKEN


def test_the_first_source_that_yields() -> None:
    """Sources are tried in order; an empty one yields nothing; a line end around the value is not part of it."""
    assert Credentials({"FIRST": "a", "SECOND": "b"}).secret(CREDENTIAL).reveal() == "a"
    secret = Credentials({"FIRST": " ", "SECOND": "b\n"}).secret(CREDENTIAL)
    assert (secret.reveal(), secret.source) == ("b", "env:SECOND")


def test_no_credential() -> None:
    """When no source yields, the problem names the ones that were tried."""
    with pytest.raises(Unresolvable) as error:
        Credentials({}).secret(CREDENTIAL)
    assert error.value.problem.kind == "no-credential"
    assert "`env:FIRST`, `env:SECOND`" in error.value.problem.detail


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\x00b", "tökén", "a\x7f", "a\tb"])
def test_what_no_header_may_hold(value: str) -> None:
    """A secret that could end its header is refused, and not shown."""
    with pytest.raises(Unresolvable) as error:
        Credentials({"FIRST": value}).secret(CREDENTIAL)
    assert error.value.problem.kind == "unusable-secret"
    assert value not in str(error.value)


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
