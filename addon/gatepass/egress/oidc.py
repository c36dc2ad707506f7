"""Tokens of OpenID Connect: JWTs that an issuer's published keys verify (OpenID Connect Discovery 1.0; RFC 7517, 7519).

How a document is fetched is handed in. No token, and nothing of one but its `sub`, is kept or told.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from gatepass.cache import Flights
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable
from gatepass.rules.values import glob

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from gatepass.rules.access import Oidc

    type Fetch = Callable[[str, int], Awaitable[bytes]]
    """What gives a document of at most so many bytes, and raises `Unresolvable` where there is none."""

    type Key = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey

LEEWAY_SECONDS: Final = 60
FRESH_SECONDS: Final = 300.0
"""For which an issuer's keys are believed before it is asked again."""
KNOWN_SECONDS: Final = 3600.0
"""For which they serve while it cannot be reached."""
AGAIN_SECONDS: Final = 60.0
"""A key that is not among them has them asked for anew, but not more often."""

_DOWN_SECONDS: Final = 10.0
_MOST_BYTES: Final = 512 * 1024
_MOST_KEYS: Final = 100
_MOST_TOKEN: Final = 16 * 1024
_LEAST_RSA_BITS: Final = 2048
# A JWT's header is a JSON object, and so begins with `{"`.
_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", re.ASCII)

_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_EC: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_ALGORITHMS: Final = _RSA | frozenset(_EC.values()) | {"EdDSA"}

_REASONS: Final[tuple[tuple[type[jwt.PyJWTError], str], ...]] = (
    (jwt.ExpiredSignatureError, "it has expired"),
    (jwt.ImmatureSignatureError, "it is not valid yet"),
    (jwt.InvalidAudienceError, "it is for another audience"),
    (jwt.InvalidSignatureError, "its signature is not its issuer's"),
    (jwt.MissingRequiredClaimError, "it lacks `exp`, `iss` or `aud`"),
)


class WrongTokenError(Exception):
    """The token is not one that the rules want; its text says what is wrong, and nothing of what stands in it."""


def is_jwt(password: str) -> bool:
    """Whether a password can only be a JWT."""
    return _JWT.fullmatch(password) is not None


class _Document(msgspec.Struct, frozen=True):
    issuer: str
    jwks_uri: str


