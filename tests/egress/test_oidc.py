"""Tokens of OpenID Connect: which are taken, why all others are not, and how often an issuer is asked."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gatepass.egress.oidc import Tokens, WrongTokenError, is_jwt
from gatepass.forge.hosts import Host
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable
from gatepass.rules.access import Oidc

ISSUER = "https://ci.example.com/jobs"
OURS = Oidc(ISSUER, "gatepass", (("repository_owner", "acme"), ("ref", "refs/heads/*")))


class Publisher:
    """What an issuer publishes, at a clock that a test sets; counts how often it was asked for its keys."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"one": rsa.generate_private_key(65537, 2048)}
        self.extra: list[dict[str, Any]] = []
        self.document: dict[str, Any] = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}
        self.algorithm: str | None = "RS256"
        self.now = 1000.0
        self.asked = 0
        self.down = False

    async def fetch(self, url: str, most: int) -> bytes:
        assert most < 1 << 20
        if self.down:
            raise Unresolvable(catalogue.TIMED_OUT(host=Host("ci.example.com"), seconds=10))
        if url == f"{ISSUER}/.well-known/openid-configuration":
            return json.dumps(self.document).encode()
        assert url == f"{ISSUER}/keys"
        self.asked += 1
        keys = [{**_jwk(key), "kid": kid, "use": "sig"} for kid, key in self.keys.items()]
        if self.algorithm:
            keys = [{**key, "alg": self.algorithm} for key in keys]
        return json.dumps({"keys": self.extra + keys}).encode()

    def tokens(self, *clients: tuple[str, Oidc]) -> Tokens:
        return Tokens(clients or (("actions", OURS),), self.fetch, lambda: self.now)

    def token(
        self, kid: str = "one", algorithm: str = "RS256", headers: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        now = int(time.time())
        told = {"iss": ISSUER, "aud": "gatepass", "exp": now + 300, "sub": "job", "repository_owner": "acme"}
        told |= {"ref": "refs/heads/main", **claims}
        kept = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(kept, self.keys[kid], algorithm, {"kid": kid, **(headers or {})})


def _jwk(key: Any) -> dict[str, Any]:
    public = key.public_key()
    match public:
        case rsa.RSAPublicKey():
            return RSAAlgorithm.to_jwk(public, as_dict=True)
        case ec.EllipticCurvePublicKey():
            return ECAlgorithm.to_jwk(public, as_dict=True)
    return OKPAlgorithm.to_jwk(public, as_dict=True)


@pytest.fixture(scope="module")
def _publisher() -> Publisher:
    return Publisher()


@pytest.fixture
def publisher(_publisher: Publisher) -> Publisher:
    """As new, but for the key that takes time to make."""
    new = Publisher.__new__(Publisher)
    vars(new).update(vars(_publisher))
    new.keys, new.extra, new.document = dict(new.keys), [], dict(new.document)
    return new


async def refused(tokens: Tokens, token: str) -> str:
    """Why a token is not taken."""
    with pytest.raises(WrongTokenError) as caught:
        await tokens.client(token)
    return str(caught.value)


async def test_a_token_is_its_clients(publisher: Publisher) -> None:
    """It is known by the entry's name, and told by its `sub`, where it has one."""
    tokens = publisher.tokens()
    assert await tokens.client(publisher.token()) == ("actions", "job")
    assert await tokens.client(publisher.token(sub=None)) == ("actions", None)


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": 1}, "it has expired"),
        ({"exp": None}, "it lacks"),
        ({"exp": int(time.time()) - 61}, "it has expired"),
        ({"nbf": int(time.time()) + 3600}, "it is not valid yet"),
        ({"iat": int(time.time()) + 3600}, "it is not valid yet"),
        ({"aud": "another"}, "it is for another audience"),
        ({"aud": None}, "it lacks"),
        ({"aud": ["a", "b"]}, "it is for another audience"),
        ({"iss": "https://ci.example.com"}, "its issuer is none"),
        ({"iss": f"{ISSUER}/"}, "its issuer is none"),
        ({"iss": None}, "it cannot be read"),
        ({"repository_owner": "evil"}, "its claim `repository_owner`"),
        ({"repository_owner": None}, "its claim `repository_owner`"),
        ({"repository_owner": "Acme"}, "its claim `repository_owner`"),
        ({"ref": "refs/tags/v1"}, "its claim `ref`"),
        ({"ref": ["refs/tags/v1"]}, "its claim `ref`"),
        ({"ref": {"refs/heads/main": 1}}, "its claim `ref`"),
    ],
)
async def test_wrong_tokens(publisher: Publisher, claims: dict[str, Any], why: str) -> None:
    """Each is refused, and what is wrong is said without what stands in it."""
    told = await refused(publisher.tokens(), publisher.token(**claims))
    assert told.startswith(why)
    assert "evil" not in told


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": -30},
        {"nbf": 30},
        {"aud": ["another", "gatepass"]},
        {"ref": ["refs/tags/v1", "refs/heads/x/y"]},
    ],
)
async def test_right_tokens(publisher: Publisher, claims: dict[str, Any]) -> None:
    """Clocks may be a minute apart; of a list any element will do. Times are seconds from now."""
    claims = {name: int(time.time()) + value if name in ("exp", "nbf") else value for name, value in claims.items()}
    assert await publisher.tokens().client(publisher.token(**claims)) == ("actions", "job")


