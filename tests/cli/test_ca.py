"""`gatepass ca`: a CA is made, told of, renewed, and trusted by a system; `serve` starts with none that is unfit."""

from __future__ import annotations

import datetime
import json
import os
import re
import shlex
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from gatepass import files
from gatepass.trust import authority, bundles, stores
from harness import GATEPASS, call, clean_environment
from issuing import Shell, hosts, https, issue, shell_at

DAY = datetime.timedelta(days=1)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return shell_at(tmp_path)


def test_many_make_it_at_once(shell: Shell) -> None:
    """Of processes that start together one makes the CA, the others use it, and nothing is left lying about."""
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: shell.ca("bundle").output, range(8)))
        fingerprints = {call.output for call in pool.map(lambda _: shell.ca("show"), range(4))}
    assert len(set(paths)) == 1, paths
    assert len(fingerprints) == 1
    assert {path.name for path in shell.folder.iterdir()} == {
        authority.CA_FILE,
        authority.CERTIFICATE_FILE,
        bundles.BUNDLE_FILE,
    }
    assert (
        bundles.certificates(Path(paths[0].strip()).read_text())[-1]
        in (shell.folder / "mitmproxy-ca-cert.pem").read_text()
    )


# ----------------------------------------------------------------------- bundles


def test_ca_bundle(shell: Shell) -> None:
    """`gatepass ca bundle` makes the CA if need be, prints the path alone, and leaves an unchanged file alone."""
    path = Path(shell.ca("bundle").output.strip())
    assert path == shell.folder / bundles.BUNDLE_FILE
    before = (path.stat().st_ino, path.stat().st_mtime_ns)  # not when it was read last
    shell.ca("bundle", SSL_CERT_FILE=str(path))
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == before
    company = shell.home / "company.pem"
    company.write_text(authority.make(hosts("a.test"), DAY))
    shell.ca("bundle", SSL_CERT_FILE=str(company))
    assert bundles.combine(company.read_text()) in path.read_text()
    assert "PRIVATE" not in path.read_text()
    other = shell.ca("bundle", "--output", "own.pem", SSL_CERT_FILE=str(path))
    assert other.output.strip() == str(shell.home / "own.pem")
    assert (shell.home / "own.pem").read_text() == path.read_text()


@pytest.mark.parametrize("output", ["none/own.pem", "/dev/null", "."])
def test_ca_bundle_nowhere(shell: Shell, output: str) -> None:
    """A place that takes no file is an error, and no device is replaced."""
    result = shell.ca("bundle", "--output", output)
    assert result.code == 1
    assert "error: --output: expected a file" in result.output
    assert "Traceback" not in result.output


# ---------------------------------------------------------------------- commands


def test_ca_shows(shell: Shell) -> None:
    """`gatepass ca` tells what the CA may do, until when, where it lies, its fingerprint, and if the rules fit."""
    result = shell.ca()
    assert result.code == 1
    assert result.output == f"error: {shell.folder}: expected a CA, got none yet\nhint: `gatepass ca create` makes it\n"
    made = shell.ca("create")
    assert made.code == 0
    shown = shell.ca()
    assert shown.code == 0, shown.output
    certificate = str(shell.folder / authority.CERTIFICATE_FILE)
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", certificate]
    fingerprint = call(command, clean_environment()).output.strip().partition("=")[2]
    for part in (r"subject +Gatepass on ", r"permits +localhost", r"valid .* 36[45] days left", str(shell.folder)):
        assert re.search(part, shown.output), part
    assert fingerprint in shown.output
    assert "each of their hosts is permitted" in shown.output
    shell.rules("localhost", "b.test")
    assert "b.test not permitted; `gatepass ca renew`" in shell.ca("show").output
    assert "PRIVATE" not in made.output + shown.output


