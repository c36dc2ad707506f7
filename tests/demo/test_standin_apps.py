"""The stand-in's GitHub Apps keep to what is known of the real ones: JWTs, installations, and the tokens of these."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from direct import OCTETS, api, ask
from gatepass.demo.standin import TENANT, App, Asset, Fault, Installation, Release, Repository, StandIn, Token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from direct import Reply

UNDECODABLE = "A JSON web token could not be decoded"
EXPIRED = (
    "'Expiration time' claim ('exp') must be a numeric value "
    "representing the future time at which the assertion expires"
)
TOO_FAR = "'Expiration time' claim ('exp') is too far in the future"
NOT_ISSUED = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
NO_ISSUER = "'Issuer' claim ('iss') must be an Integer"
NOT_GRANTED = "The permissions requested are not granted to this installation."
TOO_MUCH = "The level of access for permissions requested are not granted to this installation."
NO_SUCH_REPOSITORY = (
    "There is at least one repository that does not exist or is not accessible to the parent installation."
)


@dataclass
class Clock:
    """The stand-in's time, in epoch seconds."""

    now: float = 1_800_000_000.5

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def key(app_key: rsa.RSAPrivateKey) -> rsa.RSAPrivateKey:
    """The App's private key."""
    return app_key


@pytest.fixture(scope="session")
def other_key() -> rsa.RSAPrivateKey:
    """A key of nobody here."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tool() -> Repository:
    return Repository("acme", "tool", releases=[Release("v1.0", [Asset("tool.bin", b"tool")])])


@pytest.fixture
def lib() -> Repository:
    return Repository("acme", "lib", releases=[Release("v1.0", [Asset("lib.bin", b"lib")])])


@pytest.fixture
def foreign() -> Repository:
    """A private repository of an account that has not installed the App."""
    return Repository("other", "secret")


@pytest.fixture
def installation() -> Installation:
    return Installation("acme")


@pytest.fixture
def app(key: rsa.RSAPrivateKey, installation: Installation) -> App:
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return App(pem.decode(), installations=[installation])


@pytest.fixture
def github(app: App, tool: Repository, lib: Repository, foreign: Repository, clock: Clock) -> Iterator[StandIn]:
    public = Repository("elsewhere", "public", private=False)
    with StandIn([tool, lib, foreign, public], apps=[app], clock=clock) as standin:
        yield standin


@dataclass
class Signer:
    """Who has the App's private key."""

    github: StandIn
    app: App
    key: rsa.RSAPrivateKey
    clock: Clock

    def sign(self, key: Any = None, algorithm: str = "RS256", **claims: object) -> str:
        """A good JWT, or one with other claims (`None`: without), another key or another algorithm."""
        now = int(self.clock.now)
        mine = {"iss": self.app.client_id, "iat": now - 60, "exp": now + 540} | claims
        payload = json.dumps({name: value for name, value in mine.items() if value is not None})
        # not `jwt.encode`, which refuses what a careless client sends
        return jwt.PyJWS().encode(payload.encode(), key or self.key, algorithm)

    def ask(self, path: str, method: str = "GET", token: str | None = None, **headers: str) -> Reply:
        return api(self.github, path, method, token=token or self.sign(), **headers)

    def make(self, body: object = None, installation: Installation | None = None) -> Reply:
        """Ask for an installation token; `body` becomes JSON, `bytes` are sent as they are."""
        number = (installation or self.app.installations[0]).id
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        url = f"{self.github.api}/app/installations/{number}/access_tokens"
        return ask(self.github, url, "POST", {"authorization": f"Bearer {self.sign()}"}, sent)

    def token(self, **body: object) -> str:
        """A new installation token."""
        reply = self.make(body)
        assert reply.status == 201, reply.body
        return str(reply.json["token"])


@pytest.fixture
def signer(github: StandIn, app: App, key: rsa.RSAPrivateKey, clock: Clock) -> Signer:
    return Signer(github, app, key, clock)


def told(reply: Reply) -> tuple[int, str]:
    """Status and message of a refusal."""
    return reply.status, reply.json["message"]


def reads(github: StandIn, token: str, *repositories: Repository) -> list[int]:
    """What the token is answered for each repository."""
    return [api(github, f"/repos/{repository.full_name}", token=token).status for repository in repositories]


