"""Content negotiation: which form a client gets, by RFC 9110 and PEP 691."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.index.negotiation import HTML, HTML_V1, JSON, chosen

LATEST_JSON = "application/vnd.pypi.simple.latest+json"
LATEST_HTML = "application/vnd.pypi.simple.latest+html"
UV = f"{JSON}, {HTML_V1};q=0.2, {HTML};q=0.01"
PIP = f"{JSON}, {HTML_V1}; q=0.1, {HTML}; q=0.01"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, HTML),
        ("", HTML),
        ("*/*", HTML),
        (UV, JSON),
        (PIP, JSON),
        ("text/html", HTML),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
        (HTML_V1, HTML_V1),
        (LATEST_JSON, JSON),
        (LATEST_HTML, HTML_V1),
        (f"{HTML}, {JSON}", JSON),
        (f"{HTML};q=0.9, {JSON};q=0.8", HTML),
        (f"{JSON};q=0, */*", HTML),
        (f"{JSON};q=0, {HTML};q=0, */*;q=0.1", HTML_V1),
        ("application/*", JSON),
        ("application/*;q=0.5, text/html;q=0.4", JSON),
        ("text/*", HTML),
        (JSON.upper(), JSON),
        (f"{JSON} ; q=1.000", JSON),
        (f"{HTML};charset=utf-8", HTML),
        (f"{HTML};charset=utf-8;q=0.1, {HTML_V1};q=0.2", HTML_V1),
        ("application/json", None),
        ("application/vnd.pypi.simple.v2+json", None),
        (f"{JSON};q=0", None),
        ("*/*;q=0", None),
        (f"{JSON};q=2", None),
        (f"{JSON};q=x, {HTML}", HTML),
        ("nonsense", None),
        (",,,", None),
        ("a/b," * 5000, None),
    ],
)
def test_what_is_chosen(accept: str | None, form: str | None) -> None:
    """The form that is wanted most; of those wanted alike JSON, and of what `*` stands for HTML; None of none."""
    assert chosen(accept) == form


@given(st.text(" ,;=/*+qabc.019tex/html", max_size=60))
def test_any_header(accept: str) -> None:
    """Any header is answered with a form that there is, or with none."""
    assert chosen(accept) in {JSON, HTML_V1, HTML, None}


@given(st.permutations([JSON, HTML_V1, HTML]), st.lists(st.integers(1, 1000), min_size=3, max_size=3, unique=True))
def test_the_weights_decide(forms: list[str], weights: list[int]) -> None:
    """Whatever the order, the form with the highest weight is taken."""
    accept = ", ".join(f"{form};q={weight / 1000:.3f}" for form, weight in zip(forms, weights, strict=True))
    assert chosen(accept) == max(zip(weights, forms, strict=True))[1]