def test_ca_create_and_renew(shell: Shell) -> None:
    """`create` refuses when there is a CA; `renew` makes one for the rules of now, and rewrites the bundle."""
    assert shell.ca("create").code == 0
    again = shell.ca("create")
    assert again.code == 1
    assert "expected no CA yet, got one" in again.output
    bundle = Path(shell.ca("bundle").output.strip())
    old = bundles.certificates((shell.folder / authority.CERTIFICATE_FILE).read_text())[0]
    (shell.home / "other.yaml").write_text((shell.home / "rules.yaml").read_text().replace("localhost", "b.test"))
    renewed = shell.ca("renew", "--rules", "other.yaml")
    assert renewed.code == 0
    assert "clients must trust the new one" in renewed.output
    assert re.search(r"permits +b\.test, gatepass\.internal\n", shell.ca().output)
    assert old not in bundle.read_text()
    assert (shell.folder / authority.CERTIFICATE_FILE).read_text() in bundle.read_text()


def test_ca_next_and_switch(shell: Shell) -> None:
    """`next` makes one beside that in use, once; `switch` puts it to use, and back; bundles have both."""
    for command in ("next", "switch"):
        assert shell.ca(command).code == 1, "there is none to take the place of"
    shell.ca("create")
    assert "expected a next CA, got none\nhint: `gatepass ca next`" in shell.ca("switch").output
    assert "expected a CA that was in use before, got none" in shell.ca("switch", "--back").output
    bundle = Path(shell.ca("bundle").output.strip())
    old = (shell.folder / authority.CERTIFICATE_FILE).read_text()
    made = shell.ca("next")
    assert made.code == 0, made.output
    assert "expected no next CA yet, got one" in shell.ca("next").output
    assert (shell.folder / authority.CERTIFICATE_FILE).read_text() == old
    new = shell.ca("export", "--next").output
    assert bundle.read_text().endswith(old + new)
    assert shell.ca("bundle", "--output", "both.pem").code == 0
    assert (shell.home / "both.pem").read_text().endswith(old + new)
    shown, told = shell.ca().output, json.loads(shell.ca("show", "--json").output)
    assert re.search(r"(?m)^next +Gatepass on .*, until \d{4}-\d\d-\d\d, SHA-256 ", shown)
    assert f"SHA-256 {told['next']}" in made.output
    assert told["previous"] is None
    switched = shell.ca("switch")
    assert switched.code == 0, switched.output
    assert (shell.folder / authority.CERTIFICATE_FILE).read_text() == new
    assert bundle.read_text().endswith(new + old)
    assert re.search(r"(?m)^previous +Gatepass on ", shell.ca().output)
    assert shell.ca("switch", "--back").code == 0
    assert (shell.folder / authority.CERTIFICATE_FILE).read_text() == old
    assert bundle.read_text().endswith(old + new)
    # a wholly new one leaves none beside it
    assert shell.ca("renew").code == 0
    assert json.loads(shell.ca("show", "--json").output)["next"] is None
    renewed = (shell.folder / authority.CERTIFICATE_FILE).read_text()
    assert bundle.read_text().endswith("proxy's own CA\n" + renewed)
    assert {path.stat().st_mode & 0o777 for path in shell.folder.glob("*ca.pem")} == {0o600}


@pytest.mark.parametrize("fault", ["uncovered", "shared", "expired"])
def test_ca_switch_to_an_unfit_one(shell: Shell, fault: str) -> None:
    """A next CA that clients would refuse, or that others could read, is not put to use."""
    shell.ca("create")
    shell.ca("next")
    if fault == "uncovered":
        shell.rules("localhost", "ghe.test")
    elif fault == "shared":
        (shell.folder / authority.NEXT_FILE).chmod(0o644)
    else:
        files.write(shell.folder / authority.NEXT_FILE, authority.make(hosts("localhost"), -DAY / 48), 0o600)
    before = (shell.folder / authority.CA_FILE).read_bytes()
    result = shell.ca("switch")
    assert result.code == 1
    told = {"uncovered": "not `ghe.test`", "shared": "expected permissions 0600, got 0644", "expired": "expired on"}
    assert told[fault] in result.output
    assert (shell.folder / authority.CA_FILE).read_bytes() == before
    assert not (shell.folder / authority.PREVIOUS_FILE).exists()


