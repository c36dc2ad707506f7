"""The proxy's CA, and the bundles."""

from __future__ import annotations

import datetime
import ssl
from typing import TYPE_CHECKING

import certifi
import pytest

from gatepass.errors import GatepassError
from gatepass.forge.hosts import Host
from gatepass.trust import authority, bundles

if TYPE_CHECKING:
    from pathlib import Path

DAY = datetime.timedelta(days=1)


def test_a_bundle_holds_no_private_key() -> None:
    """What clients are given is certificates, each once."""
    pem = authority.make([Host("github.com")], DAY)
    bundle = bundles.combine(pem, pem)
    assert bundle.count("BEGIN") == 1
    assert "PRIVATE" not in bundle


def test_the_shells_own_ca_stays_trusted(tmp_path: Path) -> None:
    """The bundle holds the public roots and what SSL_CERT_FILE and REQUESTS_CA_BUNDLE name, be it a folder."""
    company, other = (bundles.combine(authority.make([Host("a.test")], DAY)) for _ in range(2))
    (tmp_path / "company.pem").write_text(company)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "other.pem").write_text(other)
    bundle = bundles.shell_bundle({"SSL_CERT_FILE": f"{tmp_path}/company.pem", "REQUESTS_CA_BUNDLE": str(folder)})
    with open(certifi.where(), encoding="ascii") as roots:  # noqa: PTH123
        public = bundles.combine(roots.read())
    assert bundle == public + company + other
    ssl.create_default_context(cadata=bundle)


def test_a_missing_bundle_is_told(tmp_path: Path) -> None:
    """A variable that names no file would leave clients without any trust: it is an error with its name."""
    with pytest.raises(GatepassError, match=r"\$SSL_CERT_FILE: expected a PEM file") as error:
        bundles.shell_bundle({"SSL_CERT_FILE": str(tmp_path / "none.pem")})
    assert error.value.hint
