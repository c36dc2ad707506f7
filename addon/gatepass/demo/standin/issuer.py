"""An issuer of OpenID Connect, such as GitHub Actions has for its jobs: keys that it publishes, and tokens of them.

It may not know what tokens are for. Shapes are those of OpenID Connect Discovery 1.0 and RFC 7517.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from .exchange import Answer, Recorded

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "/oidc"
_SUBJECT = "repo:acme/tool:ref:refs/heads/main"
_CLAIMS = {"repository": "acme/tool", "repository_owner": "acme", "ref": "refs/heads/main"}


@dataclass
class Issuer:
    """Keys by their ids; the last one signs. `url` is its own, which a world that listens knows.

    `told`: what the discovery document says of the issuer, where that is not its URL.
    """

    url: Callable[[], str]
    told: str | None = None
    lifetime: int = 300
    _made: int = field(init=False, default=0)

    @cached_property
    def keys(self) -> dict[str, rsa.RSAPrivateKey]:
        return dict([self._key()])

    def _key(self) -> tuple[str, rsa.RSAPrivateKey]:
        self._made += 1
        return f"key-{self._made}", rsa.generate_private_key(65537, 2048)

    def rotate(self, *, keep: bool = False) -> None:
        """Sign with a new key from now on; what the one before signed is good no more, unless it is to `keep`."""
        kept = dict(self.keys) if keep else {}
        self.keys.clear()
        self.keys.update([*kept.items(), self._key()])

    def token(self, audience: str = "gatepass", key: str | None = None, **claims: Any) -> str:
        """A job's token; a claim of None is left out."""
        now = int(time.time())
        kid = key or list(self.keys)[-1]
        told: dict[str, Any] = {"iss": self.url(), "aud": audience, "sub": _SUBJECT, **_CLAIMS}
        told |= {"iat": now, "nbf": now, "exp": now + self.lifetime, **claims}
        kept = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(kept, self.keys[kid], "RS256", {"kid": kid})

    def answer(self, request: Recorded) -> Answer:
        """The two documents."""
        match request.path.removeprefix(PATH):
            case "/.well-known/openid-configuration":
                url = self.url()
                return _json({"issuer": self.told or url, "jwks_uri": f"{url}/keys"})
            case "/keys":
                public = [(kid, RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)) for kid, key in self.keys.items()]
                return _json({"keys": [{**jwk, "kid": kid, "use": "sig", "alg": "RS256"} for kid, jwk in public]})
        return Answer.text(404, "not found\n")


def _json(document: object) -> Answer:
    return Answer.text(200, json.dumps(document), "application/json")
