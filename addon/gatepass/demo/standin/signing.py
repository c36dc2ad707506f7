"""Signed URLs of the asset host: made here, and checked here.

Two kinds: SigV4-like, which GitHub gives to a request with credentials, and SAS-like, which it gives to an anonymous
one (dependabot/proxy #15 and #27). Real HMACs over host, path and query; only the algorithms' paperwork is left out.
It may not know what lies behind a path.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote, urlencode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

type Verdict = Literal["good", "expired", "wrong"]

# A SAS signature lives for an hour, the `jwt` beside it for 300 s: the shorter one decides (claude-code #70588).
_SAS_LIFETIME = timedelta(hours=1)


@dataclass(slots=True)
class Signer:
    """Signs for some seconds from `clock` (epoch seconds); a new `generation` makes all older URLs expired."""

    clock: Callable[[], float]
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    generation: int = 0

    def sigv4(
        self, host: str, path: str, content_type: str, disposition: str, lifetime: int, method: str = "GET"
    ) -> str:
        """A URL that is signed for one method alone."""
        now = datetime.fromtimestamp(self.clock(), UTC)
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"AKIASTANDIN/{now:%Y%m%d}/us-east-1/s3/aws4_request",
            "X-Amz-Date": f"{now:%Y%m%dT%H%M%SZ}",
            "X-Amz-Expires": str(lifetime),
            "X-Amz-SignedHeaders": "host",
            "actor_id": "1",
            "key_id": str(self.generation),
            "response-content-disposition": disposition,
            "response-content-type": content_type,
        }
        return self._url(host, path, query, "X-Amz-Signature", self._hmac(method, host, path, query).hex())

    def sas(self, host: str, path: str, content_type: str, disposition: str, lifetime: int) -> str:
        """A URL that is signed for reading: GET and HEAD."""
        now = int(self.clock())
        claims = {
            "iss": "github.com",
            "aud": host,
            "key": f"key{self.generation}",
            "nbf": now,
            "exp": now + lifetime,
        }
        token = ".".join(map(_base64url, (b'{"typ":"JWT","alg":"HS256"}', json.dumps(claims).encode())))
        query = {
            "sp": "r",
            "sv": "2018-11-09",
            "sr": "b",
            "spr": "https",
            "se": f"{datetime.fromtimestamp(now, UTC) + _SAS_LIFETIME:%Y-%m-%dT%H:%M:%SZ}",
            "rscd": disposition,
            "rsct": content_type,
            "jwt": f"{token}.{_base64url(hmac.digest(self.key, token.encode(), 'sha256'))}",
            "response-content-disposition": disposition,
            "response-content-type": content_type,
        }
        return self._url(host, path, query, "sig", base64.b64encode(self._hmac("", host, path, query)).decode())

    def check_sigv4(self, host: str, path: str, query: Mapping[str, str], method: str = "GET") -> Verdict:
        name = "X-Amz-Signature"
        if not hmac.compare_digest(query[name].encode(), self._hmac(method, host, path, query, name).hex().encode()):
            return "wrong"
        issued = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        fresh = self.clock() < issued + int(query["X-Amz-Expires"])
        return "good" if fresh and query["key_id"] == str(self.generation) else "expired"

    def check_sas(self, host: str, path: str, query: Mapping[str, str]) -> Verdict:
        if not hmac.compare_digest(query["sig"].encode(), base64.b64encode(self._hmac("", host, path, query, "sig"))):
            return "wrong"
        payload = query["jwt"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        fresh = self.clock() < min(claims["exp"], datetime.fromisoformat(query["se"]).timestamp())
        return "good" if fresh and claims["key"] == f"key{self.generation}" else "expired"

    def token(self, path: str, lifetime: int) -> str:
        """What opens one path of codeload: a text that does not say when it ends."""
        end = f"{int(self.clock()) + lifetime:x}"
        return f"{self._hmac('token', str(self.generation), path, {'end': end}).hex().upper()[:40]}{end.upper()}"

    def opens(self, path: str, token: str) -> bool:
        mark, end = token[:40], token[40:].lower()
        known = self._hmac("token", str(self.generation), path, {"end": end}).hex().upper()[:40]
        return bool(end) and hmac.compare_digest(mark.encode(), known.encode()) and self.clock() < int(end, 16)

    def _hmac(self, method: str, host: str, path: str, query: Mapping[str, str], without: str = "") -> bytes:
        # Over decoded values: a client that re-encodes the query keeps a good URL, as with SigV4's canonical form.
        signed = (f"{k}={v}" for k, v in sorted(query.items()) if k != without)
        message = "\n".join([method, host.lower(), unquote(path), *signed])
        return hmac.digest(self.key, message.encode(), hashlib.sha256)

    @staticmethod
    def _url(host: str, path: str, query: Mapping[str, str], name: str, signature: str) -> str:
        return f"https://{host}{path}?{urlencode({**query, name: signature}, quote_via=quote)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
