"""Who asks: by a password, a user's password, a token or an address; and who is nobody."""

from __future__ import annotations

import asyncio
import base64
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest

from gatepass.egress import htpasswd as hashes
from gatepass.egress.attempts import Attempts
from gatepass.egress.clients import Clients
from gatepass.egress.identity import Identity, Unknown
from gatepass.forge.hosts import Host
from gatepass.problems import catalogue
from gatepass.problems.problem import Problem, Unresolvable
from gatepass.rules.access import Access, Client, Htpasswd, Networks, Oidc, Password
from gatepass.secret import Secret
from gatepass.sources import Env
from harness import htpasswd

if TYPE_CHECKING:
    from pathlib import Path

    from gatepass.egress.clients import Answer

HERE, OFFICE = ip_address("192.0.2.1"), ip_address("10.20.1.1")
PASSWORDS = {"ci": "ci's", "bert": "entry's"}


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


class Gate:
    """Clients of every kind, and what was asked of them."""

    def __init__(self, folder: Path, *clients: Client) -> None:
        self.now = 1000.0
        self.asked: list[str] = []
        self.attempts = Attempts(lambda: self.now)
        self.access = Access(clients)
        self.clients = Clients(self.access, self._password, self._document, lambda: self.now)
        self.folder = folder

    async def _password(self, name: str, proof: Password) -> Secret:
        self.asked.append(name)
        if name not in PASSWORDS:
            raise Unresolvable(catalogue.NO_CREDENTIAL(name=name, tried="`env:A` is not set", remedies="set it"))
        return Secret(PASSWORDS[name], str(proof.sources[0]))

    async def _document(self, _: str, most: int) -> bytes:
        raise Unresolvable(catalogue.TIMED_OUT(host=Host("ci.example.com"), seconds=most))

    async def ask(self, header: str | None, address: object = HERE) -> Answer:
        return await self.clients.identify(header, address, self.attempts)  # type: ignore[arg-type]  # of both families

    async def name(self, user: str, password: str, address: object = HERE) -> str | None:
        """The client and the user that a password is of; None when it is wrong."""
        answer = await self.ask(basic(user, password), address)
        if isinstance(answer, Identity):
            return f"{answer.client}/{answer.user}" if answer.user else answer.client
        return answer.kind if isinstance(answer, Problem) else None


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    users = tmp_path / "users"
    users.touch()
    for user in ("anna", "bert", "ci"):
        htpasswd("-bB", users, user, f"{user}'s")
    return Gate(
        tmp_path,
        Client("ci", Password((Env("A"),))),
        Client("developers", Htpasswd(users, "p")),
        Client("bert", Password((Env("B"),))),
        Client("absent", Password((Env("C"),))),
        Client("actions", Oidc("https://ci.example.com", "gatepass")),
        Client("office", Networks((ip_network("10.20.0.0/16"), ip_network("fd00:20::/32")))),
        Client("lab", Networks((ip_network("10.20.0.0/15"),))),
    )


async def test_each_kind(gate: Gate) -> None:
    """The user of a password is the entry, that of a file the user; the first entry that has the user wins."""
    assert await gate.name("ci", "ci's") == "ci"
    assert await gate.name("anna", "anna's") == "developers/anna"
    assert await gate.name("bert", "bert's") == "developers/bert"
    assert await gate.name("bert", "entry's") is None
    assert await gate.ask(None, OFFICE) == Identity("office", None, None, "10.20.1.1")
    assert await gate.ask(None, ip_address("10.21.0.1")) == Identity("lab", None, None, "10.21.0.1")
    assert await gate.ask(None, ip_address("fd00:20::1")) == Identity("office", None, None, "fd00:20::1")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !",
        "Basic eA==",
        "Basic " + base64.b64encode(b"\xff:\xfe").decode(),
        basic("ci", ""),
        "basic :",
    ],
)
async def test_what_is_no_password(gate: Gate, header: str) -> None:
    """Nobody, and no error."""
    assert isinstance(await gate.ask(header, OFFICE), Unknown)


async def test_a_wrong_one_is_wrong_wherever_it_comes_from(gate: Gate) -> None:
    """Who has a password to show is not let in by an address; who has none is, or is asked for one."""
    for user in ("ci", "anna", "nobody", "developers", "office", ""):
        assert await gate.name(user, "wrong", OFFICE) is None
    assert await gate.ask("Negotiate abc", OFFICE) == Unknown("what it says of who asks is not of the scheme Basic")
    assert await gate.ask(None) == Unknown()


async def test_nothing_said_is_not_wrong(gate: Gate) -> None:
    """A client that is asked for its password each time, as some are, is never kept out for it."""
    for _ in range(50):
        assert await gate.ask(None) == Unknown()
    assert await gate.name("ci", "ci's") == "ci"


