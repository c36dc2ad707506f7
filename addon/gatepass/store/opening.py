"""How the store is reached: its address, its password and keys, and what is wrong with them.

Knows the client library, which is an extra; does not know who says what the address is.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gatepass.errors import printable, why
from gatepass.store.circuit import MOST_AT_ONCE, Circuit, said
from gatepass.store.sealing import Seal
from gatepass.store.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from gatepass.store.circuit import Health
    from gatepass.store.place import Place

# The circuit has a shorter deadline; this one is for what it has let go.
_MOST_SECONDS: Final = 2.0

MISSING: Final = "a shared cache needs the package `redis`"
HINT: Final = "install Gatepass with its extra `redis`"


@dataclass(frozen=True, slots=True)
class Opening:
    """All that it takes to open a store; equal where nothing has changed."""

    place: Place
    password: str | None = field(repr=False)
    keys: tuple[bytes, ...] = field(repr=False)


def is_installed() -> bool:
    """Whether the client library is there."""
    try:
        import redis.asyncio  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def opened(opening: Opening, trust: ssl.SSLContext, told: Callable[[Health], None]) -> Shared:
    """The store, not asked yet; with TLS it is verified by `trust`. `told` hears how it is whenever that changes."""
    circuit = Circuit(_client(opening, trust), _reason, told)
    return Shared(circuit, Seal(opening.keys))


def _client(opening: Opening, trust: ssl.SSLContext) -> Any:
    # an extra, and many modules
    from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    class Verified(SSLConnection):
        """Trusts what the proxy trusts: the library would make a context of its own."""

        def _connection_arguments(self) -> dict[str, Any]:
            return {**super()._connection_arguments(), "ssl": trust}

    place = opening.place
    pool = BlockingConnectionPool(
        max_connections=MOST_AT_ONCE + 1,  # one to see whether it is back
        timeout=_MOST_SECONDS,
        connection_class=Verified if place.is_tls else Connection,
        host=place.host,
        port=place.port,
        db=place.database,
        username=place.user,
        password=opening.password,
        socket_timeout=_MOST_SECONDS,
        socket_connect_timeout=_MOST_SECONDS,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        driver_info=None,
    )
    return Redis.from_pool(pool)


def _reason(error: BaseException) -> str:
    """What went wrong, in words that hold nothing of what was asked."""
    from redis import exceptions

    match error:
        case exceptions.AuthenticationError() | exceptions.NoPermissionError():
            return "it does not take the password"
        case exceptions.OutOfMemoryError():
            return "it is full"
        case exceptions.ReadOnlyError():
            return "it is a replica of its own, and takes no values"
        case exceptions.BusyLoadingError():
            return "it is just starting"
        case exceptions.ResponseError():
            return f"it refuses: {said(error)}"
        case exceptions.InvalidResponse():
            return "what it answers is not Redis's protocol"
        case OSError() | exceptions.ConnectionError():
            cause = error.__cause__ or error.__context__ or error
            return f"it cannot be reached: {_cause(cause)}"
    return f"what it answers makes no sense: {type(error).__name__}"


def _cause(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {printable(error.reason or str(error))}"
    return why(error) if isinstance(error, OSError) else "the connection ended"
