"""Placeholders: how they are made, and that a request brings none unseen."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.placeholder import Placeholders, Watch

KEY = b"k" * 32
OURS = Placeholders(KEY, ["GH_TOKEN", "STORE_TOKEN"])
GH, STORE = OURS.values["GH_TOKEN"], OURS.values["STORE_TOKEN"]
STALE = Placeholders(b"another", ["GH_TOKEN"]).values["GH_TOKEN"]


def basic(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_the_form() -> None:
    """One has the form of a classic token, is another for each variable, and the same for one key: replicas agree."""
    assert GH != STORE
    assert Placeholders(KEY, ["GH_TOKEN"]).values == {"GH_TOKEN": GH}
    assert {len(value) for value in (GH, STORE, STALE)} == {40}
    assert all(value.startswith("ghp_gatepass") and value[4:].isalnum() for value in (GH, STORE, STALE))
    assert GH != STALE


@pytest.mark.parametrize(
    "value",
    [
        GH,
        f"Bearer {GH}",
        f"token {GH}",
        f"bearer\t{GH}",
        f"Basic {basic(f'x-access-token:{GH}')}",
        f"Basic {basic(f'me:{GH}')}",
        f"basic {basic(f'{GH}:x-oauth-basic')}",
        f"a=b; token={GH}; c=d",
        quote(f"Bearer {GH}"),
        GH.replace("ghp_", "ghp%5F"),
        quote(quote(GH.replace("_", "%5f"))),
        basic(GH),
        f"x{basic(f'zz{GH}')}",
        base64.urlsafe_b64encode(f"??>{GH}".encode()).decode(),
    ],
)
def test_in_a_header(value: str) -> None:
    """It is found in a header's value by any scheme, within Basic, among others, and however it is encoded."""
    sent = OURS.find([(b"Accept", b"*/*"), (b"X_Some-Name", value.encode())], "/")
    assert sent is not None
    assert sent.headers == {"x-some-name": {"GH_TOKEN"}}
    assert not sent.in_target
    assert not sent.is_stale


@pytest.mark.parametrize(
    "target",
    [f"/?token={GH}", f"/{GH}/x", f"/?q={GH.replace('g', '%67')}", f"/x?a={basic('a' + GH)}", f"http://h.test/{GH}"],
)
def test_in_the_target(target: str) -> None:
    """It is found in a path and in a query."""
    sent = OURS.find([], target)
    assert sent is not None
    assert sent.in_target == {"GH_TOKEN"}


def test_several() -> None:
    """Each is told by its variable, where it is; one of another start is told besides."""
    sent = OURS.find([(b"a", STORE.encode()), (b"A", GH.encode()), (b"b", STALE.encode())], "/")
    assert sent is not None
    assert sent.headers == {"a": {"GH_TOKEN", "STORE_TOKEN"}}
    assert sent.is_stale
    assert OURS.find([(b"a", f"Basic {basic(f'x:{STALE}')}".encode())], "/") is not None


@pytest.mark.parametrize(
    "value", ["Bearer ghp_0123456789012345678901234567890123456", "ghp_gatepass", "ghp_gatepass-tools", "100%", "%zz"]
)
def test_what_is_none(value: str) -> None:
    """Tokens, and texts that only begin so, are no placeholders."""
    assert OURS.find([(b"Authorization", value.encode())], f"/{quote(value)}") is None


@given(st.lists(st.tuples(st.binary(), st.binary())), st.text())
def test_anything_can_be_looked_at(headers: list[tuple[bytes, bytes]], target: str) -> None:
    """Whatever is sent, it is read without an error."""
    OURS.find(headers, target)


@given(st.binary(max_size=200), st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(0, 2))
def test_in_a_body(before: bytes, cuts: list[int], offset: int) -> None:
    """It is found in a body wherever its parts are cut, in base64 at any offset, too."""
    for text in (before + STORE.encode() + b"x", base64.b64encode(b"x" * offset + STORE.encode() + b"zz")):
        watch, at, found = Watch(OURS), 0, False
        for cut in [*cuts, len(text)]:
            found = found or watch.finds(text[at : at + cut])
            at += cut
        assert found
        assert watch.found == "STORE_TOKEN"


@given(st.binary(max_size=500))
def test_a_body_without_one(text: bytes) -> None:
    """Nothing is found in what holds none, and what goes by stays as it is."""
    watch = Watch(OURS)
    assert watch(text) == text
    assert not watch.finds(text)
    assert watch.found is None
