"""Every source of secrets behind the real proxy: the client gets its file, and the secret goes to the API alone."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from gatepass.demo import package
from gatepass.demo.standin import App, Asset, Fault, Installation, Release, Repository, StandIn, Token
from gatepass.explain import account
from gatepass.secret import Secret
from harness import SCRIPT, Client, Proxy, background, clean_environment, eventually, mitmdump, need, strays

if TYPE_CHECKING:
    from collections.abc import Iterator


WHEEL = package.wheel("acme_tool", "1.0")
CONTENT = b"what is in the asset"

# Each source has a credential, a repository and a token of its own, so that none can answer for another.
COMMAND = "{{command: ['{python}', -c, \"print(open('{home}/FILE').read())\"]}}"
SOURCES = {
    "env": "env:MY_TOKEN",
    "file": "file:{home}/token",
    "systemd": "systemd:handed-over",
    "exposed": "file:{home}/exposed",
    "rotated": "file:{home}/rotated",
    "command": COMMAND.replace("FILE", "printed"),
    "revoked": COMMAND.replace("FILE", "revoked"),
    "gh": "gh",
    "git": "git",
    "netrc": "netrc",
    "keyring": "keyring:team/github/me",
    "default": "default",
}
CHANGING = ("exposed", "rotated", "revoked")
# Classic tokens in form, so that scanners would know them in a log.
TOKENS = {kind: f"ghp_{kind.title():0<36}" for kind in SOURCES}
TOKENS["default"] = TOKENS["gh"]  # there is no variable, so it is gh's


def rules_for(github: StandIn, home: Path, app: App) -> str:
    """Rules of a GitHub Enterprise Server of which only the host is said, with a credential a source."""
    lines = ["version: 1", "forges:", f"  - web: {github.web}", "credentials:"]
    sources = {kind: text.format(home=home, python=sys.executable) for kind, text in SOURCES.items()}
    sources["app"] = f"{{github-app: {{id: {app.client_id}, key: 'file:{home}/app.pem'}}}}"
    for kind, source in sources.items():
        lines.append(f'  {kind}: {{from: [{source}], hosts: ["{github.web}"]}}')
    lines.append("rules:")
    for kind in sources:
        pattern = f"{github.web}/acme/{kind}-*/releases/download/*"
        lines.append(f"  - {{match: '{pattern}', resolve: github-release, credential: {kind}}}")
    pattern = f"{github.web}/*/releases/download/*"
    lines.append(f"  - {{match: '{pattern}', resolve: github-release, when: always, credential: [app, file, env]}}")
    lines.append("cache: {missing: 0}  # what one test's token is refused for is no other's business")
    return "\n".join(lines)


@dataclass
class Desk:
    """A developer's machine with a secret in every place where people keep one, and the proxy on it."""

    home: Path
    app: App
    app_key: str
    proxy: Proxy
    flows: Path

    @property
    def secrets(self) -> list[str]:
        return [*TOKENS.values(), *self.app_key.split("\n")[1:-2]]


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


