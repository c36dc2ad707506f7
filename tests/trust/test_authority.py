"""The CA: what it may vouch for, who may read it, and until when it is good."""

from __future__ import annotations

import datetime
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from gatepass import files
from gatepass.demo import package
from gatepass.errors import GatepassError
from gatepass.forge.hosts import Host
from gatepass.trust import authority, bundles
from harness import Client, call, clean_environment
from issuing import hosts, https, issue

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a CA is to lie, in a configuration folder that is not made yet."""
    return tmp_path / "config" / "gatepass" / "ca"


# --------------------------------------------------------- what it may vouch for


CLIENTS = ("curl", "wget", "python", "uv")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("permitted", [True, False], ids=["permitted", "not-permitted"])
def test_clients_obey_the_name_constraints(client: str, permitted: bool, tmp_path: Path) -> None:
    """A real client accepts what the CA says of a host that it permits, and refuses what it says of another."""
    program = {"python": sys.executable}.get(client) or shutil.which(client)
    if program is None:
        pytest.skip(f"{client} is not here")
    wheel = package.wheel("acme_tool", "1.0")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / wheel.name).write_bytes(wheel.content)
    ca, chain = issue(
        tmp_path / "ca", authority.make(hosts("localhost" if permitted else "github.com"), DAY), "localhost"
    )
    bundle = files.write(tmp_path / "bundle.pem", ca)
    variables = dict.fromkeys(("SSL_CERT_FILE", "CURL_CA_BUNDLE"), str(bundle))
    user = Client(tmp_path, variables)
    with https(chain, tmp_path / "files") as port:
        url = f"https://localhost:{port}/{wheel.name}"
        fetch = f"import urllib.request as u; u.urlopen({url!r})"
        commands = {
            "curl": [program, "-sSf", "-o", "out", url],
            "wget": [program, "-nv", "-t", "1", f"--ca-certificate={bundle}", "-O", "out", url],
            "python": [program, "-c", fetch],
            "uv": [program, "pip", "install", "-q", "--python", sys.executable, "--target", "site", url],
        }
        result = user.run(*commands[client], UV_HTTP_RETRIES="0")
    assert (result.code == 0) == permitted, result.output
    if not permitted:
        assert re.search(r"certif|constraint|issuer|tls|ssl", result.output, re.IGNORECASE), result.output


def test_a_ca_that_can_do_nothing_else() -> None:
    """The CA may vouch for the hosts of the rules and the proxy's own name alone, and clients that do not know the
    constraint refuse it.
    """
    pem = authority.make([Host("github.com"), Host("localhost", 8443), Host("127.0.0.1")], DAY)
    certificate = x509.load_pem_x509_certificate(bundles.combine(pem).encode())
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert [str(name.value) for name in constraints.value.permitted_subtrees or ()] == [
        "github.com",
        "localhost",
        "127.0.0.1/32",
        "gatepass.internal",
    ]
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= DAY + datetime.timedelta(hours=1)


@pytest.mark.parametrize(
    ("permitted", "name", "accepted"),
    [
        ("github.com", "github.com", True),
        ("github.com", "gist.github.com", True),
        ("github.com", "gatepass.internal", True),
        ("github.com", "internal", False),
        ("github.com", "notgithub.com", False),
        ("github.com", "com", False),
        ("github.com", "127.0.0.1", False),
        ("github.com", "::1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "github.com", False),
        ("127.0.0.1", "::1", False),
    ],
)
def test_openssl_and_we_agree(permitted: str, name: str, accepted: bool, tmp_path: Path) -> None:
    """OpenSSL accepts exactly what `uncovered` says is permitted; a kind of name that no rule has is excluded whole."""
    ca, chain = issue(tmp_path / "ca", authority.make(hosts(permitted), DAY), name)
    trusted = files.write(tmp_path / "trusted.pem", ca)
    command = ["openssl", "verify", "-purpose", "sslserver", "-CAfile", str(trusted), str(chain)]
    assert (call(command, clean_environment()).code == 0) == accepted
    found = authority.Authority(tmp_path, x509.load_pem_x509_certificate(ca.encode()))
    assert found.uncovered(hosts(name)) == ([] if accepted else [name])


def test_one_foreign_name_spoils_a_certificate(tmp_path: Path) -> None:
    """A certificate that names a permitted host and another is refused: `serve` lets no foreign names come along."""
    ca, chain = issue(tmp_path / "ca", authority.make(hosts("a.test"), DAY), "a.test", "b.test")
    trusted = files.write(tmp_path / "trusted.pem", ca)
    result = call(["openssl", "verify", "-CAfile", trusted, chain], clean_environment())
    assert "permitted subtree violation" in result.output


def test_it_signs_servers_alone(tmp_path: Path) -> None:
    """What the CA signs is good for TLS servers: not for mail, and no further CA comes below it."""
    ca, chain = issue(tmp_path / "ca", authority.make(hosts("a.test"), DAY), "a.test")
    trusted = files.write(tmp_path / "trusted.pem", ca)
    for purpose, code in (("sslserver", 0), ("smimesign", 2)):
        command = ["openssl", "verify", "-purpose", purpose, "-CAfile", str(trusted), str(chain)]
        assert call(command, clean_environment()).code == code
    certificate = x509.load_pem_x509_certificate(ca.encode())
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


# -------------------------------------------------------------------- the folder


@posix
def test_only_its_owner_can_read_it(folder: Path) -> None:
    """The folder is 0700 and the key file 0600 whatever the umask; the certificate alone lies beside it, without it."""
    before = os.umask(0)
    try:
        made = authority.create(folder, hosts("github.com"))
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"ca": 0o700, authority.CA_FILE: 0o600, authority.CERTIFICATE_FILE: 0o644}
    assert (folder / authority.CERTIFICATE_FILE).read_text() == made.pem
    assert "PRIVATE" not in made.pem
    assert made.certificate.not_valid_after_utc - NOW > 364 * DAY


@posix
@pytest.mark.parametrize(("name", "mode"), [("", 0o755), ("", 0o710), (authority.CA_FILE, 0o640)])
def test_wider_permissions_are_refused(folder: Path, name: str, mode: int) -> None:
    """A key that others could read is used for nothing, and the error names the command that mends it."""
    authority.create(folder, hosts("github.com"))
    path = folder / name if name else folder
    path.chmod(mode)
    good = 0o600 if name else 0o700
    with pytest.raises(GatepassError) as caught:
        authority.load(folder)
    assert caught.value.message == f"{path}: expected permissions {good:04o}, got {mode:04o}"
    assert caught.value.hint is not None
    mend = re.findall("`([^`]+)`", caught.value.hint)[0]
    assert mend == f"chmod {good:o} {shlex.quote(str(path))}"
    subprocess.run(shlex.split(mend), check=True)
    assert authority.load(folder)


@posix
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["", authority.CA_FILE])
def test_another_users_is_refused(folder: Path, name: str) -> None:
    """A folder or a key of another user may have been laid there."""
    authority.create(folder, hosts("github.com"))
    path = folder / name if name else folder
    os.chown(path, 12345, -1)
    with pytest.raises(GatepassError, match=f"{re.escape(str(path))}: expected the CA to be your own, got .*12345"):
        authority.load(folder)


@posix
def test_a_shared_folder_gets_no_key(folder: Path) -> None:
    """No key is written where others could read it."""
    folder.mkdir(parents=True, mode=0o755)
    folder.chmod(0o755)
    for make in (authority.create, authority.renew):
        with pytest.raises(GatepassError, match="expected permissions 0700, got 0755"):
            make(folder, hosts("github.com"))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content", ["", "nonsense", "certificate", "mixed"])
def test_a_broken_file_is_told(folder: Path, content: str) -> None:
    """What is no key with its certificate is an error that says how to replace it, and `renew` does."""
    made = authority.create(folder, hosts("github.com"))
    key = authority.make(hosts("github.com"), DAY).partition("-----BEGIN CERTIFICATE")[0]
    text = {"certificate": made.pem, "mixed": key + made.pem}.get(content, content)
    files.write(folder / authority.CA_FILE, text, 0o600)
    with pytest.raises(GatepassError, match="expected a private key and its certificate") as caught:
        authority.load(folder)
    assert "PRIVATE" not in str(caught.value)
    assert "gatepass ca renew" in str(caught.value)
    authority.renew(folder, hosts("github.com"))
    assert authority.load(folder)


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    """Where no folder can be made, the error names the place and a way around."""
    (tmp_path / "gatepass").write_text("")
    with pytest.raises(GatepassError, match="expected a folder for the CA") as caught:
        authority.obtain(tmp_path / "gatepass" / "ca", hosts("github.com"))
    assert "confdir" in str(caught.value)


def test_there_is_one_ca(folder: Path) -> None:
    """`create` replaces nothing, `obtain` makes one only where there is none, `renew` makes another."""
    assert authority.load(folder) is None
    first = authority.obtain(folder, hosts("github.com"))
    assert authority.obtain(folder, hosts("a.test")) == first
    with pytest.raises(GatepassError, match="expected no CA yet, got one"):
        authority.create(folder, hosts("github.com"))
    second = authority.renew(folder, hosts("a.test"))
    assert second.permitted == ("a.test", "gatepass.internal")
    assert second.certificate.public_key() != first.certificate.public_key()
    assert (folder / authority.CERTIFICATE_FILE).read_text() == second.pem


def test_the_certificate_follows_the_key(folder: Path) -> None:
    """A certificate file that is missing or another's is written anew."""
    made = authority.create(folder, hosts("github.com"))
    certificate = folder / authority.CERTIFICATE_FILE
    certificate.unlink()
    for _ in range(2):
        assert authority.load(folder) == made
        assert certificate.read_text() == made.pem
        certificate.write_text("another's")