@pytest.mark.parametrize(
    ("pattern", "value", "holds"),
    [
        ("true", True, True),
        ("5", 5, True),
        ("5", "5", True),
        ("*", None, False),
        ('{"a":1}', {"a": 1}, True),
        ("*", [], False),
    ],
)
async def test_a_claim_that_is_no_text(publisher: Publisher, pattern: str, value: object, holds: bool) -> None:
    """It compares as JSON; one that is not there, or null, is nothing at all."""
    tokens = publisher.tokens(("a", Oidc(ISSUER, "gatepass", (("x", pattern),))))
    token = publisher.token(x=value)
    if holds:
        assert await tokens.client(token) == ("a", "job")
    else:
        assert (await refused(tokens, token)).startswith("its claim `x`")


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


async def test_only_asymmetric_algorithms(publisher: Publisher) -> None:
    """Neither none, nor HMAC with the public key as its secret, which everybody has."""
    tokens = publisher.tokens()
    claims = jwt.decode(publisher.token(), options={"verify_signature": False})
    unsigned = jwt.encode(claims, "", "none", {"kid": "one"})
    assert await refused(tokens, unsigned) == "its algorithm is not asymmetric"
    head = jwt.utils.base64url_encode(b'{"alg":"HS256","kid":"one"}')
    body = head + b"." + jwt.utils.base64url_encode(json.dumps(claims).encode())
    for secret in (_pem(publisher.keys["one"]), json.dumps(_jwk(publisher.keys["one"])).encode()):
        signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(body, secret)
        token = (body + b"." + jwt.utils.base64url_encode(signature)).decode()
        assert is_jwt(token)
        assert await refused(tokens, token) == "its algorithm is not asymmetric"
    assert publisher.asked == 0, "what can never be right costs the issuer nothing"


async def test_a_symmetric_key_that_is_published_is_none(publisher: Publisher) -> None:
    publisher.extra = [{"kty": "oct", "kid": "shared", "k": "c2VjcmV0", "alg": "HS256"}]
    token = publisher.token(headers={"kid": "shared"})
    assert await refused(publisher.tokens(), token) == "its key is none of its issuer's"


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ],
    ids=["ES256", "ES384", "EdDSA"],
)
async def test_other_keys(publisher: Publisher, key: Any, algorithm: str) -> None:
    """A key verifies the algorithms that are its own, whether the issuer says which or not; none else."""
    publisher.algorithm, publisher.keys["two"] = None, key
    tokens = publisher.tokens()
    assert await tokens.client(publisher.token("two", algorithm)) == ("actions", "job")
    assert await tokens.client(publisher.token("one", "PS256")) == ("actions", "job")
    wrong = publisher.token("one", headers={"kid": "two"})
    assert await refused(tokens, wrong) == "its algorithm is not that of its key"


async def test_a_keys_own_algorithm(publisher: Publisher) -> None:
    """Where the issuer says which it is, no other is taken."""
    assert await refused(publisher.tokens(), publisher.token("one", "RS512")) == "its algorithm is not that of its key"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_a_key_that_is_too_short(publisher: Publisher) -> None:
    publisher.keys["short"] = rsa.generate_private_key(65537, 1024)  # noqa: S505 — that is the point
    assert await refused(publisher.tokens(), publisher.token("short")) == "its key is none of its issuer's"


async def test_another_signature(publisher: Publisher) -> None:
    """A token that says a key which it is not signed with, or whose claims were changed."""
    ours, publisher.keys["one"] = publisher.keys["one"], rsa.generate_private_key(65537, 2048)
    forged = publisher.token()
    publisher.keys["one"] = ours
    assert await refused(publisher.tokens(), forged) == "its signature is not its issuer's"


@pytest.mark.parametrize("headers", [{"crit": ["x"], "x": 1}, {"kid": "none"}])
async def test_other_headers(publisher: Publisher, headers: dict[str, Any]) -> None:
    """An extension that has to be understood is not; an unknown key is none."""
    told = await refused(publisher.tokens(), publisher.token(headers=headers))
    assert told in ("it cannot be read", "its key is none of its issuer's")