@pytest.fixture(scope="module")
def _desk(_standin: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    home = tmp_path_factory.mktemp("home")
    web = _standin.web
    key = rsa.generate_private_key(65537, 2048)
    pem = serialization.Encoding.PEM
    app_key = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    app = App(public, installations=[Installation("acme")])
    write(home / "app.pem", app_key)
    for name, kind in (
        ("token", "file"),
        ("printed", "command"),
        ("handed-over", "systemd"),
        *((kind, kind) for kind in CHANGING),
    ):
        write(home / name, f"{TOKENS[kind]}\n")
    write(home / "store", f"https://me:{TOKENS['git']}@{web}\n")
    write(home / ".gitconfig", f"[credential]\n\thelper = store --file {home}/store\n")
    write(home / ".netrc", f"machine localhost\n\tlogin me\n\tpassword {TOKENS['netrc']}\n")
    (home / "gh").mkdir()
    write(home / "gh" / "hosts.yml", f'"{web}":\n  user: me\n  oauth_token: {TOKENS["gh"]}\n')
    extra = {
        "HOME": str(home),
        "MY_TOKEN": TOKENS["env"],
        "GH_CONFIG_DIR": str(home / "gh"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring",
        "XDG_DATA_HOME": str(home / "data"),
        "CREDENTIALS_DIRECTORY": str(home),
    }
    # by the keyring's own command, as people do
    set_entry = [sys.executable, "-m", "keyring", "set", "team/github", "me"]
    subprocess.run(set_entry, env=clean_environment(**extra), input=TOKENS["keyring"].encode(), check=True)
    rules = home / "rules.yaml"
    rules.write_text(rules_for(_standin, home, app))
    flows = home / "flows"
    options = ("-w", flows, "-v", "--flow-detail", "4", "--set", "termlog_verbosity=debug")
    with mitmdump(home, rules, _standin.ca_file, *options, script=SCRIPT, **extra) as proxy:
        desk = Desk(home, app, app_key, proxy, flows)
        yield desk
    shown = proxy.log
    with flows.open("rb") as file:
        shown += str([flow.get_state() for flow in FlowReader(file).stream() if isinstance(flow, HTTPFlow)])
    assert "gatepass: " in shown
    for secret in desk.secrets:
        assert secret not in shown
    assert "ghs_" not in shown, "a token of the App's is shown"
    assert "eyJ" not in shown.replace("jwt=eyJ", ""), "a JWT is shown"
    assert "Traceback" not in proxy.log, proxy.log


@pytest.fixture
def desk(_desk: Desk, github: StandIn) -> Iterator[Desk]:
    """The desk, and a stand-in that knows the token of each source; in the end it has seen them at the API alone."""
    github.tokens[:] = [Token(token, repositories=set()) for token in dict.fromkeys(TOKENS.values())]
    github.apps[:] = [_desk.app]
    yield _desk
    for secret in _desk.secrets:
        assert strays(github, secret) == []
    for call in github.calls():
        if "ghs_" in str(call.headers) or "eyJ" in call.headers.get("authorization", ""):
            assert call.role == "api"


@pytest.fixture
def client(desk: Desk, tmp_path: Path) -> Client:
    return Client(tmp_path, desk.proxy.variables())


_used: set[str] = set()


def published(github: StandIn, prefix: str, owner: str = "acme") -> tuple[Repository, str]:
    """A new private repository whose name begins so, and the URL of its asset."""
    name = f"{prefix}-{len(_used)}"
    _used.add(name)
    assets = [Asset("tool.bin", CONTENT), Asset(WHEEL.name, WHEEL.content)]
    repository = Repository(owner, name, releases=[Release("v1.0", assets)])
    github.repositories.append(repository)
    return repository, github.download_url(repository.full_name, "v1.0", "tool.bin")


def token_of(github: StandIn, kind: str) -> Token:
    return next(token for token in github.tokens if token.value == TOKENS[kind])


# ------------------------------------------------------------------ each source


@pytest.mark.parametrize("kind", [*(kind for kind in SOURCES if kind not in CHANGING), "app"])
def test_source(desk: Desk, github: StandIn, client: Client, kind: str) -> None:
    """A private asset reaches a client by the credential of that source, and by no other; a range does as well."""
    if program := {"default": "gh", "gh": "gh", "git": "git"}.get(kind):
        need(program)
    repository, url = published(github, kind)
    if kind != "app":
        token_of(github, kind).repositories = {repository.full_name}
    assert client.fetch(url, "-L").body == CONTENT
    assert client.fetch(url, "-r", "0-3").body == CONTENT[:4]
    assert client.fetch(url, "-I").status == 200
    told = {call.headers["authorization"].removeprefix("Bearer ")[:3] for call in github.calls("api")}
    assert told == ({"eyJ", "ghs"} if kind == "app" else {"ghp"})
    assert desk.proxy.running.process.poll() is None


def test_uv_with_an_app(github: StandIn, client: Client) -> None:
    """`uv pip install` of a private wheel costs the App two calls more, once."""
    repository, url = published(github, "app")
    url = url.replace("tool.bin", WHEEL.name)
    result = client.uv("pip", "install", "--target", "site", f"acme-tool @ {url}")
    assert result.code == 0, result.output
    paths = [
        f"{call.method} {call.path.removeprefix(f'/repos/{repository.full_name}')}" for call in github.calls("api")
    ]
    made = [path for path in paths if path.startswith("POST")]
    assert len(made) == 1
    assert len([path for path in paths if path == "GET /installation"]) <= 1
    body = next(json.loads(call.body) for call in github.calls("api", "POST"))
    assert body == {"permissions": {"contents": "read"}, "repositories": [repository.name]}


def test_the_log_tells_a_secret_by_its_fingerprint(desk: Desk, github: StandIn, client: Client) -> None:
    """The log says once which source answered, and of what it gave the fingerprint that `check` and `explain` tell."""
    for _ in range(2):
        repository, url = published(github, "env")
        token_of(github, "env").repositories = {repository.full_name}
        assert client.fetch(url, "-L").body == CONTENT
    told = re.findall(r"gatepass: credential `env` from env:MY_TOKEN: classic token, fingerprint (\S+)", desk.proxy.log)
    assert len(told) == 1
    assert re.fullmatch(r"[0-9a-f]{8}", told[0])
    assert not Secret(TOKENS["env"], "").fingerprint(b"").startswith(told[0])
    assert told[0] == account.fingerprint(Secret(TOKENS["env"], ""))


# -------------------------------------------------------- rotated and revoked


def test_rotated_in_mid_flight(desk: Desk, github: StandIn, client: Client) -> None:
    """A secret that is replaced while a request with the old one is under way: the client gets its file."""
    repository, url = published(github, "rotated")
    new = Token("ghp_RotatedRotatedRotatedRotatedRotated00", repositories={repository.full_name})
    github.faults.append(Fault("api", "/releases/tags/", hang=1.5, status=401, body=b'{"message": "Bad credentials"}'))
    body = client.home / "body"
    with background(["curl", "-sSL", "-o", body, url], client.env, client.home) as curl:
        eventually(lambda: github.calls("api"))
        github.tokens[:] = [new]
        write(desk.home / "new", new.value)
        (desk.home / "new").rename(desk.home / "rotated")
        assert curl.process.wait(30) == 0, curl.output
    assert body.read_bytes() == CONTENT
    told = [call.headers["authorization"].removeprefix("Bearer ") for call in github.calls("api")]
    assert (told[0], told[-1]) == (TOKENS["rotated"], new.value)


def test_revoked(github: StandIn, client: Client) -> None:
    """A token that was revoked is told as a bad one, with the source that it came from; it is tried once."""
    repository, url = published(github, "revoked")
    token_of(github, "revoked").repositories = {repository.full_name}
    assert client.fetch(url, "-L").body == CONTENT
    github.tokens[:] = []
    _, url = published(github, "revoked")
    github.forget()
    refused = client.fetch(url)
    assert refused.status == 401
    told = json.loads(refused.body)
    assert told["type"] == "urn:gatepass:problem:bad-credential"
    assert told["credential-source"] == f"command:{sys.executable}"
    assert len(github.calls("api")) == 1


def test_opened_to_others(desk: Desk, github: StandIn, client: Client) -> None:
    """A file that others may read is refused with what to do, and nothing is asked of the API."""
    _, url = published(github, "exposed")
    (desk.home / "exposed").chmod(0o644)
    refused = client.fetch(url)
    assert refused.status == 401
    told = json.loads(refused.body)
    assert told["type"] == "urn:gatepass:problem:exposed-secret"
    assert f"chmod 600 {desk.home}/exposed" in told["hint"]
    assert github.calls("api") == []


# ------------------------------------------------------------ several of them


def authorised(github: StandIn, repository: Repository) -> list[str]:
    """Who asked the API for the repository's release, and with what success."""
    return [
        f"{call.headers['authorization'].removeprefix('Bearer ')[:12]} {call.status}"
        for call in github.calls("api")
        if f"/{repository.name}/releases/" in call.path
    ]


FILE, ENV = (f"{TOKENS[kind][:12]}" for kind in ("file", "env"))


def test_by_owner(github: StandIn, client: Client) -> None:
    """Of several credentials that is used which may see the repository, and it is remembered for the next request."""
    mine, url = published(github, "one", "initech")
    token_of(github, "env").repositories = {mine.full_name}
    assert client.fetch(url, "-L").body == CONTENT
    assert authorised(github, mine)[:2] == [f"{FILE} 404", f"{ENV} 200"]
    mine.releases.append(Release("v2.0", [Asset("tool.bin", CONTENT)]))
    github.forget()
    assert client.fetch(url.replace("v1.0", "v2.0"), "-L").body == CONTENT
    assert {call.split(" ")[0] for call in authorised(github, mine)} == {ENV}
    assert "installation" not in str([call.path for call in github.calls("api")])


def test_the_first_that_may(github: StandIn, client: Client) -> None:
    """The first credential is used where it may: the others are not asked."""
    ours, url = published(github, "two")
    assert client.fetch(url, "-L").body == CONTENT
    assert all(call.startswith("ghs_") for call in authorised(github, ours))


@pytest.mark.parametrize("refused", ["401", "403", "404"])
def test_whatever_it_is_refused_with(github: StandIn, client: Client, refused: str) -> None:
    """A bad token, a forbidden one and one that sees nothing give way to the next; what is amiss is in the log once."""
    mine, url = published(github, f"three-{refused}", "initech")
    token_of(github, "env").repositories = {mine.full_name}
    file = token_of(github, "file")
    if refused == "401":
        github.tokens.remove(file)
    elif refused == "403":
        file.repositories, file.ip_allowed = {mine.full_name}, False
    assert client.fetch(url, "-L").body == CONTENT
    assert authorised(github, mine)[:2] == [f"{FILE} {refused}", f"{ENV} 200"]


def test_the_one_that_could_may_no_more(github: StandIn, client: Client) -> None:
    """What is remembered is no law: when that credential is refused the others have their turn."""
    mine, url = published(github, "four", "initech")
    token_of(github, "env").repositories = {mine.full_name}
    assert client.fetch(url, "-L").body == CONTENT
    token_of(github, "env").repositories = set()
    token_of(github, "file").repositories = {mine.full_name}
    mine.releases.append(Release("v2.0", [Asset("tool.bin", CONTENT)]))
    assert client.fetch(url.replace("v1.0", "v2.0"), "-L").body == CONTENT
    mine.releases.append(Release("v3.0", [Asset("tool.bin", CONTENT)]))
    github.forget()
    assert client.fetch(url.replace("v1.0", "v3.0"), "-L").body == CONTENT
    assert {call.split(" ")[0] for call in authorised(github, mine)} == {FILE}


def test_none_may(github: StandIn, client: Client) -> None:
    """When no credential helps, all of them are named, with what each was told."""
    _, url = published(github, "five", "initech")
    refused = client.fetch(url)
    told = json.loads(refused.body)
    assert refused.status == 404
    assert told["credentials"] == ["app", "file", "env"]
    for name in ("app", "file", "env"):
        assert f"`{name}`" in told["detail"]


def test_the_one_that_sees_the_repository_tells_most(github: StandIn, client: Client) -> None:
    """A tag that is not there is told by the credential that sees the repository, and an asset that is not at once."""
    mine, url = published(github, "six", "initech")
    token_of(github, "env").repositories = {mine.full_name}
    told = json.loads(client.fetch(url.replace("v1.0", "v1.O")).body)
    assert told["type"] == "urn:gatepass:problem:tag-not-found"
    assert told["candidates"] == ["v1.0"]
    told = json.loads(client.fetch(url.replace("tool.bin", "tool.bim")).body)
    assert told["type"] == "urn:gatepass:problem:asset-not-found"


# -------------------------------------------------------------- under way


def command_lines() -> str:
    """The arguments of every process, which every user of the machine may see."""
    shown = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            shown.append(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    assert any("inject.py" in line for line in shown)
    return "\n".join(shown)


def test_no_argument_is_a_secret(desk: Desk, github: StandIn, client: Client) -> None:
    """While a program is asked for a secret, and after, none of it is among the arguments of any process."""
    repository, url = published(github, "keyring")
    token_of(github, "keyring").repositories = {repository.full_name}
    github.faults.append(Fault("api", hang=0.5))
    with background(["curl", "-sSL", "-o", "/dev/null", url], client.env, client.home) as curl:
        while curl.process.poll() is None:
            shown = command_lines()
            assert not [secret for secret in desk.secrets if secret in shown]