class TestJwt:
    def test_issuers(self, signer: Signer, app: App) -> None:
        """The App is known by its ID, as a number or as digits, and by its client ID."""
        for issuer in (app.id, str(app.id), app.client_id):
            reply = signer.ask("/app", token=signer.sign(iss=issuer))
            assert (reply.status, reply.json["id"]) == (200, app.id)

    @pytest.mark.parametrize(
        ("issuer", "status", "message"),
        [
            (1, 404, "Integration not found"),
            ("1", 404, "Integration not found"),
            ("Iv23liNobodysClientId", 401, NO_ISSUER),
            (None, 401, NO_ISSUER),
            ({"id": 1}, 401, NO_ISSUER),
        ],
    )
    def test_unknown_issuers(self, signer: Signer, issuer: object, status: int, message: str) -> None:
        """An App ID that nobody has is 404; what is no ID at all is told so."""
        assert told(signer.ask("/app", token=signer.sign(iss=issuer))) == (status, message)

    def test_another_apps_key(self, signer: Signer, other_key: rsa.RSAPrivateKey) -> None:
        """The signature is the App's own: another key's is refused."""
        assert told(signer.ask("/app", token=signer.sign(other_key))) == (401, UNDECODABLE)

    def test_no_key(self, signer: Signer, app: App) -> None:
        """An App for which no key was made is told to make one."""
        app.public_key = ""
        assert told(signer.ask("/app")) == (401, "Integration must generate a public key")

    def test_algorithms(self, signer: Signer, app: App) -> None:
        """RS256 alone is taken: no other of RSA, none, nor an HMAC that has the public key for its secret."""
        assert signer.ask("/app", token=signer.sign(algorithm="RS256")).status == 200
        for algorithm in ("RS384", "PS256"):
            assert told(signer.ask("/app", token=signer.sign(algorithm=algorithm))) == (401, UNDECODABLE)
        payload = signer.sign().split(".")[1]
        for algorithm in ("none", "HS256"):
            head = base64.urlsafe_b64encode(json.dumps({"typ": "JWT", "alg": algorithm}).encode()).decode().rstrip("=")
            signature = ""
            if algorithm == "HS256":
                hmac = jwt.get_algorithm_by_name("HS256").sign(f"{head}.{payload}".encode(), app.public_key.encode())
                signature = base64.urlsafe_b64encode(hmac).decode().rstrip("=")
            assert told(signer.ask("/app", token=f"{head}.{payload}.{signature}")) == (401, UNDECODABLE)

    def test_tampering(self, signer: Signer) -> None:
        """A JWT of which a claim was changed is refused."""
        head, _, signature = signer.sign().split(".")
        payload = signer.sign(exp=int(signer.clock.now) + 60).split(".")[1]
        assert told(signer.ask("/app", token=f"{head}.{payload}.{signature}")) == (401, UNDECODABLE)

    @pytest.mark.parametrize("value", ["nonsense", "a.b.c", "..", "ghp_0000"])
    def test_what_is_no_jwt(self, signer: Signer, value: str) -> None:
        """What cannot be decoded is refused."""
        assert told(signer.ask("/app", token=value)) == (401, UNDECODABLE)

    @pytest.mark.parametrize("payload", [b"", b"x", b"[]", b'"iss"', b"\xff"])
    def test_what_are_no_claims(self, signer: Signer, payload: bytes) -> None:
        """A well signed text that is no JSON object is refused."""
        assert told(signer.ask("/app", token=jwt.PyJWS().encode(payload, signer.key, "RS256"))) == (401, UNDECODABLE)

    def test_forms(self, signer: Signer, github: StandIn) -> None:
        """A JWT is taken as `Bearer` alone, in any case; without the header the answer is the same as for a bad one."""
        value = signer.sign()
        for form, status in (("Bearer", 200), ("bearer", 200), ("token", 401), ("Basic", 401)):
            reply = ask(github, f"{github.api}/app", headers={"authorization": f"{form} {value}"})
            assert (form, reply.status) == (form, status)
        assert told(api(github, "/app", token=None)) == (401, UNDECODABLE)

    @pytest.mark.parametrize(
        ("seconds", "message"),
        [(-3600, EXPIRED), (-1, EXPIRED), (0, EXPIRED), (1, ""), (600, ""), (601, TOO_FAR), (86400, TOO_FAR)],
    )
    def test_expiry(self, signer: Signer, seconds: int, message: str) -> None:
        """A JWT expires in the future, and within ten minutes, by the stand-in's clock."""
        reply = signer.ask("/app", token=signer.sign(exp=int(signer.clock.now) + seconds))
        assert (told(reply) if message else (reply.status, "")) == ((401, message) if message else (200, ""))

    @pytest.mark.parametrize("expiry", [None, "soon", "1800000300", [], True, float("nan")])
    def test_malformed_expiry(self, signer: Signer, expiry: object) -> None:
        """The expiry is a number."""
        assert told(signer.ask("/app", token=signer.sign(exp=expiry))) == (401, EXPIRED)

    def test_fractional_expiry(self, signer: Signer) -> None:
        """The expiry may be a fraction, for it is only said to be numeric."""
        assert signer.ask("/app", token=signer.sign(exp=signer.clock.now + 60.25)).status == 200

    @pytest.mark.parametrize("seconds", [-86400, -60, 0])
    def test_issued(self, signer: Signer, seconds: int) -> None:
        """A JWT may have been issued at any time up to now."""
        assert signer.ask("/app", token=signer.sign(iat=int(signer.clock.now) + seconds)).status == 200

    @pytest.mark.parametrize("issued", [None, 1_800_000_001, 1_800_000_060, 1_799_999_000.5, "1799999000", True])
    def test_not_issued(self, signer: Signer, issued: object) -> None:
        """A JWT that was issued in the future is refused, and so is one whose time is no integer."""
        assert told(signer.ask("/app", token=signer.sign(iat=issued))) == (401, NOT_ISSUED)

    def test_the_clock_is_the_stand_ins(self, signer: Signer) -> None:
        """A JWT is good until the stand-in's own clock has passed its expiry."""
        value = signer.sign()
        signer.clock.now += 539
        assert signer.ask("/app", token=value).status == 200
        signer.clock.now += 1
        assert told(signer.ask("/app", token=value)) == (401, EXPIRED)

    def test_bad_jwts_lock_nobody_out(self, signer: Signer, github: StandIn) -> None:
        """A bad JWT is no bad login; a bad token is one."""
        for _ in range(2 * github.max_bad_logins):
            signer.ask("/app", token="nonsense")
        assert api(github, "/user").status == 200
        for _ in range(github.max_bad_logins):
            api(github, "/user", token="nonsense")
        assert api(github, "/user").status == 403

    def test_a_jwt_opens_nothing_else(self, signer: Signer, tool: Repository) -> None:
        """On every other endpoint a JWT is a bad token."""
        signer.github.max_bad_logins = 99
        release = f"/repos/{tool.full_name}/releases/tags/v1.0"
        for path in ("/user", "/rate_limit", f"/repos/{tool.full_name}", release, "/installation/repositories"):
            assert told(signer.ask(path)) == (401, "Bad credentials")

    @pytest.mark.parametrize("path", ["/app", "/orgs/acme/installation", "/repos/acme/tool/installation"])
    def test_a_token_is_no_jwt(self, signer: Signer, path: str) -> None:
        """A user's or an installation's token does not open the endpoints that are for the App."""
        for token in (signer.github.token, signer.token()):
            assert told(signer.ask(path, token=token)) == (401, UNDECODABLE)

    def test_a_tag_that_looks_like_it(self, signer: Signer, tool: Repository) -> None:
        """A release whose tag is `installation` is a release."""
        tool.releases.append(Release("installation"))
        path = f"/repos/{tool.full_name}/releases/tags/installation"
        assert api(signer.github, path).json["tag_name"] == "installation"

    def test_no_budget(self, signer: Signer, github: StandIn) -> None:
        """What is asked with a JWT costs nobody anything, and tells no budget."""
        headers = signer.ask("/app").headers
        assert "x-github-request-id" in headers
        assert not [name for name in headers if name.startswith("x-ratelimit")]
        assert (github.anonymous.used, github.tokens[0].used, github.apps[0].installations[0].used) == (0, 0, 0)


