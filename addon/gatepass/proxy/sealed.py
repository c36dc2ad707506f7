"""Requests that carry a secret on the wire, and a placeholder everywhere else.

mitmproxy hands a flow to every addon, to the web page and to flow files while its request is under way, so a secret
that stands in `flow.request.headers` is already out. Here it stands in none of them: the fields hold a placeholder, and
only the bytes that mitmproxy's HTTP/1 writer asks for, once, hold the secret (`net/http/http1/assemble.py`), if the
seal opens then. Copies and saved states are made from the fields. Should mitmproxy come to write requests in another
way, the placeholder goes out and the API refuses it: the failure is closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mitmproxy.http import Headers, Request, RequestData

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Protocol

    class Seal(Protocol):
        """What tells whether a secret may be written now."""

        def opens(self) -> bool: ...


PLACEHOLDER: Final = "[sealed by gatepass]"


class SealedHeaders(Headers):
    """Headers of which some values are known only to the wire."""

    def __init__(
        self, fields: Iterable[tuple[bytes, bytes]], sealed: Mapping[str, Callable[[], str]], seal: Seal
    ) -> None:
        """`sealed` maps header names to what opens their values; a field of that name is replaced."""
        super().__init__(fields)
        for name in sealed:
            self[name] = PLACEHOLDER
        self._sealed = {name.lower().encode(): open_value for name, open_value in sealed.items()}
        self._seal = seal

    def keep(self) -> None:
        """Put away what another addon has set in place of a secret, or as one."""
        self.pop("Authorization", None)
        for name in self._sealed:
            self[name.decode()] = PLACEHOLDER

    def __bytes__(self) -> bytes:
        if not self._sealed or not self._seal.opens():
            return super().__bytes__()
        sealed, self._sealed = self._sealed, {}
        return bytes(Headers((name, self._opened(sealed, name, value)) for name, value in self.fields))

    @staticmethod
    def _opened(sealed: Mapping[bytes, Callable[[], str]], name: bytes, value: bytes) -> bytes:
        open_value = sealed.get(name.lower())
        # another addon may have set the header since: then it is not ours
        return open_value().encode() if open_value is not None and value == PLACEHOLDER.encode() else value


class _SealedData(RequestData):
    """What the writer reads: the target is there while the seal opens."""

    target: bytes
    seal: Seal

    @property
    def path(self) -> bytes:
        return self.target if self.seal.opens() else _SEALED_PATH

    @path.setter
    def path(self, value: bytes) -> None:
        self.target = value


_SEALED_PATH: Final = f"/{PLACEHOLDER}".encode()


class SealedRequest(Request):
    """A request whose target is known only to the wire: a signed URL's query is a secret, too."""

    def __init__(self, seal: Seal, *fields: Any) -> None:
        """`fields` are those of a `Request`."""
        super().__init__(*fields)
        told = vars(self.data)
        told |= {"target": told.pop("path"), "seal": seal}
        self.data.__class__ = _SealedData

    @property
    def path(self) -> str:
        return _SEALED_PATH.decode()

    @path.setter
    def path(self, value: str | bytes) -> None:
        self.data.path = value if isinstance(value, bytes) else value.encode()

    def get_state(self) -> Any:
        state = super().get_state()  # type: ignore[no-untyped-call]  # mitmproxy's has no types
        return {name: value for name, value in state.items() if name not in ("target", "seal")} | {"path": _SEALED_PATH}

    @classmethod
    def from_state(cls, state: Any) -> Request:  # type: ignore[override]  # nothing is sealed in a copy
        return Request.from_state(state)  # type: ignore[no-any-return]  # as above