def test_threads_make_and_renew_at_once(folder: Path) -> None:
    """Whatever the order, key and certificate end up as one pair."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: authority.obtain(folder, hosts("github.com")), range(8)))
        assert len({found.fingerprint for found in made}) == 1
        list(pool.map(lambda _: authority.renew(folder, hosts("github.com")), range(8)))
    text = (folder / authority.CA_FILE).read_text()
    assert bundles.combine(text) == (folder / authority.CERTIFICATE_FILE).read_text()
    assert len(list(folder.iterdir())) == 2


# --------------------------------------------------------------------- judgement


def test_expiry(folder: Path) -> None:
    """Nothing is said until 30 days before the end, then a warning, and at the end an error; both name the command."""
    made = authority.create(folder, hosts("github.com"))
    end = made.certificate.not_valid_after_utc
    rules = hosts("github.com")
    assert made.judge(rules, end - 31 * DAY) is None
    warning = made.judge(rules, end - 29 * DAY)
    assert warning is not None
    assert f"the CA expires in 29 days, on {end:%Y-%m-%d}" in warning
    assert "`gatepass ca renew`" in warning
    with pytest.raises(GatepassError, match="got one that expired") as caught:
        made.judge(rules, end + DAY)
    assert "`gatepass ca renew`" in str(caught.value)


def test_new_hosts_need_a_new_ca(folder: Path) -> None:
    """A rule's host that the CA does not permit is an error; a subdomain, and a port, need no other CA."""
    made = authority.create(folder, hosts("github.com", "127.0.0.1"))
    assert made.judge([Host("github.com", 8443), Host("api.github.com"), Host("127.0.0.1", 1)], NOW) is None
    with pytest.raises(GatepassError) as caught:
        made.judge(hosts("github.com", "ghe.test", "127.0.0.2"), NOW)
    assert caught.value.message == (
        f"{folder}: expected a CA for every host that a rule names, "
        "got one for `github.com`, `127.0.0.1`, `gatepass.internal`, not `127.0.0.2`, `ghe.test`"
    )
    assert "`gatepass ca renew`" in str(caught.value)
