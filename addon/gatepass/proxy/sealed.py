"""Request headers that carry a secret on the wire, and a placeholder everywhere else.

mitmproxy hands a flow to every addon, to the web page and to flow files while its request is under way, so a secret
that stands in `flow.request.headers` is already out. Here it stands in none of them: the fields hold a placeholder, and
only the bytes that mitmproxy's HTTP/1 writer asks for, once, hold the secret (`net/http/http1/assemble.py`). Copies
and saved states are made from the fields. Should mitmproxy come to write headers in another way, the placeholder goes
out and the API refuses it: the failure is closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mitmproxy.http import Headers, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PLACEHOLDER: Final = "[sealed by gatepass]"


class SealedHeaders(Headers):
    """Headers of which some values are known only to the wire."""

    def __init__(self, fields: Iterable[tuple[bytes, bytes]], sealed: Mapping[str, Callable[[], str]]) -> None:
        """`sealed` maps header names to what opens their values; a field of that name is replaced."""
        super().__init__(fields)
        for name in sealed:
            self[name] = PLACEHOLDER
        self._sealed = {name.lower().encode(): open_value for name, open_value in sealed.items()}

    def __bytes__(self) -> bytes:
        sealed, self._sealed = self._sealed, {}
        if not sealed:
            return super().__bytes__()
        return bytes(Headers((name, self._opened(sealed, name, value)) for name, value in self.fields))

    @staticmethod
    def _opened(sealed: Mapping[bytes, Callable[[], str]], name: bytes, value: bytes) -> bytes:
        open_value = sealed.get(name.lower())
        # another addon may have set the header since: then it is not ours
        return open_value().encode() if open_value is not None and value == PLACEHOLDER.encode() else value


class SealedRequest(Request):
    """A request whose target is known only to the wire: a signed URL's query is a secret, too.

    mitmproxy's HTTP/1 writer reads `data.path`; what shows, saves and copies a flow reads `path` or the state.
    """

    @property
    def path(self) -> str:
        return f"/{PLACEHOLDER}"

    @path.setter
    def path(self, value: str | bytes) -> None:
        self.data.path = value if isinstance(value, bytes) else value.encode()

    def get_state(self) -> Any:
        return {**super().get_state(), "path": self.path.encode()}  # type: ignore[no-untyped-call]  # mitmproxy's has no types