@pytest.mark.parametrize("token", ["eyJ.e30.x", "eyJhbGciOiJSUzI1NiJ9.e30.AA", "eyJhbGciOiJSUzI1NiJ9.bm9uZQ.AA"])
async def test_what_cannot_be_read(publisher: Publisher, token: str) -> None:
    assert is_jwt(token)
    assert await refused(publisher.tokens(), token) == "it cannot be read"


async def test_a_token_without_a_key_id(publisher: Publisher) -> None:
    """It is its issuer's only key's, or nobody's."""
    claims = jwt.decode(publisher.token(), options={"verify_signature": False})
    token = jwt.encode(claims, publisher.keys["one"], "RS256")
    assert await publisher.tokens().client(token) == ("actions", "job")
    publisher.algorithm, publisher.keys["two"] = None, ec.generate_private_key(ec.SECP256R1())
    assert await refused(publisher.tokens(), token) == "its key is none of its issuer's"


async def test_the_first_client_whose_token_it_is(publisher: Publisher) -> None:
    """Of several with one issuer; each is asked for its own audience and claims."""
    other = Oidc(ISSUER, "other", ())
    tokens = publisher.tokens(("main", OURS), ("rest", Oidc(ISSUER, "gatepass", ())), ("other", other))
    assert await tokens.client(publisher.token()) == ("main", "job")
    assert await tokens.client(publisher.token(ref="refs/tags/v1")) == ("rest", "job")
    assert await tokens.client(publisher.token(aud="other")) == ("other", "job")


# --------------------------------------------------------------- asking the issuer


async def test_keys_are_asked_for_once(publisher: Publisher) -> None:
    """They serve all tokens for a while."""
    tokens = publisher.tokens()
    for _ in range(5):
        await tokens.client(publisher.token())
    assert publisher.asked == 1
    publisher.now += 301
    await tokens.client(publisher.token())
    assert publisher.asked == 2


async def test_a_new_key_is_asked_for_at_once_and_then_once_a_minute(publisher: Publisher) -> None:
    """A rotation is seen when its first token comes; who invents key ids has the issuer asked no more than that."""
    tokens = publisher.tokens()
    await tokens.client(publisher.token())
    publisher.keys["two"] = rsa.generate_private_key(65537, 2048)
    assert await tokens.client(publisher.token("two")) == ("actions", "job")
    assert publisher.asked == 2
    for number in range(20):
        await refused(tokens, publisher.token(headers={"kid": f"invented-{number}"}))
    assert publisher.asked == 2
    publisher.now += 60
    await refused(tokens, publisher.token(headers={"kid": "invented"}))
    assert publisher.asked == 3


async def test_a_key_that_is_withdrawn(publisher: Publisher) -> None:
    """It is good for minutes at the most."""
    tokens, token = publisher.tokens(), publisher.token()
    await tokens.client(token)
    publisher.keys["two"] = publisher.keys.pop("one")
    publisher.now += 301
    assert await refused(tokens, token) == "its key is none of its issuer's"


async def test_an_issuer_that_cannot_be_reached(publisher: Publisher) -> None:
    """Known keys serve for an hour; then 503 says so, and when to ask again."""
    tokens, token = publisher.tokens(), publisher.token()
    await tokens.client(token)
    publisher.down = True
    publisher.now += 3599
    assert await tokens.client(token) == ("actions", "job")
    publisher.now += 2
    with pytest.raises(Unresolvable) as caught:
        await tokens.client(token)
    problem = caught.value.problem
    assert (problem.kind, problem.status) == ("issuer-unreachable", 503)
    assert ISSUER in problem.detail
    assert problem.retry_after
    publisher.down = False
    publisher.now += 11
    assert await tokens.client(token) == ("actions", "job")


async def test_an_issuer_that_cannot_be_reached_and_a_new_key(publisher: Publisher) -> None:
    """Nobody can tell whether it is the issuer's: that is no wrong token."""
    tokens = publisher.tokens()
    await tokens.client(publisher.token())
    publisher.down = True
    for _ in range(2):
        with pytest.raises(Unresolvable):
            await tokens.client(publisher.token(headers={"kid": "new"}))
    assert await tokens.client(publisher.token()) == ("actions", "job")


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example.com"},
        {"issuer": f"{ISSUER}/"},
        {"jwks_uri": "http://ci.example.com/jobs/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "https://"},
        {"jwks_uri": None},
        {"issuer": None},
    ],
)
async def test_a_document_that_is_not_the_issuers(publisher: Publisher, document: dict[str, Any]) -> None:
    """It has to name the very issuer, and keys behind https."""
    publisher.document |= document
    with pytest.raises(Unresolvable, match="not as OpenID Connect has it"):
        await publisher.tokens().client(publisher.token())
    assert publisher.asked == 0
