"""Who asks: the client whose password, token or address it is, by the rules in force.

Knows neither flows nor how passwords and documents are got, which is handed in. Holds no password; of one that was
right it keeps a keyed hash, for a minute.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from gatepass.cache import Cache, Flights
from gatepass.egress import htpasswd
from gatepass.egress.identity import Identity, Unknown, read_address
from gatepass.egress.oidc import Tokens, WrongTokenError, is_jwt
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable
from gatepass.rules.access import Htpasswd, Networks, Oidc, Password

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gatepass.egress.attempts import Attempts
    from gatepass.egress.identity import Address
    from gatepass.egress.oidc import Fetch
    from gatepass.problems.problem import Problem
    from gatepass.rules.access import Access, Client
    from gatepass.secret import Secret

    type Answer = Identity | Unknown | Problem
    """Who asks; or nobody, which may be mended by saying more; or why it cannot be told."""

SECONDS: Final = 10.0
"""In which it is known who asks, or the request is refused."""
KEPT_SECONDS: Final = 60.0
"""For which a password that was right is right without another look."""

_MOST_THREADS: Final = 2
_MOST_KEPT: Final = 4096
# Of no password: the hash of one would have to be all zeros.
_NO_SHA: Final = f"{{SHA}}{'A' * 27}="


class Clients:
    """The clients that the rules name, and how each is known.

    `passwords` gives a client's own, and may raise `Unresolvable`; so may `fetch`.

    Raises:
        GatepassError: a file of users cannot be read.
    """

    def __init__(
        self,
        access: Access,
        passwords: Callable[[str, Password], Awaitable[Secret]],
        fetch: Fetch,
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives seconds."""
        self._clients = access.clients
        self._passwords = passwords
        self._users = {
            each.name: htpasswd.read(each.proof) for each in access.clients if isinstance(each.proof, Htpasswd)
        }
        oidc = [(each.name, each.proof) for each in access.clients if isinstance(each.proof, Oidc)]
        self._tokens = Tokens(oidc, fetch, clock) if oidc else None
        hashes = [hashed for users in self._users.values() for hashed in users.values()]
        self._nobody = _nobody(max(hashes, key=htpasswd.cost)) if hashes else None
        self._right: Cache[bytes, bool] = Cache(_MOST_KEPT, clock)
        self._flights: Flights[bytes] = Flights()
        self._salt = secrets.token_bytes(32)
        # its threads end with this object: who is being asked when other rules come is answered by these still
        self._executor = ThreadPoolExecutor(_MOST_THREADS, "gatepass-passwords")

    @property
    def are_named(self) -> bool:
        """Whether only those may use the proxy whom the rules name."""
        return bool(self._clients)

    def by_address(self, address: Address) -> Identity | None:
        """Who needs no password; somebody without a name where none has to have one."""
        if not self._clients:
            return Identity(None, None, None, str(address))
        for client in self._clients:
            if isinstance(client.proof, Networks) and any(address in network for network in client.proof.networks):
                return Identity(client.name, None, None, str(address), client.proof)
        return None

    async def identify(self, authorization: str | None, address: Address, attempts: Attempts) -> Answer:
        """Who asks, by the value of the header that says so, and where they are; or why nobody is known."""
        if not self._clients:
            return Identity(None, None, None, str(address))
        if authorization is None:
            return self.by_address(address) or Unknown()
        given = _basic(authorization)
        if given is None:
            return Unknown("what it says of who asks is not of the scheme Basic")
        return await self.by_password(*given, address, attempts)

    async def by_password(self, user: str, password: str, address: Address, attempts: Attempts) -> Answer:
        """The same by a user's name and a password, which may be a token."""
        try:
            async with asyncio.timeout(SECONDS), attempts.turn(address) as turn:
                if turn.seconds is not None:
                    return catalogue.TOO_MANY_WRONG_PASSWORDS(client=str(address), retry_after=turn.seconds)
                turn.is_wrong = True  # unless it turns out to be something else
                try:
                    found = await self._found(user, password, address)
                except (Unresolvable, TimeoutError, asyncio.CancelledError):
                    turn.is_wrong = False
                    raise
                turn.is_wrong = isinstance(found, Unknown)
                return found
        except Unresolvable as unresolvable:
            return unresolvable.problem
        except TimeoutError:
            return catalogue.CLIENT_UNCHECKED(message=f"it took more than {SECONDS:g} s")

    async def _found(self, user: str, password: str, address: Address) -> Identity | Unknown:
        if self._tokens is not None and is_jwt(password):
            try:
                name, subject = await self._tokens.client(password)
            except WrongTokenError as wrong:
                return Unknown(f"the token is not accepted: {wrong}")
            return Identity(name, None, subject, str(address), self._proof(name))
        client = self._by_user(user)
        match client and client.proof:
            case Password() as proof:
                assert client is not None
                try:
                    secret = await self._passwords(client.name, proof)
                except Unresolvable as unresolvable:
                    message = f"client `{client.name}`: {unresolvable.problem.title}"
                    raise Unresolvable(catalogue.CLIENT_UNCHECKED(message=message)) from None
                if secret.opens_to(password):
                    return Identity(client.name, None, None, str(address), proof)
                await self._is_right(user, password, None)
            case Htpasswd():
                assert client is not None
                hashed = self._users[client.name][user]
                if await self._is_right(user, password, hashed):
                    return Identity(client.name, user, None, str(address), hashed)
            case _:
                await self._is_right(user, password, None)
        return Unknown("user or password is wrong")

    def _by_user(self, user: str) -> Client | None:
        """The first client that has a user of that name."""
        for client in self._clients:
            is_own = isinstance(client.proof, Password) and client.name == user
            if is_own or user in self._users.get(client.name, ()):
                return client
        return None

    async def _is_right(self, user: str, password: str, hashed: str | None) -> bool:
        """Whether the hash is that of the password; for nobody, who has none, it takes as long."""
        against = self._nobody if hashed is None else hashed
        if against is None:
            return False
        pair = f"{user}\0{password}\0{hashed}".encode(errors="surrogatepass")
        key = hashlib.blake2b(pair, key=self._salt).digest()
        if self._right.get(key):
            return True
        if await self._flights.share(key, partial(self._checked, against, password)) and hashed is not None:
            self._right.put(key, True, KEPT_SECONDS)
            return True
        return False

    async def _checked(self, hashed: str, password: str) -> bool:
        checking = asyncio.get_running_loop().run_in_executor(self._executor, htpasswd.check, hashed, password)
        async with asyncio.timeout(SECONDS):  # nobody waits for it any longer
            return await checking

    def _proof(self, name: str) -> object:
        return next((client.proof for client in self._clients if client.name == name), None)

    def knows(self, identity: Identity) -> bool:
        """Whether who was known, perhaps under the rules before these, still is."""
        if identity.client is None:
            return not self._clients
        match self._proof(identity.client):
            case Htpasswd():
                return self._users[identity.client].get(identity.user or "") == identity.basis
            case Networks(networks):
                return identity.basis is not None and any(read_address(identity.address) in each for each in networks)
            case proof:
                return proof is not None and proof == identity.basis


def _nobody(hashed: str) -> str:
    """A hash that takes as long to check, and is no password's as far as anybody knows."""
    return hashed[:7] + "." * (len(hashed) - 7) if htpasswd.cost(hashed) else _NO_SHA


def _basic(authorization: str) -> tuple[str, str] | None:
    """User and password in a header (RFC 7617, section 2), of which either may be empty; None where it has none."""
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return "", ""  # a wrong one, as any other
    user, _, password = text.partition(":")
    return user, password
