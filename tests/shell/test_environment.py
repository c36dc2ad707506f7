"""The variables that bring a client to the proxy, and let it trust it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gatepass.shell import environment


def test_for_client() -> None:
    """Each variable has its value: the proxy, the bundle, or the proxy's CA alone; none is there without need."""
    given = environment.for_client("http://proxy", Path("bundle"), Path("ca"), {})
    assert given.keys() == {*environment.NAMES} - {*environment.NO_PROXY}
    assert {given[name] for name in environment.PROXY} == {"http://proxy"}
    assert {given[name] for name in environment.TRUST} == {"bundle"}
    assert {given[name] for name in environment.EXTRA_TRUST} == {"ca"}


entries = st.lists(st.from_regex(r"[a-z.*]{1,8}", fullmatch=True))


@given(entries, entries, entries)
def test_for_client_adds_to_no_proxy(upper: list[str], lower: list[str], direct: list[str]) -> None:
    """NO_PROXY, in both cases, holds what either held and the direct hosts: each once, and nothing else."""
    environ = {"NO_PROXY": ", ".join(upper), "no_proxy": ",".join(lower)}
    given = environment.for_client("http://proxy", Path("bundle"), Path("ca"), environ, direct)
    assert given.get("NO_PROXY") == given.get("no_proxy")
    held = given["NO_PROXY"].split(",") if "NO_PROXY" in given else []
    assert held == list(dict.fromkeys([*upper, *lower, *direct]))
