"""`gatepass ca`, and the CA that `gatepass serve` uses: made, told of, renewed, and trusted by a system."""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
import shlex
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from gatepass import files
from gatepass.demo.standin import DEFAULT_TOKEN
from gatepass.trust import authority, bundles, stores
from harness import BIN, Client, Result, Running, background, call, clean_environment
from issuing import hosts, https, issue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gatepass.demo.standin import StandIn

GATEPASS = BIN / "gatepass"
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Shell:
    """A user's shell with a configuration folder of its own, beside which the rules lie."""

    home: Path
    env: Mapping[str, str]

    @property
    def folder(self) -> Path:
        return self.home / "config" / "gatepass" / "ca"

    def ca(self, *arguments: str | Path, **extra: str) -> Result:
        return call([GATEPASS, "ca", *arguments], {**self.env, **extra}, cwd=self.home)

    def rules(self, *hosts: str) -> None:
        """Let the rules name these hosts."""
        text = "version: 1\ncredentials:\n  a:\n    from: [env:A]\n"
        text += f"    hosts: [{', '.join(map(repr, hosts))}]\nrules:\n"
        text += "".join(
            f"  - match: {host}/*\n    headers: {{X-A: '{{credential}}'}}\n    credential: a\n" for host in hosts
        )
        (self.home / "rules.yaml").write_text(text)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    env = clean_environment(
        HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / "config"), GATEPASS_RULES=str(tmp_path / "rules.yaml")
    )
    shell = Shell(tmp_path, env)
    shell.rules("localhost")
    return shell


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
    assert re.search(r"permits +b\.test\n", shell.ca().output)
    assert old not in bundle.read_text()
    assert (shell.folder / authority.CERTIFICATE_FILE).read_text() in bundle.read_text()


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


@pytest.fixture
def serving(shell: Shell, github: StandIn, rules: Path) -> Shell:
    """A shell with the stand-in's rules, CA and token."""
    shutil.copy(rules, shell.home / "rules.yaml")
    env = {"SSL_CERT_FILE": str(github.ca_file), "STANDIN_TOKEN": DEFAULT_TOKEN, "GATEPASS_RULES": "rules.yaml"}
    return dataclasses.replace(shell, env={**shell.env, **env})


@contextmanager
def serve(shell: Shell, *options: str | Path) -> Iterator[tuple[Running, dict[str, str]]]:
    """`gatepass serve`, and the variables that it prints for clients."""
    with background([GATEPASS, "serve", "--listen", "127.0.0.1:0", *options], shell.env, shell.home) as running:
        running.wait_for(r"export SSL_CERT_FILE=\S+\n")
        yield running, dict(re.findall(r"^export (\w+)=(\S+)$", running.output, re.MULTILINE))


def test_serve_with_its_own_ca(serving: Shell, wheel_url: str, tmp_path: Path) -> None:
    """The first `serve` makes the CA, the next uses it: a client that was set up once gets a wheel from both."""
    told = set()
    for turn in ("first", "second"):
        with serve(serving) as (running, variables):
            client = Client(tmp_path, variables)
            result = client.uv("pip", "install", "--target", turn, f"acme-tool @ {wheel_url}")
            assert result.code == 0, result.output
            assert (tmp_path / turn / "acme_tool.py").exists()
            told.add((variables["SSL_CERT_FILE"], Path(variables["SSL_CERT_FILE"]).read_text()))
        assert "PRIVATE" not in running.output
        assert DEFAULT_TOKEN not in running.output
    ((path, _),) = told
    assert path == str(serving.folder / bundles.BUNDLE_FILE)
    assert not (serving.home / ".mitmproxy").exists()
    assert re.search(r"permits +localhost\n", serving.ca().output)


def test_serve_lets_no_foreign_names_along(serving: Shell, wheel_url: str, tmp_path: Path) -> None:
    """The stand-in's certificate names 127.0.0.1 too, and so may an upstream's: clients are shown their host alone."""
    with serve(serving, "--no-password", "--", "--set", "connection_strategy=eager") as (_, variables):
        reply = Client(tmp_path, variables).fetch(wheel_url)
        assert reply.status == 302
        address = variables["HTTPS_PROXY"].removeprefix("http://")
        host = wheel_url.split("/")[2]
        command = ["openssl", "s_client", "-proxy", address, "-connect", host, "-servername", "localhost", "-showcerts"]
        shown = call(command, clean_environment()).output
    leaf = x509.load_pem_x509_certificate(bundles.certificates(shown)[0].encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["localhost"]


def test_serve_with_a_ca_of_the_users(serving: Shell, wheel_url: str, tmp_path: Path) -> None:
    """A `confdir` of the user's keeps its CA: none is made, nothing is checked, and the bundle is written there."""
    own = tmp_path / "own"
    for option in (["--set", f"confdir={own}"], [f"--set=confdir={own}"]):
        with serve(serving, "--", *option) as (_, variables):
            assert variables["SSL_CERT_FILE"] == str(own / bundles.BUNDLE_FILE)
            assert Client(tmp_path, variables).fetch(wheel_url).status == 302
    assert not serving.folder.exists()


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


def test_serve_warns_of_the_end(shell: Shell) -> None:
    """A CA that ends soon is said at the start, with the command that renews it, and serves on."""
    shell.ca("create")
    files.write(shell.folder / authority.CA_FILE, authority.make(hosts("localhost"), 12 * DAY), 0o600)
    with serve(shell) as (running, _):
        assert re.search(r"^warning: .*: the CA expires in 11 days, on ", running.output, re.MULTILINE)
        assert "hint: `gatepass ca renew`" in running.output


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
