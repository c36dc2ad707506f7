"""The bundles: what a shell trusts already, and the proxy's CA."""

from __future__ import annotations

import base64
import datetime
import os
import ssl
import subprocess
from typing import TYPE_CHECKING

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass import files
from gatepass.errors import GatepassError
from gatepass.forge.hosts import Host
from gatepass.shell import environment
from gatepass.trust import authority, bundles, encodings
from issuing import hosts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = datetime.timedelta(days=1)


def test_a_bundle_holds_no_private_key() -> None:
    """What clients are given is certificates, each once."""
    pem = authority.make([Host("github.com")], DAY)
    bundle = bundles.combine(pem, pem)
    assert bundle.count("BEGIN") == 1
    assert "PRIVATE" not in bundle


def test_the_shells_own_ca_stays_trusted(tmp_path: Path) -> None:
    """The bundle holds what everybody trusts and what SSL_CERT_FILE and REQUESTS_CA_BUNDLE name, be it a folder."""
    company, other = (bundles.combine(authority.make([Host("a.test")], DAY)) for _ in range(2))
    (tmp_path / "company.pem").write_text(company)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "other.pem").write_text(other)
    bundle = bundles.shell_bundle({"SSL_CERT_FILE": f"{tmp_path}/company.pem", "REQUESTS_CA_BUNDLE": str(folder)})
    with open(certifi.where(), encoding="ascii") as roots:  # noqa: PTH123
        public = bundles.combine(roots.read())
    assert bundle == bundles.shell_bundle({}) + company + other
    assert bundle.startswith(public)
    ssl.create_default_context(cadata=bundle)


def test_a_missing_bundle_is_told(tmp_path: Path) -> None:
    """A variable that names no file would leave clients without any trust: it is an error with its name."""
    with pytest.raises(GatepassError, match=r"\$SSL_CERT_FILE: expected a PEM file") as error:
        bundles.shell_bundle({"SSL_CERT_FILE": str(tmp_path / "none.pem")})
    assert error.value.hint


def test_a_bundle_for_clients(tmp_path: Path) -> None:
    """The public roots, the company's CA and the proxy's, each once, and no key."""
    company, proxys = (authority.make(hosts("a.test"), DAY) for _ in range(2))
    (tmp_path / "company.pem").write_text(company)
    environ = {"SSL_CERT_FILE": str(tmp_path / "company.pem"), "REQUESTS_CA_BUNDLE": str(tmp_path / "company.pem")}
    bundle = bundles.client_bundle(environ, proxys)
    assert bundles.certificates(bundle) == bundles.certificates(bundles.shell_bundle({}), company, proxys)
    assert "PRIVATE" not in bundle
    ssl.create_default_context(cadata=bundle)


def test_a_bundle_does_not_swallow_itself(tmp_path: Path) -> None:
    """Made again in a shell that already uses it, a bundle is the same; a renewed CA goes, the company's stays."""
    company, old, new = (authority.make(hosts("a.test"), DAY) for _ in range(3))
    (tmp_path / "company.pem").write_text(company)
    path = tmp_path / "bundle.pem"
    first = bundles.client_bundle({"SSL_CERT_FILE": str(tmp_path / "company.pem")}, old)
    files.write(path, first)
    using = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(path))
    assert bundles.client_bundle(using, old) == first
    renewed = bundles.client_bundle(using, new)
    assert bundles.certificates(renewed) == bundles.certificates(bundles.shell_bundle({}), company, new)
    # a public root that was given up goes too
    given_up = bundles.certificates(authority.make(hosts("b.test"), DAY))[0]
    title, _, rest = first.partition("\n")
    files.write(path, f"{title}\n{given_up}\n{rest}")
    assert bundles.client_bundle(using, old) == first


def test_folders_of_cas(tmp_path: Path) -> None:
    """Of SSL_CERT_DIR's folders the hashed names count where there are any; what is not readable is passed over."""
    one, two, three = (authority.make(hosts("a.test"), DAY) for _ in range(3))
    for name in ("hashed", "plain", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "hashed" / "0a1b2c3d.0").write_text(one)
    (tmp_path / "hashed" / "old.pem").write_text(two)
    (tmp_path / "hashed" / "99999999.0").symlink_to("nowhere")
    (tmp_path / "plain" / "any.crt").write_text(three)
    names = os.pathsep.join(str(tmp_path / name) for name in ("hashed", "missing", "plain", "empty"))
    found = bundles.certificates(bundles.shell_bundle({"SSL_CERT_DIR": names}))
    assert found == bundles.certificates(bundles.shell_bundle({}), one, three)


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    """SSL_CERT_DIR that names nothing at all would leave clients without any trust."""
    with pytest.raises(GatepassError, match=r"\$SSL_CERT_DIR: expected folders of trusted CAs, got .*: none"):
        bundles.shell_bundle({"SSL_CERT_DIR": f"{tmp_path}/a{os.pathsep}{tmp_path}/b"})


