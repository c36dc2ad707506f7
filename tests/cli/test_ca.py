"""The CA of `gatepass serve`: what it may vouch for, who may read it, and who comes to trust it."""

from __future__ import annotations

import dataclasses
import datetime
import http.server
import ipaddress
import os
import re
import shlex
import shutil
import ssl
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from mitmproxy import certs

from gatepass import files
from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN
from gatepass.errors import GatepassError
from gatepass.forge.hosts import Host
from gatepass.trust import authority, bundles, stores
from harness import BIN, Client, Result, Running, background, call, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gatepass.demo.standin import StandIn

GATEPASS = BIN / "gatepass"
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a CA is to lie, in a configuration folder that is not made yet."""
    return tmp_path / "config" / "gatepass" / "ca"


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


def hosts(*names: str) -> list[Host]:
    return [Host(name) for name in names]


def issue(folder: Path, ca: str, *names: str) -> tuple[str, Path]:
    """What mitmproxy would show for these names with that CA: the CA's certificate, and a chain with its key."""
    folder.mkdir(exist_ok=True)
    files.write(folder / authority.CA_FILE, ca, 0o600)
    store = certs.CertStore.from_store(folder, "mitmproxy", 2048)
    leaf = store.get_cert(names[0], [_san(name) for name in names]).cert
    chain = files.write(folder / "chain.pem", ca.partition("-----BEGIN CERTIFICATE")[0] + leaf.to_pem().decode(), 0o600)
    return bundles.combine(ca), chain


def _san(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def https(chain: Path, files: Path) -> Iterator[int]:
    """A web server with that certificate, on a loopback port."""

    def handler(*arguments: object) -> _Handler:
        return _Handler(*arguments, directory=files)  # type: ignore[arg-type]  # what socketserver passes on

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that refuse are meant
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


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
    """The CA may vouch for the hosts of the rules alone, and clients that do not know the constraint refuse it."""
    pem = authority.make([Host("github.com"), Host("localhost", 8443), Host("127.0.0.1")], DAY)
    certificate = x509.load_pem_x509_certificate(bundles.combine(pem).encode())
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert [str(name.value) for name in constraints.value.permitted_subtrees or ()] == [
        "github.com",
        "localhost",
        "127.0.0.1/32",
    ]
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= DAY + datetime.timedelta(hours=1)


@pytest.mark.parametrize(
    ("permitted", "name", "accepted"),
    [
        ("github.com", "github.com", True),
        ("github.com", "gist.github.com", True),
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
    assert second.permitted == ("a.test",)
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
        "got one for `github.com`, `127.0.0.1`, not `127.0.0.2`, `ghe.test`"
    )
    assert "`gatepass ca renew`" in str(caught.value)


# ----------------------------------------------------------------------- bundles


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
    with serve(serving, "--", "--set", "connection_strategy=eager") as (_, variables):
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


@pytest.mark.parametrize(
    ("system", "release", "expected"),
    [
        ("linux", ["debian"], "debian"),
        ("linux", ["linuxmint", "ubuntu", "debian"], "debian"),
        ("linux", ["rocky", "rhel", "centos", "fedora"], "fedora"),
        ("linux", ["alpine"], "alpine"),
        ("darwin", [], "macos"),
        ("win32", [], "windows"),
    ],
)
def test_this_machines_platform(system: str, release: list[str], expected: str) -> None:
    """The platform is known by its os-release, or its kin's."""
    assert stores.detect(system, release).name == expected


def test_an_unknown_platform() -> None:
    """A platform that is not known is told, with those that are."""
    with pytest.raises(GatepassError, match=r"expected one of the platforms debian, .*, got `linux arch`"):
        stores.detect("linux", ["arch"])


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
@pytest.mark.parametrize("code", [0, 1])
def test_fedora_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Fedora's store gets the certificate and its command is called; when that fails, the certificate is taken back."""
    made = authority.create(tmp_path / "ca", hosts("github.com"))
    platform = stores.PLATFORMS["fedora"]
    assert platform.store is not None
    assert platform.store.path == Path("/etc/pki/ca-trust/source/anchors/gatepass.pem")
    anchor = tmp_path / "gatepass.pem"
    platform = dataclasses.replace(platform, store=dataclasses.replace(platform.store, path=anchor))
    stub = tmp_path / "update-ca-trust"
    stub.write_text(f'#!/bin/sh\necho "$@" $(cat {anchor} 2>/dev/null | wc -l) >>{tmp_path}/calls\nexit {code}\n')
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    lines = made.pem.count("\n")
    if code:
        with pytest.raises(GatepassError, match="`update-ca-trust extract`: expected success, got 1"):
            stores.install(platform, made.pem)
        assert not anchor.exists()
        return
    assert stores.install(platform, made.pem) == anchor
    assert anchor.read_text() == made.pem
    assert stores.uninstall(platform) == anchor
    assert stores.uninstall(platform) is None
    assert (tmp_path / "calls").read_text() == f"extract {lines}\nextract 0\n"


@root
def test_a_missing_tool_is_told(shell: Shell) -> None:
    """Without the system's tool nothing is copied."""
    shell.ca("create")
    result = shell.ca("trust", "--platform", "fedora", "--install", PATH="/nowhere")
    assert result.code == 1
    assert "expected `update-ca-trust` on the PATH, got none" in result.output
    assert not Path("/etc/pki/ca-trust/source/anchors/gatepass.pem").exists()


@posix
def test_only_root_installs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user is told to run the commands with sudo."""
    made = authority.create(tmp_path / "ca", hosts("github.com"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(GatepassError, match="expected root") as caught:
        stores.install(stores.PLATFORMS["debian"], made.pem)
    assert caught.value.hint is not None
    assert "sudo" in caught.value.hint
