"""One CA takes another's place under several replicas: who trusts both goes on, who trusts the old one until then."""

from __future__ import annotations

import re
import shutil
import signal
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import ProxyHandler, build_opener

import pytest
from cryptography import x509

from gatepass.trust import authority, bundles
from harness import GATEPASS, Client, Result, call, eventually
from replicas import AUTHORIZATION, RULES, URL, WHEEL, Browsing, fleet, load, private_github, way_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.demo.standin import StandIn
    from replicas import Fleet, Replica
    from road import Road

pytestmark = pytest.mark.slow  # each starts several servers

_DIRECT = build_opener(ProxyHandler({}))


@pytest.fixture
def world() -> Iterator[StandIn]:
    with private_github() as standin:
        yield standin


@pytest.fixture
def way(world: StandIn) -> Iterator[Road]:
    with way_to(world) as way:
        yield way


@pytest.fixture
def found(world: StandIn, way: Road, tmp_path: Path) -> Iterator[Fleet]:
    """Two replicas, with one CA."""
    with fleet(tmp_path, 2, RULES, HTTPS_PROXY=way.url, SSL_CERT_FILE=str(world.ca_file)) as found:
        yield found


def gatepass(found: Fleet, *arguments: str) -> Result:
    """A command of who runs the replicas."""
    done = call([GATEPASS, *arguments], found.members[0].env, cwd=found.home)
    assert done.code == 0, done.output
    return done


def shown(replica: Replica) -> list[x509.Certificate]:
    """The CAs that a replica gives those who ask it for its CA."""
    proxy = build_opener(ProxyHandler({"http": f"http://127.0.0.1:{replica.port}"}))
    with proxy.open("http://gatepass.internal/ca.pem", timeout=10) as reply:
        return x509.load_pem_x509_certificates(reply.read())


def ends(replica: Replica) -> float:
    """When the CA ends, as Prometheus is told."""
    with _DIRECT.open(f"http://127.0.0.1:{replica.admin}/metrics", timeout=10) as reply:
        (found,) = re.findall(r"^gatepass_ca_expiry_timestamp_seconds (\S+)$", reply.read().decode(), re.MULTILINE)
    return float(found)


def reload(replica: Replica) -> None:
    """Have it read again, and wait until it has."""
    assert replica.running is not None
    before = replica.running.output.count("rules read again")
    replica.running.process.send_signal(signal.SIGHUP)
    eventually(lambda: replica.running and replica.running.output.count("rules read again") > before)


def installs(client: Client, name: str) -> Result:
    return client.uv("pip", "install", "--no-cache", "--target", name, f"acme-tool @ {URL}")


def current(found: Fleet) -> x509.Certificate:
    path = found.home / "config" / "gatepass" / "ca" / authority.CERTIFICATE_FILE
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_without_a_gap(found: Fleet) -> None:
    """Clients that trust both download through the switch; one that has the old alone does until its replica switches.

    Each replica takes the new one at its own reload, and tells of both all the time.
    """
    first, second = found.members
    old = current(found)
    former = Path(shutil.copy(found.bundle, found.home / "former.pem"))
    gatepass(found, "ca", "next", "--rules", str(found.home / "rules.yaml"))
    assert current(found) == old, "the next one is not used before its time"
    both = Path(shutil.copy(found.bundle, found.home / "both.pem"))
    for each in found.members:
        assert shown(each) == [old]
        reload(each)
        assert shown(each)[0] == old
        assert len(shown(each)) == 2
    new = shown(first)[1]

    def client(replica: Replica, bundle: Path) -> Client:
        return found.client(replica.port, bundle=bundle)

    def fetch(browsing: Browsing, keep: bool) -> bool:
        return browsing.tunnelled(URL, keep=keep)[0] == 302

    with ExitStack() as stack:
        tasks = []
        for each in found.members:
            for keep in (True, False):
                browsing = stack.enter_context(closing(Browsing(each.port, both, AUTHORIZATION)))
                tasks.append(partial(fetch, browsing, keep))
        seen = stack.enter_context(load(*tasks))
        gatepass(found, "ca", "switch", "--rules", str(found.home / "rules.yaml"))
        assert current(found) == new
        for each in found.members:
            assert client(each, former).fetch(URL, "-L").body == WHEEL.content, "none has switched yet"
            assert ends(each) == old.not_valid_after_utc.timestamp()
        for number, each in enumerate(found.members):
            reload(each)
            assert ends(each) == new.not_valid_after_utc.timestamp()
            assert shown(each) == [new, old]
            assert client(each, both).fetch(URL, "-L").body == WHEEL.content
            assert installs(client(each, both), f"new-{number}").code == 0
            # who was told nothing of the next one is refused by itself, here and nowhere else
            assert client(each, former).curl("-o", "none", URL).code == 60
            for other in found.members[number + 1 :]:
                assert client(other, former).fetch(URL).status == 302
                assert installs(client(other, former), f"old-{number}").code == 0
        assert len(seen) > 40
    assert [result for result in seen if result is not True] == []
    # what a shell on this machine gets has both, and so has a replica that starts anew
    told = gatepass(found, "env", "--shell", "dotenv", "--proxy", f"127.0.0.1:{first.port}").output
    for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"):
        (path,) = re.findall(rf"^{name}=[\"']?([^\"'\n]+)", told, re.MULTILINE)
        last = bundles.certificates((found.home / path).read_text())[-2:]
        assert [x509.load_pem_x509_certificate(each.encode()) for each in last] == [new, old], name
    assert second.stop() == 0
    second.start()
    second.wait()
    assert shown(second) == [new, old]
    # and there is a way back
    gatepass(found, "ca", "switch", "--back", "--rules", str(found.home / "rules.yaml"))
    reload(first)
    assert shown(first) == [old, new]
    assert client(first, former).fetch(URL).status == 302


def test_a_renewed_one_is_taken(found: Fleet) -> None:
    """A reload takes what `gatepass ca renew` has made; with wrong rules, or where it is unfit for them, none does."""
    (first, _), rules = found.members, found.home / "rules.yaml"
    old, good = current(found), rules.read_text()
    gatepass(found, "ca", "renew", "--rules", str(rules))
    new = current(found)
    rules.write_text(good + "nonsense: true\n")
    assert first.running is not None
    first.running.wait_for("rules not replaced")
    assert (shown(first), ends(first)) == ([old], old.not_valid_after_utc.timestamp())
    rules.write_text(good)
    reload(first)
    assert (shown(first), ends(first)) == ([new], new.not_valid_after_utc.timestamp())
    renewed = Path(shutil.copy(found.bundle, found.home / "renewed.pem"))
    assert found.client(first.port).fetch(URL).status == 302
    # one that may not vouch for a host of the rules is none for these
    other = "  - match: ghe.test/*\n    headers: {X-A: '{credential}'}\n    credential: github\n"
    other = f"{good.partition('rules:')[0]}rules:\n{other}".replace("github.com", "ghe.test")
    (found.home / "other.yaml").write_text(other)
    gatepass(found, "ca", "renew", "--rules", str(found.home / "other.yaml"))
    first.running.process.send_signal(signal.SIGHUP)
    first.running.wait_for(r"expected a CA for every host that a rule names, got one for `ghe\.test`")
    assert shown(first) == [new]
    assert found.client(first.port, bundle=renewed).fetch(URL).status == 302