def test_one_beside_that_has_ended(shell: Shell) -> None:
    """A CA beside the one in use is trusted as long as it is valid."""
    shell.ca("create")
    shell.ca("next")
    shell.ca("switch")
    files.write(shell.folder / authority.PREVIOUS_FILE, authority.make(hosts("localhost"), -DAY / 48), 0o600)
    path = Path(shell.ca("bundle").output.strip())
    assert path.read_text().endswith("proxy's own CA\n" + (shell.folder / authority.CERTIFICATE_FILE).read_text())


def test_ca_export(shell: Shell) -> None:
    """The certificate, PEM or DER, and never the key."""
    shell.ca("create")
    pem = (shell.folder / authority.CERTIFICATE_FILE).read_text()
    assert shell.ca("export").output == shell.ca("export", "--output", "-").output == pem
    assert shell.ca("export", "--der", "--output", "ca.der").output == ""
    content = (shell.home / "ca.der").read_bytes()
    assert x509.load_der_x509_certificate(content) == x509.load_pem_x509_certificate(pem.encode())


@pytest.mark.parametrize("command", ["show", "create", "renew", "bundle"])
def test_wrong_rules(shell: Shell, command: str) -> None:
    """Rules that are not there are an error in the house's words."""
    result = shell.ca(command, "--rules", "none.yaml")
    assert result.code == 1
    assert result.output.startswith("error: ")
    assert "hint: " in result.output
    assert "Traceback" not in result.output


# ------------------------------------------------------------------------- serve


@pytest.mark.parametrize("fault", ["uncovered", "shared", "expired"])
def test_serve_refuses_an_unfit_ca(shell: Shell, fault: str) -> None:
    """A CA that clients would refuse, or that is not the user's alone, ends the start with what mends it."""
    shell.ca("create")
    if fault == "uncovered":
        shell.rules("localhost", "ghe.test")
    elif fault == "shared":
        (shell.folder / authority.CA_FILE).chmod(0o644)
    else:
        files.write(shell.folder / authority.CA_FILE, authority.make(hosts("localhost"), -DAY / 48), 0o600)
    result = call([GATEPASS, "serve", "--listen", "127.0.0.1:0"], shell.env, cwd=shell.home)
    assert result.code == 1
    told = {"uncovered": "not `ghe.test`", "shared": "expected permissions 0600, got 0644", "expired": "expired on"}
    assert told[fault] in result.output
    assert "`gatepass ca renew`" in result.output
    assert "Traceback" not in result.output
    assert "export" not in result.output


# ------------------------------------------------------------------------ stores


@pytest.mark.parametrize(
    ("name", "trusts", "removes"),
    [
        ("debian", "update-ca-certificates", "update-ca-certificates --fresh"),
        ("fedora", "update-ca-trust extract", "update-ca-trust extract"),
        ("alpine", "apk add ca-certificates", "rm /usr/local/share/ca-certificates/gatepass.crt"),
        ("macos", "security add-trusted-cert", "security delete-certificate"),
        ("windows", "certutil -user -addstore Root", "certutil -user -delstore Root"),
        ("firefox", "certutil -A", "certutil -D"),
        ("java", "keytool -importcert", "keytool -delete"),
    ],
)
def test_every_platform_is_told_both_ways(shell: Shell, name: str, trusts: str, removes: str) -> None:
    """For each platform the commands that trust the CA and those that remove it are printed, and nothing is changed."""
    shell.ca("create")
    result = shell.ca("trust", "--platform", name)
    assert result.code == 0, result.output
    trusted, _, removed = result.output.partition("# remove\n")
    assert trusts in trusted
    assert removes in removed
    assert str(shell.folder / authority.CERTIFICATE_FILE) in trusted
    assert "{" not in result.output
    if name != "windows":  # whose shell is another
        assert call(["sh", "-n", "-c", result.output], clean_environment()).output == ""


def test_the_platforms_are_all_tested() -> None:
    """The table and the test above name the same platforms, and only two stores are changed from here."""
    assert list(stores.PLATFORMS) == ["debian", "fedora", "alpine", "macos", "windows", "firefox", "java"]
    assert [name for name, platform in stores.PLATFORMS.items() if platform.store] == ["debian", "fedora"]