VARIABLES = (
    *(name for name in environment.TRUST if name != "SSL_CERT_FILE"),
    *environment.EXTRA_TRUST,
    "npm_config_cafile",
    "GIT_SSL_CAPATH",
    "PERL_LWP_SSL_CA_PATH",
)


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_variable_that_is_overruled_joins(variable: str, tmp_path: Path) -> None:
    """What a client is not to read any more, because its variable gets another value, is in that value."""
    company = bundles.combine(authority.make(hosts("a.test"), DAY))
    (tmp_path / "company.pem").write_text(company)
    environ = {variable: str(tmp_path if variable.endswith("PATH") else tmp_path / "company.pem")}
    assert company in bundles.shell_bundle(environ)
    assert company in bundles.client_bundle(environ, "")


def test_one_tools_missing_bundle_stops_no_other(tmp_path: Path) -> None:
    """What only one tool reads, and cannot, is passed over: the command may be another."""
    environ = {"AWS_CA_BUNDLE": str(tmp_path / "none.pem")}
    assert bundles.shell_bundle(environ) == bundles.shell_bundle({})


def openssl(*arguments: str) -> Callable[[Path, Path], None]:
    def convert(source: Path, target: Path) -> None:
        subprocess.run(["openssl", "x509", "-in", source, "-out", target, *arguments], check=True)

    return convert


def relabel(source: Path, target: Path) -> None:
    target.write_text(source.read_text().replace("CERTIFICATE", "X509 CERTIFICATE").replace("\n", "\r\n"))


TRUSTED = {
    "der": openssl("-outform", "der"),
    "old-name": relabel,
    "trusted": openssl("-trustout", "-setalias", "the company's"),
    "trusted-for-servers": openssl("-addtrust", "serverAuth", "-addreject", "emailProtection"),
    "trusted-for-all": openssl("-addtrust", "anyExtendedKeyUsage"),
}
NOT_TRUSTED = {
    "rejected-for-servers": openssl("-addreject", "serverAuth"),
    "rejected-for-all": openssl("-addreject", "anyExtendedKeyUsage"),
    "trusted-for-mail": openssl("-addtrust", "emailProtection"),
}


@pytest.mark.parametrize("form", [*TRUSTED, *NOT_TRUSTED])
def test_forms_of_a_certificate(form: str, tmp_path: Path) -> None:
    """DER, and PEM by OpenSSL's other names, are read; a certificate that says itself it is not for servers is not."""
    company = bundles.combine(authority.make(hosts("a.test"), DAY))
    (tmp_path / "company.pem").write_text(company)
    (TRUSTED | NOT_TRUSTED)[form](tmp_path / "company.pem", tmp_path / "other")
    bundle = bundles.shell_bundle({"SSL_CERT_FILE": str(tmp_path / "other")})
    assert bundle.removeprefix(bundles.shell_bundle({})) == (company if form in TRUSTED else "")
    ssl.create_default_context(cadata=bundle)


@given(st.binary(), st.integers(0, 60))
def test_what_is_no_certificate(noise: bytes, cut: int) -> None:
    """Whatever a file holds, reading it ends, and what comes out is one certificate a block, in PEM."""
    der = ssl.PEM_cert_to_DER_cert(bundles.certificates(bundles.shell_bundle({}))[0])
    body = base64.b64encode(der[cut:] + noise)
    named = b"-----BEGIN TRUSTED CERTIFICATE-----\n" + body + b"\n-----END TRUSTED CERTIFICATE-----\n"
    for content in (noise, der[cut:] + noise, b"0\x82" + noise, named):
        for pem in encodings.certificates(encodings.text(content)):
            assert pem.count("-----BEGIN CERTIFICATE-----") == 1
            ssl.PEM_cert_to_DER_cert(pem)