class TestInstallations:
    def test_app(self, signer: Signer, app: App) -> None:
        """`/app` tells of the App what the REST documentation shows."""
        reply = signer.ask("/app")
        assert reply.json["id"] == app.id
        assert re.fullmatch(r"Iv23li\w{14}", reply.json["client_id"])
        assert (reply.json["slug"], reply.json["name"]) == ("gatepass-test", "Gatepass Test")
        assert reply.json["owner"]["login"] == "acme"
        assert reply.json["permissions"] == {"contents": "read", "metadata": "read"}
        assert reply.json["installations_count"] == 1
        assert signer.ask("/app", if_none_match=reply.headers["etag"]).status == 304

    def test_shape(self, signer: Signer, app: App, installation: Installation) -> None:
        """An installation has the fields of the REST documentation, by whichever way it is found."""
        paths = [
            f"/app/installations/{installation.id}",
            "/repos/acme/tool/installation",
            "/repos/ACME/Tool/installation",
            "/orgs/Acme/installation",
            "/users/acme/installation",
        ]
        first, *others = [signer.ask(path).json for path in paths]
        assert all(other == first for other in others)
        assert (first["id"], first["app_id"], first["app_slug"]) == (installation.id, app.id, app.slug)
        assert (first["account"]["login"], first["account"]["type"]) == ("acme", "Organization")
        assert (first["target_type"], first["repository_selection"]) == ("Organization", "all")
        assert first["permissions"] == {"contents": "read", "metadata": "read"}
        assert first["access_tokens_url"] == f"{signer.github.api}/app/installations/{installation.id}/access_tokens"
        assert first["repositories_url"] == f"{signer.github.api}/installation/repositories"
        assert (first["suspended_by"], first["suspended_at"]) == (None, None)
        assert datetime.fromisoformat(first["created_at"]).tzinfo == UTC

    def test_users(self, signer: Signer, app: App) -> None:
        """A user's installation is found under `/users`, an organisation's there and under `/orgs`."""
        app.installations.append(Installation("octocat", "User"))
        reply = signer.ask("/users/octocat/installation")
        assert (reply.status, reply.json["account"]["type"], reply.json["target_type"]) == (200, "User", "User")
        assert signer.ask("/orgs/octocat/installation").status == 404

    @pytest.mark.parametrize(
        "path",
        [
            "/app/installations/1",
            "/app/installations/x",
            "/app/nonsense",
            "/orgs/other/installation",
            "/users/other/installation",
            "/repos/other/secret/installation",
            "/repos/acme/nothing/installation",
            "/repositories/1/installation",
        ],
    )
    def test_not_installed(self, signer: Signer, path: str) -> None:
        """Where the App is not installed the answer is 404, whether or not there is such a thing."""
        assert told(signer.ask(path)) == (404, "Not Found")

    def test_not_selected(self, signer: Signer, installation: Installation, tool: Repository, lib: Repository) -> None:
        """A repository of the account that was not selected is 404; a selected one is found."""
        installation.repositories = {"Acme/Tool"}
        reply = signer.ask("/repos/acme/tool/installation")
        assert (reply.status, reply.json["repository_selection"]) == (200, "selected")
        for path in (f"/repos/{lib.full_name}/installation", f"/repositories/{lib.id}/installation"):
            assert signer.ask(path).status == 404
        assert signer.ask(f"/repositories/{tool.id}/installation").status == 200

    def test_another_apps(self, signer: Signer, app: App, github: StandIn) -> None:
        """An App sees its own installations alone."""
        mine = app.installations[0]
        github.apps.append(App(app.public_key, "Other", installations=[Installation("other")]))
        theirs = github.apps[1].installations[0]
        assert signer.ask(f"/app/installations/{theirs.id}").status == 404
        assert signer.ask("/orgs/other/installation").status == 404
        stranger = signer.sign(iss=github.apps[1].id)
        assert signer.ask("/orgs/other/installation", token=stranger).json["app_slug"] == "other"
        assert signer.ask(f"/app/installations/{mine.id}", token=stranger).status == 404

    def test_rename(self, signer: Signer, tool: Repository, installation: Installation) -> None:
        """A renamed repository is 301 to `/repositories/ID/installation`, which answers; not for who has no access."""
        installation.repositories = {"acme/tool"}
        tool.rename("acme/new")
        reply = signer.ask("/repos/acme/tool/installation")
        assert (reply.status, reply.location) == (301, f"{signer.github.api}/repositories/{tool.id}/installation")
        assert signer.ask(f"/repositories/{tool.id}/installation").json["id"] == installation.id
        assert signer.ask("/repos/acme/new/installation").json["id"] == installation.id
        installation.repositories = set()
        assert signer.ask("/repos/acme/tool/installation").status == 404

    def test_transfer(self, signer: Signer, tool: Repository) -> None:
        """A repository that went to another account is no longer the installation's."""
        tool.rename("other/tool")
        assert signer.ask("/repos/acme/tool/installation").status == 404
        assert signer.ask("/repos/other/tool/installation").status == 404

    def test_suspended(self, signer: Signer, installation: Installation) -> None:
        """A suspended installation is still found, and tells since when."""
        installation.suspended = True
        reply = signer.ask("/repos/acme/tool/installation")
        assert (reply.status, reply.json["suspended_by"]["login"]) == (200, "acme")
        assert datetime.fromisoformat(reply.json["suspended_at"]).tzinfo == UTC

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_writing_is_404(self, signer: Signer, installation: Installation, method: str) -> None:
        """Nothing but making tokens is offered for writing, and a token is not to be had by GET."""
        for path in ("/app", f"/app/installations/{installation.id}", "/repos/acme/tool/installation"):
            assert signer.ask(path, method).status == 404
        assert signer.ask(f"/app/installations/{installation.id}/access_tokens").status == 404

    def test_a_tenants_names(self, signer: Signer, github: StandIn, tool: Repository) -> None:
        """Under a tenant's names the URLs are the tenant's."""
        headers = {"host": TENANT.api, "authorization": f"Bearer {signer.sign()}"}
        reply = ask(github, f"https://{github.web}/repos/acme/tool/installation", headers=headers)
        assert reply.json["access_tokens_url"].startswith("https://api.acme.ghe.com/app/installations/")
        assert reply.json["html_url"].startswith("https://acme.ghe.com/organizations/acme/")
        tool.rename("acme/new")
        moved = ask(github, f"https://{github.web}/repos/acme/tool/installation", headers=headers)
        assert moved.location == f"https://api.acme.ghe.com/repositories/{tool.id}/installation"

    def test_faults(self, signer: Signer, github: StandIn) -> None:
        """A fault hits these endpoints as any other."""
        github.faults.append(Fault("api", "/installation", status=502))
        assert [signer.ask("/repos/acme/tool/installation").status for _ in range(2)] == [502, 200]


