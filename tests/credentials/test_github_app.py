"""Tokens of a GitHub App: made, narrowed, renewed; against the stand-in, which verifies each JWT."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization

from gatepass.assets.resolver import Resolver
from gatepass.credentials import store
from gatepass.credentials.store import Credentials
from gatepass.decision import Resolve
from gatepass.demo.standin import App, Asset, Fault, Installation, Release, Repository, StandIn
from gatepass.forge.hosts import Forge, Host
from gatepass.forge.urls import AssetRef
from gatepass.forge.urls import Repository as Name
from gatepass.github.client import GitHub
from gatepass.problems.problem import Problem, Unresolvable
from gatepass.rules.model import Credential, ResolveRelease, Rule
from gatepass.rules.parser import parse
from gatepass.rules.values import Pattern
from gatepass.secret import Audience, Secret
from gatepass.sources import Env, File, GitHubApp, Systemd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import rsa

    from gatepass.assets.source import Source

RULES = """\
version: 1
credentials: {{unused: {{from: [env:X], hosts: [github.com]}}}}
rules: [{{match: github.com/*, resolve: github-release, credential: unused}}]
"""


@dataclass
class Client:
    """Who has the App's private key, and asks the stand-in; both have the same clock."""

    github: StandIn
    api: GitHub
    source: GitHubApp
    environ: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    now: float = 0
    credentials: Credentials = field(init=False)
    resolver: Resolver = field(init=False)

    def __post_init__(self) -> None:
        self.now = self.github.clock()
        self.github.clock = self.clock
        self.credentials = Credentials(self.environ, self.api, self.clock, self.notices.append)
        self.resolver = Resolver(self.credentials, self.api, parse(RULES.format()), self.clock)

    def clock(self) -> float:
        return self.now

    @property
    def forge(self) -> Forge:
        return Forge(Host.parse(self.github.web), self.github.api)

    async def secret(self, repository: str | None = "acme/tool", source: GitHubApp | None = None) -> Secret:
        credential = Credential("ours", (source or self.source,), frozenset())
        name = Name(*repository.split("/")) if repository else None
        return await self.credentials.secret(credential, Audience(self.forge.api_host, self.forge, name))

    async def for_api(self, wanted: dict[str, str], repository: str | None = "acme/tool", **source: object) -> Secret:
        """A secret for a rule of the API with these permissions."""
        credential = Credential("ours", (replace(self.source, **source),), frozenset())  # type: ignore[arg-type]
        name = Name(*repository.split("/")) if repository else None
        audience = Audience(self.forge.api_host, self.forge, name, tuple(sorted(wanted.items())))
        return await self.credentials.secret(credential, audience)

    async def problem(self, repository: str | None = "acme/tool", source: GitHubApp | None = None) -> Problem:
        with pytest.raises(Unresolvable) as caught:
            await self.secret(repository, source)
        assert "PRIVATE KEY" not in str(caught.value)
        return caught.value.problem

    async def resolve(self, repository: str = "acme/tool", tag: str = "v1.0", *others: Credential) -> Source:
        credentials = (Credential("ours", (self.source,), frozenset()), *others)
        rule = Rule("", Pattern(self.forge.web, "/*"), ResolveRelease(self.forge), credentials)
        ref = AssetRef(Name(*repository.split("/")), tag, "tool.bin")
        source = await self.resolver.resolve(Resolve(rule, self.forge, False, credentials, ref))
        assert source is not None
        return source

    def calls(self, *parts: str) -> list[str]:
        """What the API was asked for, of paths with one of these parts in them."""
        return [
            f"{call.method} {call.path}"
            for call in self.github.calls("api")
            if not parts or any(part in call.path for part in parts)
        ]

    @property
    def made(self) -> list[object]:
        """What tokens were asked for."""
        return [json.loads(call.body) for call in self.github.calls("api", "POST") if call.body]


@pytest.fixture
async def client(github: StandIn, app: App, app_key_file: Path) -> AsyncIterator[Client]:
    github.repositories += [
        Repository("acme", name, releases=[Release("v1.0", [Asset("tool.bin", b"tool")])]) for name in ("tool", "lib")
    ]
    api = GitHub(ssl.create_default_context(cafile=github.ca_file))
    client = Client(github, api, GitHubApp(app.client_id, File(str(app_key_file))))
    yield client
    client.credentials.close()
    await api.close()


def sees(client: Client, secret: Secret) -> set[str]:
    """The private repositories that the token may read."""
    token = next(token for token in client.github.tokens if token.value == secret.reveal())
    return {each.full_name for each in client.github.repositories if each.private and token.sees(each)}


# ----------------------------------------------------------------------- made


async def test_a_token_for_one_repository(client: Client, app: App) -> None:
    """The installation is found from the repository; the token may read the contents of this one, and nothing else."""
    secret = await client.secret()
    assert secret.reveal().startswith("ghs_")
    assert secret.source == f"github-app:{app.client_id}"
    assert client.made == [{"permissions": {"contents": "read"}, "repositories": ["tool"]}]
    assert sees(client, secret) == {"acme/tool"}
    assert client.calls() == [
        "GET /repos/acme/tool/installation",
        f"POST /app/installations/{app.installations[0].id}/access_tokens",
    ]


@pytest.mark.parametrize("by", ["client id", "number"])
async def test_by_id(client: Client, app: App, app_key_file: Path, by: str) -> None:
    """The App is named by its client id or by its number."""
    identity = app.client_id if by == "client id" else str(app.id)
    assert await client.secret(source=GitHubApp(identity, File(str(app_key_file))))


async def test_a_key_in_a_variable(client: Client, app: App, app_key: rsa.RSAPrivateKey) -> None:
    """The key may stand in a variable: in either form of PEM, with line ends or with `\\n` for them."""
    pem = serialization.Encoding.PEM
    for form in (serialization.PrivateFormat.TraditionalOpenSSL, serialization.PrivateFormat.PKCS8):
        text = app_key.private_bytes(pem, form, serialization.NoEncryption()).decode()
        for value in (text, text.replace("\n", "\\n")):
            name = f"KEY_{len(client.environ)}"
            client.environ[name] = value
            assert await client.secret(source=GitHubApp(app.client_id, Env(name)))


async def test_a_key_that_systemd_hands_over(client: Client, app: App, app_key_file: Path) -> None:
    """The private key may be a credential of the unit's; where there is none, that is what is told."""
    source = GitHubApp(app.client_id, Systemd(app_key_file.name))
    problem = await client.problem(source=source)
    assert f"has no private key: `systemd:{app_key_file.name}` is not to be had" in problem.detail
    client.environ["CREDENTIALS_DIRECTORY"] = str(app_key_file.parent)
    client.now += 20
    assert await client.secret(source=source)


async def test_the_installation_is_given(client: Client, app: App, app_key_file: Path) -> None:
    """An installation that is named, by number or by account, is not looked for at each repository."""
    key, number = File(str(app_key_file)), app.installations[0].id
    for source in (GitHubApp(app.client_id, key, installation=number), GitHubApp(app.client_id, key, owner="acme")):
        client.github.forget()
        assert sees(client, await client.secret("acme/tool", source)) == {"acme/tool"}
        assert sees(client, await client.secret("acme/lib", source)) == {"acme/lib"}
        assert client.calls("installation") == [
            *(["GET /users/acme/installation"] if source.owner else []),
            f"POST /app/installations/{number}/access_tokens",
            f"POST /app/installations/{number}/access_tokens",
        ]


async def test_without_a_repository(client: Client, app: App, app_key_file: Path) -> None:
    """Where no repository is wanted the token is for all of the installation's, if it is said which that is."""
    source = GitHubApp(app.client_id, File(str(app_key_file)), owner="acme")
    secret = await client.secret(None, source)
    assert client.made == [{"permissions": {"contents": "read"}}]
    assert sees(client, secret) == {"acme/tool", "acme/lib"}
    problem = await client.problem(None)
    assert (problem.kind, problem.status) == ("app-without-installation", 401)
    assert "owner: NAME" in problem.hint


async def test_the_installation_is_looked_for_once(client: Client, app: App) -> None:
    """An App has one installation an account: that of one repository serves the others."""
    await client.secret("acme/tool")
    await client.secret("acme/lib")
    assert client.calls("/installation") == [
        "GET /repos/acme/tool/installation",
        *[f"POST /app/installations/{app.installations[0].id}/access_tokens"] * 2,
    ]


async def test_an_app_on_several_accounts(client: Client, app: App) -> None:
    """Each account's repositories are read with a token of its own installation."""
    app.installations.append(Installation("initech"))
    client.github.repositories.append(Repository("initech", "tool"))
    assert sees(client, await client.secret("acme/tool")) == {"acme/tool"}
    assert sees(client, await client.secret("initech/tool")) == {"initech/tool"}


async def test_many_repositories_at_once(client: Client) -> None:
    """However many repositories are asked for at once, each gets its token, and the key is no bottleneck."""
    names = [f"acme/repository-{number}" for number in range(20)]
    client.github.repositories += [Repository("acme", name.removeprefix("acme/")) for name in names]
    secrets = await asyncio.gather(*(client.secret(name) for name in names))
    assert [sees(client, secret) for secret in secrets] == [{name} for name in names]


async def test_a_renamed_repository(client: Client) -> None:
    """A repository that is asked for by an old name is named by its number: the token is for it alone all the same."""
    client.github.repositories[0].rename("acme/hammer")
    source = await client.resolve("acme/tool")
    assert source.asset is not None
    number = client.github.repositories[0].id
    assert client.made[-1] == {"permissions": {"contents": "read"}, "repository_ids": [number]}
    assert source.secret is not None
    assert sees(client, source.secret) == {"acme/hammer"}


async def test_no_token_is_for_more_than_was_asked_for(client: Client, app: App, app_key_file: Path) -> None:
    """A repository that the installation does not hold makes no token for those that it does."""
    source = GitHubApp(app.client_id, File(str(app_key_file)), installation=app.installations[0].id)
    assert (await client.problem("acme/none", source)).kind == "app-not-installed"
    app.installations[0].repositories = {"acme/tool"}
    assert (await client.problem("acme/lib", source)).kind == "app-not-installed"
    assert all(isinstance(made, dict) and made.get("repositories") for made in client.made)
    assert [token for token in client.github.tokens if token.kind == "installation"] == []


async def test_an_installation_that_is_not_the_repositorys(client: Client, app: App, app_key_file: Path) -> None:
    """A repository of another account than the installation that was given is told as not held by it."""
    app.installations.append(Installation("other"))
    client.github.repositories.append(Repository("other", "else"))
    source = GitHubApp(app.client_id, File(str(app_key_file)), installation=app.installations[0].id)
    problem = await client.problem("other/else", source)
    assert (problem.kind, problem.status) == ("app-not-installed", 404)
    assert "has no installation for other/else" in problem.detail


async def test_a_repository_called_releases(client: Client) -> None:
    """A name that is a word of the API's paths, too, is a name."""
    client.github.repositories.append(
        Repository("acme", "releases", releases=[Release("v1/releases/x", [Asset("tool.bin", b"tool")])])
    )
    assert (await client.resolve("acme/releases", "v1/releases/x")).asset


async def test_installed_anew(client: Client, app: App) -> None:
    """An installation that was removed and made again, with another number, is found again."""
    await client.secret("acme/tool")
    app.installations[:] = [Installation("acme")]
    client.now += 3600
    assert sees(client, await client.secret("acme/tool")) == {"acme/tool"}


# -------------------------------------------------------------------- renewed


async def test_a_token_is_kept_and_renewed_before_it_expires(client: Client) -> None:
    """A token serves until minutes before its end; the next is made then, once for all who ask."""
    first = await client.secret()
    client.now += 3200
    assert await client.secret() is first
    client.now += 200
    second = await asyncio.gather(*(client.secret() for _ in range(50)))
    assert len(set(second)) == 1
    assert not second[0].is_same(first)
    assert len(client.made) == 2
    assert second[0].identity(b"x") == first.identity(b"x")


async def test_a_short_life(client: Client, app: App) -> None:
    """A token that lives for minutes is used for half of them."""
    app.installations[0].token_lifetime = 120
    first = await client.secret()
    client.now += 59
    assert await client.secret() is first
    client.now += 2
    assert await client.secret() is not first


async def test_a_wrong_clock_does_not_shorten_or_lengthen_a_life(client: Client) -> None:
    """A token's life is told by the forge's own clock, from the answer that brought it."""
    client.github.clock = lambda: client.now + 45
    first = await client.secret()
    client.now += 3200
    assert await client.secret() is first
    client.now += 200
    assert await client.secret() is not first


async def test_a_token_outlives_a_failed_renewal(client: Client) -> None:
    """While the old token is good, a renewal that fails is told of and tried again later; after its end it is not."""
    first = await client.secret()
    client.github.faults.append(Fault("api", "access_tokens", status=500, times=99))
    client.now += 3400
    assert await client.secret() is first
    assert "could not be renewed" in client.notices[0]
    asked = len(client.calls("access_tokens"))
    assert await client.secret() is first
    assert len(client.calls("access_tokens")) == asked
    client.now += 300
    assert (await client.problem()).status == 502
    client.github.faults.clear()
    client.now += 1
    assert await client.secret() is not first


async def test_what_was_learnt_outlives_the_token(client: Client) -> None:
    """A release that was read with one token is asked for again with its validator under the next: it costs nothing."""
    await client.resolve()
    client.now += 3500
    client.github.forget()
    await client.resolve()
    release = next(call for call in client.github.calls("api") if "/releases/tags/" in call.path)
    assert release.status == 304


async def test_many_at_once(client: Client) -> None:
    """A hundred who want an asset cost one installation, one token, one release and one signed URL."""
    sources = await asyncio.gather(*(client.resolve() for _ in range(100)))
    assert len({source.signed.url for source in sources if source.signed}) == 1
    assert len(client.github.calls("api")) == 4


# -------------------------------------------------------------------- revoked


def revoke(client: Client) -> None:
    client.github.tokens[:] = [token for token in client.github.tokens if token.kind != "installation"]


async def test_a_revoked_token_is_renewed_once(client: Client) -> None:
    """A 401 makes one new token, however many meet it; what needs none is served from memory meanwhile."""
    await client.resolve()
    client.now += 60
    revoke(client)
    client.github.forget()
    client.github.repositories[0].releases.append(Release("v2.0", [Asset("tool.bin", b"2")]))
    sources = await asyncio.gather(*(client.resolve(tag="v2.0") for _ in range(50)))
    assert all(source.asset for source in sources)
    assert len(client.calls("access_tokens")) == 1
    assert [call.status for call in client.github.calls("api") if "/releases/tags/" in call.path] == [401, 200]
    assert client.github.bad_logins == 1


async def test_a_token_that_is_refused_again_is_not_made_again(client: Client) -> None:
    """Where new tokens are refused as well, it is said, and a moment passes before another is made."""
    await client.secret()
    client.now += 60
    client.github.faults.append(
        Fault("api", "/releases/", status=401, body=b'{"message": "Bad credentials"}', times=99)
    )
    for _ in range(3):
        with pytest.raises(Unresolvable) as caught:
            await client.resolve()
        assert caught.value.problem.kind == "bad-credential"
    assert len(client.made) == 2
    client.github.faults.clear()
    client.now += 11
    assert await client.resolve()


async def test_a_token_that_is_not_known_everywhere_yet(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub refuses a new token for seconds, now and then: the same is tried again after a moment."""
    monkeypatch.setattr(store, "_SETTLING_SECONDS", 0.1)
    fault = Fault("api", "/releases/", status=401, body=b'{"message": "Bad credentials"}')
    client.github.faults.append(fault)
    assert await client.resolve()
    assert len(client.made) == 1


async def test_a_streaming_forge_gets_the_token_of_now(client: Client) -> None:
    """A source that is remembered for a forge that streams has the token that is good when it is used."""
    client.github.stream_assets = True
    first = await client.resolve()
    client.now += 3400
    second = await client.resolve()
    assert first.secret is not None
    assert second.secret is not None
    assert not second.secret.is_same(first.secret)


# --------------------------------------------------------------------- refused


async def test_not_installed(client: Client, app: App) -> None:
    """A repository that the App is not installed on is told from one that it is."""
    client.github.repositories.append(Repository("other", "tool"))
    problem = await client.problem("other/tool")
    assert (problem.kind, problem.status) == ("app-not-installed", 404)
    assert f"`github-app:{app.client_id}` has no installation for other/tool" in problem.detail


async def test_what_is_refused_is_not_asked_again_at_once(client: Client) -> None:
    """However many ask for a repository that the App is not installed on, its API is asked once in a while."""
    client.github.repositories.append(Repository("other", "tool"))
    for _ in range(20):
        assert (await client.problem("other/tool")).kind == "app-not-installed"
    assert len(client.github.calls("api")) == 1
    client.now += 11
    await client.problem("other/tool")
    assert len(client.github.calls("api")) == 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault("api", "/installation", status=401, body=b'{"message": "Bad credentials"}', times=99),
        Fault.secondary_limit("/installation", times=99),
    ],
    ids=["refused", "slowed down"],
)
async def test_what_the_app_is_told_is_not_asked_for_each_repository(client: Client, fault: Fault) -> None:
    """A key that is refused, or has asked too much, is not tried for one repository after another."""
    client.github.faults.append(fault)
    for number in range(30):
        await client.problem(f"acme/repository-{number}")
    assert len(client.github.calls("api")) == 1


async def test_an_installations_budget_is_one(client: Client, app: App) -> None:
    """A budget that is used up is so for all repositories: their tokens are the installation's."""
    app.installations[0].limit = app.installations[0].used = 10
    app.installations[0].reset = int(client.now) + 3000
    for repository in ("acme/tool", "acme/lib"):
        with pytest.raises(Unresolvable) as caught:
            await client.resolve(repository)
        assert caught.value.problem.kind == "rate-limited"
    assert len(client.calls("/releases/")) == 1


async def test_a_passing_fault_does_not_decide_for_long(client: Client, app: App) -> None:
    """While the first credential's budget is used up another serves, and the first again when it is full."""
    client.environ["MINE"] = client.github.token
    mine = Credential("mine", (Env("MINE"),), frozenset())
    app.installations[0].limit = app.installations[0].used = 10
    app.installations[0].reset = int(client.now) + 300
    assert (await client.resolve("acme/tool", "v1.0", mine)).credential == "mine"
    client.github.repositories[0].releases.append(Release("v2.0", [Asset("tool.bin", b"2")]))
    client.now += 400
    assert (await client.resolve("acme/tool", "v2.0", mine)).credential == "ours"
    app.installations.clear()
    client.github.tokens[1:] = []
    client.now += 4000
    client.github.repositories[0].releases.append(Release("v3.0", [Asset("tool.bin", b"3")]))
    assert (await client.resolve("acme/tool", "v3.0", mine)).credential == "mine"


async def test_not_selected(client: Client, app: App) -> None:
    """So is one that the installation, known from another repository, does not hold."""
    app.installations[0].repositories = {"acme/tool"}
    await client.secret("acme/tool")
    assert (await client.problem("acme/lib")).kind == "app-not-installed"
    assert sees(client, await client.secret("acme/tool")) == {"acme/tool"}


async def test_another_key(client: Client, app: App, tmp_path: Path) -> None:
    """A key of another App, and an id of none, are told as what they are."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "other.pem").write_bytes(other)
    (tmp_path / "other.pem").chmod(0o600)
    problem = await client.problem(source=GitHubApp(app.client_id, File(str(tmp_path / "other.pem"))))
    assert (problem.kind, problem.status) == ("app-not-accepted", 401)
    assert "could not be decoded" in problem.detail
    assert (await client.problem(source=GitHubApp("1", client.source.key))).kind == "app-not-accepted"


async def test_a_wrong_clock(client: Client) -> None:
    """A clock that is an hour off is said to be what may be wrong."""
    client.github.clock = lambda: client.now - 3600
    problem = await client.problem()
    assert problem.kind == "app-not-accepted"
    assert "clock" in problem.hint


@pytest.mark.parametrize("text", ["nonsense", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"])
async def test_no_key(client: Client, app: App, text: str) -> None:
    """What is no private key is told, and not shown; a variable that is not set is a source without a secret."""
    client.environ["KEY"] = text
    problem = await client.problem(source=GitHubApp(app.client_id, Env("KEY")))
    assert problem.kind == "unusable-key"
    assert "AAAA" not in str(problem)
    problem = await client.problem(source=GitHubApp(app.client_id, Env("NONE")))
    assert problem.kind == "no-credential"
    assert "`env:NONE` is not set" in problem.detail


async def test_a_key_that_others_may_read(client: Client, app_key_file: Path) -> None:
    """The private key's file is a file of secrets."""
    await asyncio.to_thread(app_key_file.chmod, 0o644)
    assert (await client.problem()).kind == "exposed-secret"


async def test_suspended(client: Client, app: App) -> None:
    """A suspended installation is told as such, when a token is made and when one is used."""
    app.installations[0].suspended = True
    problem = await client.problem()
    assert (problem.kind, problem.status) == ("app-suspended", 403)
    app.installations[0].suspended = False
    client.now += 11
    await client.secret()
    app.installations[0].suspended = True
    with pytest.raises(Unresolvable) as caught:
        await client.resolve()
    assert caught.value.problem.status == 403
    assert "suspended" in str(caught.value)


async def test_without_the_permission(client: Client, app: App) -> None:
    """An App that was not granted `contents: read` is told to be given it."""
    app.installations[0].permissions = {"metadata": "read"}
    problem = await client.problem()
    assert (problem.kind, problem.status) == ("app-lacks-permission", 403)
    assert "Contents: read" in problem.hint


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault("api", "access_tokens", status=500), "upstream-failed"),
        (Fault("api", "access_tokens", close=True, times=9), "unreachable"),
        (Fault("api", "access_tokens", status=201, body=b"{}"), "malformed-answer"),
        (Fault("api", "access_tokens", status=201, body=b"<html>"), "malformed-answer"),
        (Fault("api", "access_tokens", status=302, headers={"location": "https://evil.test/"}), "foreign-answer"),
        (Fault("api", "/installation", status=302, headers={"location": "https://evil.test/"}), "foreign-answer"),
        (Fault("api", "/installation", status=200, body=b"[]"), "malformed-answer"),
    ],
)
async def test_a_forge_that_fails(client: Client, fault: Fault, kind: str) -> None:
    """What goes wrong at the forge is told, nothing is sent elsewhere, and the next who asks may succeed."""
    client.github.faults.append(fault)
    assert (await client.problem()).kind == kind
    client.github.faults.clear()
    assert await client.secret()


@pytest.mark.parametrize(
    "body",
    [
        b'{"token": "ghs_a\\r\\nX: y", "expires_at": "2099-01-01T00:00:00Z"}',
        b'{"token": "ghs_a\\u00a0b", "expires_at": "2099-01-01T00:00:00Z"}',
        b'{"token": "", "expires_at": "2099-01-01T00:00:00Z"}',
        b'{"token": "ghs_a", "expires_at": "2001-01-01T00:00:00Z"}',
        b'{"token": "ghs_a", "expires_at": "0001-01-01T00:00:00"}',
    ],
)
async def test_a_token_that_is_none(client: Client, body: bytes) -> None:
    """A forge that gives a token which could end a header, or has ended itself, is refused."""
    client.github.faults.append(Fault("api", "access_tokens", status=201, body=body))
    problem = await client.problem()
    assert problem.kind in ("unusable-secret", "no-credential", "malformed-answer")
    assert "ghs_a" not in str(problem)


async def test_a_token_with_a_line_end(client: Client) -> None:
    """What stands around a token is no part of it: the header ends where the token does."""
    body = b'{"token": "ghs_a\\r\\n", "expires_at": "2099-01-01T00:00:00Z"}'
    date = {"date": "Fri, 31 Dec 99999999999999999999 00:00:00 GMT"}
    client.github.faults.append(Fault("api", "access_tokens", status=201, body=body, headers=date))
    assert (await client.secret()).reveal() == "ghs_a"


async def test_a_public_key(client: Client, app: App) -> None:
    """The public half of the key, taken by mistake, is told as no private key."""
    client.environ["KEY"] = app.public_key
    assert (await client.problem(source=GitHubApp(app.client_id, Env("KEY")))).kind == "unusable-key"


async def test_permissions_of_a_rule(client: Client, app: App) -> None:
    """A token gets what the rule wants of what the installation has, at the lower of both levels, and no more."""
    app.installations[0].permissions = {"contents": "read", "issues": "write", "secrets": "write", "metadata": "read"}
    await client.for_api({"contents": "write", "issues": "read", "checks": "read"})
    assert client.made == [{"permissions": {"contents": "read", "issues": "read"}, "repositories": ["tool"]}]


async def test_another_permission_is_another_token(client: Client, app: App) -> None:
    """What may be done with a token is part of what it is kept under: that of a release is never one for the API."""
    app.installations[0].permissions = {"contents": "write", "issues": "write"}
    first, second = await client.for_api({"issues": "write"}), await client.for_api({"issues": "read"})
    plain = await client.secret()
    assert not any(a.is_same(b) for a, b in ((first, second), (first, plain), (second, plain)))
    assert (await client.for_api({"issues": "write"})).is_same(first)
    assert [each["permissions"] for each in client.made] == [  # type: ignore[index]
        {"issues": "write"},
        {"issues": "read"},
        {"contents": "read"},
    ]


async def test_no_permission_is_no_token(client: Client, app: App) -> None:
    """Where the installation has none of what is wanted no token is made: with nothing asked for it would have all."""
    app.installations[0].permissions = {"contents": "write"}
    with pytest.raises(Unresolvable) as caught:
        await client.for_api({"issues": "read"})
    assert caught.value.problem.kind == "app-lacks-permission"
    assert client.made == []


async def test_permissions_of_an_installation_that_is_named(client: Client, app: App) -> None:
    """An installation that the rules name is asked what it has, too; for all of its repositories none is named."""
    installation = app.installations[0]
    installation.permissions = {"contents": "read"}
    await client.for_api({"contents": "write", "issues": "read"}, None, installation=installation.id)
    assert client.calls("installations") == [
        f"GET /app/installations/{installation.id}",
        f"POST /app/installations/{installation.id}/access_tokens",
    ]
    assert client.made == [{"permissions": {"contents": "read"}}]


async def test_permissions_that_were_taken_away(client: Client, app: App) -> None:
    """What an installation has is asked for again when GitHub says that it has less."""
    app.installations[0].permissions = {"contents": "write", "issues": "write"}
    await client.for_api({"contents": "write", "issues": "write"})
    app.installations[0].permissions = {"contents": "read"}
    await client.for_api({"contents": "write", "issues": "write"}, "acme/lib")
    assert client.made[-1] == {"permissions": {"contents": "read"}, "repositories": ["lib"]}


async def test_permissions_for_a_renamed_repository(client: Client, app: App) -> None:
    """A token for a repository that is asked for by an old name has the rule's permissions, too."""
    app.installations[0].permissions = {"contents": "read", "issues": "write"}
    client.github.repositories[0].rename("acme/new")
    await client.for_api({"issues": "write"})
    number = client.github.repositories[0].id
    assert client.made[-1] == {"permissions": {"issues": "write"}, "repository_ids": [number]}