@pytest.mark.slow
def test_java_trusts_and_forgets(shell: Shell) -> None:
    """Java's commands work as printed, here on a store of the test's own."""
    if shutil.which("keytool") is None:
        pytest.skip("keytool is not here")
    shell.ca("create")
    lines = shell.ca("trust", "--platform", "java").output.replace("-cacerts", "-keystore store.jks").splitlines()
    added, removed = (next(line for line in lines if word in line) for word in ("-importcert", "-delete"))
    listing = ["keytool", "-list", "-keystore", "store.jks", "-storepass", "changeit"]
    for command, present in ((added, True), (removed, False)):
        result = call(shlex.split(command), shell.env, cwd=shell.home)
        assert result.code == 0, result.output
        assert ("gatepass" in call(listing, shell.env, cwd=shell.home).output) == present


root = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root may change a store")


@pytest.mark.parametrize("option", ["--install", "--uninstall"])
@pytest.mark.parametrize("name", ["alpine", "macos", "windows", "firefox", "java"])
def test_other_stores_are_not_changed(shell: Shell, name: str, option: str) -> None:
    """Only Debian's and Fedora's stores are changed from here."""
    shell.ca("create")
    result = shell.ca("trust", "--platform", name, option)
    assert result.code == 1
    assert f"expected the platform `debian` or `fedora`, got `{name}`" in result.output
    assert "hint: " in result.output


def _private_store(script: str) -> list[str]:
    """A shell script in a mount namespace of its own, where Debian's store is a copy and its hooks are none."""
    mounts = """\
        set -e
        copy=$(mktemp -d)
        mount -t tmpfs tmpfs "$copy"
        cp -a /etc/ssl/certs "$copy/certs"
        mount --bind "$copy/certs" /etc/ssl/certs
        mount -t tmpfs tmpfs /usr/local/share/ca-certificates
        mount -t tmpfs tmpfs /etc/ca-certificates/update.d
        """
    return ["unshare", "--mount", "sh", "-c", mounts + script]


@pytest.mark.slow
@root
def test_debian_trusts_and_forgets(shell: Shell, tmp_path: Path) -> None:
    """`--install` lets curl trust the CA with no variable set, `--uninstall` leaves the store as it was before."""
    if shutil.which("update-ca-certificates") is None:
        pytest.skip("update-ca-certificates is not here")
    if call(_private_store("true"), clean_environment()).code != 0:
        pytest.skip("no mount namespace can be made here")
    before = sorted(Path("/etc/ssl/certs").iterdir())
    shell.ca("create")
    _, chain = issue(tmp_path / "copy", (shell.folder / authority.CA_FILE).read_text(), "localhost")
    with https(chain, tmp_path) as port:
        script = f"""\
            fetch() {{ curl -sS -o /dev/null https://localhost:{port}/; }}
            state() {{ ls /etc/ssl/certs; sort /etc/ssl/certs/ca-certificates.crt; }}
            update-ca-certificates --fresh >/dev/null
            state >before
            if fetch; then exit 11; fi
            {GATEPASS} ca trust --platform debian --install
            fetch
            {GATEPASS} ca trust --platform debian --uninstall
            if fetch; then exit 12; fi
            state >after
            cmp before after
            {GATEPASS} ca trust --platform debian --uninstall
            """
        result = call(_private_store(script), shell.env, cwd=shell.home)
    assert result.code == 0, result.output
    assert "installed /usr/local/share/ca-certificates/gatepass.crt" in result.output
    assert "removed /usr/local/share/ca-certificates/gatepass.crt" in result.output
    assert "there was nothing to remove" in result.output
    assert sorted(Path("/etc/ssl/certs").iterdir()) == before, "the machine's own store is untouched"


@root
def test_a_missing_tool_is_told(shell: Shell) -> None:
    """Without the system's tool nothing is copied."""
    shell.ca("create")
    result = shell.ca("trust", "--platform", "fedora", "--install", PATH="/nowhere")
    assert result.code == 1
    assert "expected `update-ca-trust` on the PATH, got none" in result.output
    assert not Path("/etc/pki/ca-trust/source/anchors/gatepass.pem").exists()