class TestTokens:
    def test_all(self, signer: Signer, tool: Repository, lib: Repository) -> None:
        """Without a body a token is for all repositories and permissions of the installation, for an hour."""
        reply = signer.make()
        assert reply.status == 201
        assert reply.json["permissions"] == {"contents": "read", "metadata": "read"}
        assert reply.json["repository_selection"] == "all"
        assert "repositories" not in reply.json
        assert reply.json["expires_at"] == "2027-01-15T09:00:00Z"
        assert reads(signer.github, reply.json["token"], tool, lib) == [200, 200]
        assert signer.make({}).json.keys() == reply.json.keys()

    def test_value(self, signer: Signer) -> None:
        """A token is `ghs_` and some hundred characters with two dots, and new each time."""
        values = {signer.token() for _ in range(3)}
        assert len(values) == 3
        for value in values:
            assert re.fullmatch(r"ghs_[A-Za-z0-9\._]{500,600}", value)
            assert value.count(".") == 2

    def test_downloads(self, signer: Signer, tool: Repository) -> None:
        """With an installation's token an asset is a 302 to its bytes."""
        path = f"/repos/{tool.full_name}/releases/assets/{tool.releases[0].assets[0].id}"
        reply = api(signer.github, path, token=signer.token(), **OCTETS)
        assert reply.status == 302
        assert ask(signer.github, reply.location).body == b"tool"

    @pytest.mark.parametrize("by", ["names", "ids", "both"])
    def test_narrowed(self, signer: Signer, tool: Repository, lib: Repository, by: str) -> None:
        """A token for some repositories, by name in any case or by ID, tells them and reads no other."""
        third = Repository("acme", "third")
        signer.github.repositories.append(third)
        body: dict[str, object] = {"repositories": ["TOOL", "tool"]} if by != "ids" else {}
        if by != "names":
            body["repository_ids"] = [tool.id if by == "ids" else lib.id]
        reply = signer.make(body)
        assert (reply.status, reply.json["repository_selection"]) == (201, "selected")
        wanted = [tool, lib] if by == "both" else [tool]
        assert [r["full_name"] for r in reply.json["repositories"]] == [r.full_name for r in wanted]
        assert reads(signer.github, reply.json["token"], *wanted) == [200] * len(wanted)
        assert reads(signer.github, reply.json["token"], third) == [404]

    @pytest.mark.parametrize("body", [{"repositories": []}, {"repository_ids": []}])
    def test_an_empty_list_narrows_nothing(
        self, signer: Signer, tool: Repository, lib: Repository, body: dict[str, object]
    ) -> None:
        """An empty list gives a token for all repositories, which are then listed."""
        reply = signer.make(body)
        assert [r["id"] for r in reply.json["repositories"]] == [tool.id, lib.id]
        assert reads(signer.github, reply.json["token"], tool, lib) == [200, 200]

    @pytest.mark.parametrize("name", ["nothing", "secret", "acme/tool", "other/secret", "", "old", "unselected"])
    def test_not_the_installations(
        self, signer: Signer, installation: Installation, tool: Repository, name: str
    ) -> None:
        """One name that is not a selected repository's of today makes the whole request 422, and no token."""
        signer.github.repositories.append(Repository("acme", "unselected"))
        tool.renamed_from.append("acme/old")
        installation.repositories = {"acme/tool", "acme/lib"}
        assert told(signer.make({"repositories": ["lib", name]})) == (422, NO_SUCH_REPOSITORY)
        assert len(signer.github.tokens) == 1

    def test_not_the_installations_by_id(self, signer: Signer, foreign: Repository, tool: Repository) -> None:
        """IDs are held to the same."""
        for number in (foreign.id, 1):
            assert told(signer.make({"repository_ids": [tool.id, number]})) == (422, NO_SUCH_REPOSITORY)

    def test_permissions(self, signer: Signer, tool: Repository) -> None:
        """A token has the permissions that were asked for, and the reading of metadata that comes with any."""
        signer.app.installations[0].permissions = {"contents": "write", "issues": "read", "metadata": "read"}
        reply = signer.make({"permissions": {"contents": "read"}})
        assert reply.json["permissions"] == {"contents": "read", "metadata": "read"}
        reply = signer.make({"permissions": {"issues": "read"}})
        assert reply.json["permissions"] == {"issues": "read", "metadata": "read"}
        refused = api(signer.github, f"/repos/{tool.full_name}", token=reply.json["token"])
        assert told(refused) == (403, "Resource not accessible by integration")
        assert signer.make({"permissions": {}}).json["permissions"] == signer.app.installations[0].permissions

    @pytest.mark.parametrize(
        ("wanted", "message"),
        [
            ({"issues": "read"}, NOT_GRANTED),
            ({"contents": "read", "no-such": "read"}, NOT_GRANTED),
            ({"contents": "all"}, NOT_GRANTED),
            ({"contents": "write"}, TOO_MUCH),
            ({"metadata": "admin"}, TOO_MUCH),
        ],
    )
    def test_not_granted(self, signer: Signer, wanted: dict[str, str], message: str) -> None:
        """Permissions that the account has not granted, or not so far, are 422, and no token is made."""
        assert told(signer.make({"permissions": wanted})) == (422, message)
        assert len(signer.github.tokens) == 1

    def test_drafts(self, signer: Signer, installation: Installation, tool: Repository) -> None:
        """A token that may write sees drafts; one that may read does not."""
        tool.releases.append(Release("draft", draft=True))
        installation.permissions["contents"] = "write"
        path = f"/repos/{tool.full_name}/releases"
        assert len(api(signer.github, path, token=signer.token()).json) == 2
        assert len(api(signer.github, path, token=signer.token(permissions={"contents": "read"})).json) == 1

    @pytest.mark.parametrize(
        ("body", "status", "message"),
        [
            (b"{", 400, "Problems parsing JSON"),
            (b"\xff", 400, "Problems parsing JSON"),
            ([], 400, "Body should be a JSON object"),
            ({"permissions": "read"}, 400, "Problems parsing JSON"),
            ({"repositories": "tool"}, 422, "Invalid request"),
            ({"repositories": [1]}, 422, "Invalid request"),
            ({"repository_ids": ["1"]}, 422, "Invalid request"),
            ({"repositories": ["x" * 70_000]}, 413, "Payload Too Large"),
        ],
    )
    def test_malformed(self, signer: Signer, body: object, status: int, message: str) -> None:
        """What cannot be understood, or was too large to be kept, is refused: never taken for a wish for everything."""
        reply = signer.make(body)
        assert (reply.status, reply.json["message"].partition(".")[0]) == (status, message)
        assert len(signer.github.tokens) == 1

    def test_suspended(self, signer: Signer, installation: Installation) -> None:
        """A suspended installation makes no tokens, until it is no longer suspended."""
        installation.suspended = True
        assert told(signer.make()) == (403, "This installation has been suspended")
        installation.suspended = False
        assert signer.make().status == 201

    def test_unknown(self, signer: Signer) -> None:
        """No token is made for an installation that the App does not have."""
        assert told(signer.make(installation=Installation("acme"))) == (404, "Not Found")

    def test_the_log_has_what_was_asked_for(self, signer: Signer) -> None:
        """A test can read in the log what a client asked for."""
        signer.make({"repositories": ["tool"], "permissions": {"contents": "read"}})
        [call] = signer.github.calls("api", "POST")
        assert json.loads(call.body) == {"repositories": ["tool"], "permissions": {"contents": "read"}}
        assert call.status == 201