async def test_ten_wrong_ones(gate: Gate) -> None:
    """Then nothing from there is looked at for a minute: 429 says for how long; elsewhere all goes on."""
    for _ in range(10):
        assert await gate.name("ci", "wrong") is None
    gate.asked.clear()
    assert await gate.name("ci", "ci's") == "too-many-wrong-passwords"
    assert gate.asked == []
    assert await gate.name("ci", "ci's", OFFICE) == "ci"
    gate.now += 60
    assert await gate.name("ci", "ci's") == "ci"


async def test_what_cannot_be_checked_is_not_wrong(gate: Gate) -> None:
    """A source that has no password, an issuer that is down: 503, as often as it is asked, and never in."""
    token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2NpLmV4YW1wbGUuY29tIn0.AA"
    for _ in range(15):
        assert await gate.name("absent", "x") == "client-unchecked"
        assert await gate.name("any", token) == "issuer-unreachable"
        assert await gate.name("ci", "ci's") == "ci"


async def test_a_token_is_a_password_of_any_user(gate: Gate) -> None:
    """And of none: whoever has a token that is wrong is not asked for a user's password besides."""
    gate.asked.clear()
    unsigned = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2NpLmV4YW1wbGUuY29tIn0."
    answer = await gate.ask(basic("ci", unsigned))
    assert answer == Unknown("the token is not accepted: its algorithm is not asymmetric")
    assert gate.asked == []


async def test_a_users_password_is_checked_once_a_minute(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was right is known for a minute, and many at once are one; a wrong one is looked at each time."""
    checked: list[str] = []
    check = hashes.check

    def counted(hashed: str, password: str) -> bool:
        checked.append(password)
        return check(hashed, password)

    monkeypatch.setattr(hashes, "check", counted)
    assert set(await asyncio.gather(*(gate.name("anna", "anna's") for _ in range(9)))) == {"developers/anna"}
    gate.now += 59
    assert await gate.name("anna", "anna's") == "developers/anna"
    assert checked == ["anna's"]
    gate.now += 2
    assert await gate.name("anna", "anna's") == "developers/anna"
    assert checked == ["anna's"] * 2
    for _ in range(3):
        assert await gate.name("anna", "wrong") is None
    assert checked == ["anna's"] * 2 + ["wrong"] * 3


async def test_nobody_takes_as_long_as_somebody(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether there is such a user is not told by the time that a wrong password takes: a hash is checked for each."""
    costs: list[int] = []
    check = hashes.check

    def counted(hashed: str, password: str) -> bool:
        costs.append(hashes.cost(hashed))
        return check(hashed, password)

    monkeypatch.setattr(hashes, "check", counted)
    for user in ("anna", "nobody", "ci", ""):
        assert await gate.name(user, "wrong") is None
    assert costs == [5] * 4


async def test_a_slow_check_blocks_nobody(tmp_path: Path) -> None:
    """While bcrypt is at work the loop goes on."""
    users = tmp_path / "slow"
    htpasswd("-cbBC", "12", users, "anna", "anna's")
    gate = Gate(tmp_path, Client("developers", Htpasswd(users, "p")))
    turns = 0
    asking = asyncio.ensure_future(gate.name("anna", "anna's"))
    while not asking.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert asking.result() == "developers/anna"
    assert turns > 5


async def test_nobody_has_to_be_known_where_no_client_is_named(tmp_path: Path) -> None:
    """Then whoever asks is somebody without a name, whatever they say."""
    gate = Gate(tmp_path)
    for header in (None, basic("ci", "wrong"), "nonsense"):
        assert await gate.ask(header) == Identity(None, None, None, "192.0.2.1")


async def test_who_is_still_known(gate: Gate) -> None:
    """Under other rules somebody is known on as long as what they were known by is there; then no more."""

    def others(*clients: Client) -> Clients:
        return Gate(gate.folder, *clients).clients

    async def identity(header: str | None, address: object = HERE) -> Identity:
        answer = await gate.ask(header, address)
        assert isinstance(answer, Identity)
        return answer

    ci = await identity(basic("ci", "ci's"))
    anna = await identity(basic("anna", "anna's"))
    office = await identity(None, OFFICE)
    assert all(map(gate.clients.knows, (ci, anna, office)))
    assert all(map(others(*gate.access.clients).knows, (ci, anna, office)))
    assert not any(map(others(Client("else", Password((Env("A"),)))).knows, (ci, anna, office)))
    assert not others(Client("ci", Password((Env("Z"),)))).knows(ci)
    assert not others(Client("office", Networks((ip_network("10.0.0.0/16"),)))).knows(office)
    users = gate.folder / "users"
    htpasswd("-D", users, "bert")
    assert others(*gate.access.clients).knows(anna)
    htpasswd("-bB", users, "anna", "new")
    assert not others(*gate.access.clients).knows(anna)
    assert not others(Client("a", Password((Env("A"),)))).knows(Identity(None, None, None, "192.0.2.1"))
    assert others().knows(Identity(None, None, None, "192.0.2.1"))