class _Keys(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


class _Issuer:
    """One issuer's keys, as they were when it was last asked."""

    def __init__(self, url: str, fetch: Fetch, clock: Callable[[], float]) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[str, tuple[Key, str]] = {}
        self._since = -math.inf
        self._unknown_since = -math.inf
        self._down_until = -math.inf
        self._why = ""
        self._flights: Flights[str] = Flights()

    async def key(self, header: Mapping[str, Any]) -> Key:
        """The key that a token with that header is signed with.

        Raises:
            WrongTokenError: the issuer has no such key.
            Unresolvable: it cannot be asked, and has not told for an hour.
        """
        asked = False
        if self._clock() - self._since >= FRESH_SECONDS:
            asked = await self._ask()
            if self._clock() - self._since >= KNOWN_SECONDS:
                raise self._unreachable()
        found = self._find(header)
        if found is None and not asked:
            if self._clock() < self._down_until:
                raise self._unreachable()
            if self._clock() - self._unknown_since >= AGAIN_SECONDS:
                self._unknown_since = self._clock()
                if not await self._ask():
                    raise self._unreachable()
                found = self._find(header)
        if found is None:
            raise WrongTokenError("its key is none of its issuer's")
        key, algorithm = found
        if algorithm not in ("", header["alg"]) or header["alg"] not in _fitting(key):
            raise WrongTokenError("its algorithm is not that of its key")
        return key

    def _find(self, header: Mapping[str, Any]) -> tuple[Key, str] | None:
        if "kid" not in header:  # then there can be but one
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(header["kid"])

    def _unreachable(self) -> Unresolvable:
        wait = max(1, math.ceil(self._down_until - self._clock()))
        return Unresolvable(catalogue.ISSUER_UNREACHABLE(url=self._url, message=self._why, retry_after=wait))

    async def _ask(self) -> bool:
        """Ask for the keys anew, unless it has just been in vain. Whether they are there."""
        if self._clock() < self._down_until:
            return False
        return await self._flights.share("keys", self._asked)

    async def _asked(self) -> bool:
        try:
            self._keys = await self._published()
        except Unresolvable as unresolvable:
            self._why = f"{unresolvable.problem.title}: {unresolvable.problem.detail}"
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._why = "what it publishes is not as OpenID Connect has it"
        else:
            self._since = self._clock()
            return True
        self._down_until = self._clock() + _DOWN_SECONDS
        return False

    async def _published(self) -> Mapping[str, tuple[Key, str]]:
        # OpenID Connect Discovery 1.0, sections 4.1 and 4.3
        where = f"{self._url.removesuffix('/')}/.well-known/openid-configuration"
        document = msgspec.json.decode(await self._fetch(where, _MOST_BYTES), type=_Document)
        if document.issuer != self._url:
            raise msgspec.DecodeError
        parts = urlsplit(document.jwks_uri)
        if parts.scheme != "https" or not parts.hostname or parts.username is not None:
            raise msgspec.DecodeError
        keys = msgspec.json.decode(await self._fetch(document.jwks_uri, _MOST_BYTES), type=_Keys).keys
        return dict(_usable(keys[:_MOST_KEYS]))


def _usable(entries: Iterable[dict[str, Any]]) -> Iterable[tuple[str, tuple[Key, str]]]:
    """The keys of a set that may verify a token, by their ids, and the algorithm that each is for, where it says."""
    for entry in entries:
        # RFC 7517, sections 4.2 and 5: what is for another use, or of an unknown kind, is left aside
        if entry.get("use", "sig") != "sig" or entry.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        try:
            key = jwt.PyJWK.from_dict(entry).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        kid, algorithm = entry.get("kid", ""), entry.get("alg", "")
        if isinstance(kid, str) and isinstance(algorithm, str) and _fitting(key):
            yield kid, (key, algorithm)


def _fitting(key: object) -> frozenset[str]:
    """The algorithms that a public key may verify; none for what is no public key, or too short."""
    match key:
        case rsa.RSAPublicKey():
            return _RSA if key.key_size >= _LEAST_RSA_BITS else frozenset()
        case ec.EllipticCurvePublicKey():
            return frozenset({_EC[key.curve.name]}) if key.curve.name in _EC else frozenset()
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return frozenset({"EdDSA"})
    return frozenset()


class Tokens:
    """Tells tokens of these clients from all others."""

    def __init__(self, clients: Iterable[tuple[str, Oidc]], fetch: Fetch, clock: Callable[[], float]) -> None:
        """`clock` gives seconds."""
        self._clients = tuple(clients)
        issuers = {oidc.issuer for _, oidc in self._clients}
        self._issuers = {url: _Issuer(url, fetch, clock) for url in issuers}

    async def client(self, token: str) -> tuple[str, str | None]:
        """Which client has that token, and its `sub`.

        Raises:
            WrongTokenError: none has.
            Unresolvable: its issuer cannot be asked.
        """
        header, issuer = _unverified(token)
        key = await self._issuers[issuer].key(header) if issuer in self._issuers else None
        if key is None:
            raise WrongTokenError("its issuer is none that the rules name")
        wrong = WrongTokenError("")
        for name, oidc in self._clients:
            if oidc.issuer == issuer:
                try:
                    claims = _verified(token, key, header["alg"], oidc)
                    _expect(claims, oidc)
                except WrongTokenError as error:
                    wrong = error
                else:
                    return name, claims.get("sub")
        raise wrong


def _unverified(token: str) -> tuple[dict[str, Any], str]:
    """A token's header, of which nothing is believed, and the issuer that it says it has.

    Raises:
        WrongTokenError: it cannot be of any.
    """
    if len(token) > _MOST_TOKEN:
        raise WrongTokenError(f"it has more than {_MOST_TOKEN} bytes")
    try:
        whole = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise WrongTokenError("it cannot be read") from None
    header, issuer = whole["header"], whole["payload"].get("iss")
    if header.get("alg") not in _ALGORITHMS:
        raise WrongTokenError("its algorithm is not asymmetric")
    # RFC 7515, section 4.1.11: nothing of the kind is understood here
    if "crit" in header or not isinstance(header.get("kid", ""), str) or not isinstance(issuer, str):
        raise WrongTokenError("it cannot be read")
    return header, issuer


def _verified(token: str, key: Key, algorithm: str, oidc: Oidc) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=oidc.audience,
            issuer=oidc.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud"]},
        )
    except jwt.PyJWTError as error:
        reason = next((text for kind, text in _REASONS if isinstance(error, kind)), "it cannot be read")
        raise WrongTokenError(reason) from None
    return claims


def _expect(claims: Mapping[str, Any], oidc: Oidc) -> None:
    for name, pattern in oidc.claims:
        if not _holds(pattern, claims.get(name)):
            raise WrongTokenError(f"its claim `{name}` is not what the rules want")


def _holds(pattern: str, value: object) -> bool:
    """Whether a claim is as the rules want it: of a list any element; what is no text compares as JSON."""
    if isinstance(value, list):
        return any(_is(pattern, element) for element in value)
    return value is not None and _is(pattern, value)


def _is(pattern: str, value: object) -> bool:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return glob(pattern, text)