class TestUse:
    def test_other_accounts(self, signer: Signer, foreign: Repository) -> None:
        """A token for all repositories is for those of its account; of others it reads what is public."""
        token = signer.token()
        assert reads(signer.github, token, foreign) == [404]
        assert api(signer.github, "/repos/elsewhere/public", token=token).status == 200

    def test_public_repositories(self, signer: Signer) -> None:
        """A narrowed token without `contents` still reads what is public."""
        signer.app.installations[0].permissions = {"issues": "read", "metadata": "read"}
        assert api(signer.github, "/repos/elsewhere/public", token=signer.token()).status == 200

    def test_expiry(self, signer: Signer, installation: Installation, tool: Repository) -> None:
        """A token is good for its lifetime by the stand-in's clock, then it is a bad one."""
        installation.token_lifetime = 60
        token = signer.token()
        signer.clock.now += 59
        reply = api(signer.github, f"/repos/{tool.full_name}", token=token)
        assert reply.status == 200
        assert "github-authentication-token-expiration" not in reply.headers
        signer.clock.now += 1
        assert told(api(signer.github, f"/repos/{tool.full_name}", token=token)) == (401, "Bad credentials")

    def test_revoked(self, signer: Signer, tool: Repository) -> None:
        """A token that was revoked is a bad one; the installation's others are not touched."""
        first, second = signer.token(), signer.token()
        signer.github.tokens[:] = [token for token in signer.github.tokens if token.value != first]
        assert reads(signer.github, first, tool) == [401]
        assert reads(signer.github, second, tool) == [200]

    def test_suspended(self, signer: Signer, installation: Installation, tool: Repository) -> None:
        """While the installation is suspended its tokens are 403, and say why; it is no bad login."""
        token = signer.token()
        installation.suspended = True
        for path in (f"/repos/{tool.full_name}", "/repos/elsewhere/public", "/installation/repositories"):
            reply = api(signer.github, path, token=token)
            assert reply.status == 403
            assert "This installation owned by acme suspended your access at" in reply.json["message"]
        assert signer.github.bad_logins == 0
        installation.suspended = False
        assert reads(signer.github, token, tool) == [200]

    def test_uninstalled(self, signer: Signer, app: App, tool: Repository) -> None:
        """When the App is uninstalled its tokens are bad ones, and the installation is 404."""
        token, gone = signer.token(), app.installations[0]
        app.installations.clear()
        assert told(api(signer.github, f"/repos/{tool.full_name}", token=token)) == (401, "Bad credentials")
        assert signer.make(installation=gone).status == 404
        assert signer.ask("/repos/acme/tool/installation").status == 404

    def test_deselected(self, signer: Signer, installation: Installation, tool: Repository, lib: Repository) -> None:
        """A repository that is taken out of the installation is lost to the tokens that were made before."""
        tokens = [signer.token(), signer.token(repositories=["tool"])]
        installation.repositories = {lib.full_name}
        assert [reads(signer.github, token, tool, lib) for token in tokens] == [[404, 200], [404, 404]]

    def test_rename(self, signer: Signer, installation: Installation, tool: Repository) -> None:
        """A token for one repository reads it after a rename."""
        installation.repositories = {"acme/tool"}
        token = signer.token(repositories=["tool"])
        tool.rename("acme/new")
        assert reads(signer.github, token, tool) == [200]
        assert api(signer.github, "/repos/acme/tool", token=token).status == 301

    def test_one_budget(self, signer: Signer, installation: Installation, tool: Repository) -> None:
        """All tokens of an installation spend one budget of 15,000 an hour; nobody else spends it."""
        first, second = signer.token(), signer.token()
        reads(signer.github, first, tool)
        reply = api(signer.github, f"/repos/{tool.full_name}", token=second)
        assert (reply.headers["x-ratelimit-limit"], reply.headers["x-ratelimit-used"]) == ("15000", "2")
        api(signer.github, "/user")
        assert (installation.used, signer.github.tokens[0].used) == (2, 1)
        installation.used = 15_000
        for token in (first, second, signer.token()):
            reply = api(signer.github, f"/repos/{tool.full_name}", token=token)
            assert told(reply) == (403, f"API rate limit exceeded for installation ID {installation.id}.")
        assert api(signer.github, "/user").status == 200
        signer.clock.now += 3600
        assert reads(signer.github, signer.token(), tool) == [200]

    def test_rate_limit_is_free(self, signer: Signer) -> None:
        """Asking for the budget tells the installation's and costs nothing of it."""
        token = signer.token()
        for _ in range(2):
            core = api(signer.github, "/rate_limit", token=token).json["resources"]["core"]
            assert (core["limit"], core["used"], core["remaining"]) == (15_000, 0, 15_000)

    def test_repositories(self, signer: Signer, tool: Repository, lib: Repository) -> None:
        """`/installation/repositories` tells what a token was made for, and no public repository beside it."""
        reply = api(signer.github, "/installation/repositories", token=signer.token())
        assert (reply.json["total_count"], reply.json["repository_selection"]) == (2, "all")
        assert [r["full_name"] for r in reply.json["repositories"]] == [tool.full_name, lib.full_name]
        narrowed = api(signer.github, "/installation/repositories", token=signer.token(repository_ids=[lib.id]))
        assert (narrowed.json["total_count"], narrowed.json["repository_selection"]) == (1, "selected")
        assert [r["id"] for r in narrowed.json["repositories"]] == [lib.id]

    def test_repositories_are_paged(self, signer: Signer) -> None:
        """They come in pages, with the count of them all."""
        signer.github.repositories += [Repository("acme", f"more-{n}") for n in range(40)]
        token = signer.token()
        first = api(signer.github, "/installation/repositories", token=token)
        assert (first.json["total_count"], len(first.json["repositories"])) == (42, 30)
        assert f'<{signer.github.api}/installation/repositories?page=2>; rel="next"' in first.headers["link"]
        second = api(signer.github, "/installation/repositories?page=2", token=token)
        assert len(second.json["repositories"]) == 12

    def test_repositories_are_for_installations(self, signer: Signer) -> None:
        """No other token is told them, and nobody is without one."""
        reply = api(signer.github, "/installation/repositories")
        assert (reply.status, "installation access token" in reply.json["message"]) == (403, True)
        assert api(signer.github, "/installation/repositories", token=None).status == 401

    def test_made_by_hand(self, signer: Signer, tool: Repository, foreign: Repository) -> None:
        """A token that a test made by hand, of no installation, keeps its own budget and repositories."""
        signer.github.tokens.append(Token("ghs_hand", {"acme/tool"}, kind="installation"))
        assert reads(signer.github, "ghs_hand", tool, foreign) == [200, 404]
        reply = api(signer.github, "/installation/repositories", token="ghs_hand")
        assert (reply.json["total_count"], reply.json["repository_selection"]) == (1, "selected")
        assert reply.headers["x-ratelimit-limit"] == "5000"
