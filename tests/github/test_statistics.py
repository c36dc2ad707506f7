"""What was done and what it cost: counted as it happens, and told in one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.github.statistics import Statistics

values = st.integers(0, 15_000).map(str) | st.text("09²٣-+._ x", max_size=5)
headers = st.dictionaries(st.sampled_from(["x-ratelimit-remaining", "x-ratelimit-limit"]), values)


@given(st.lists(headers))
def test_every_call_counts(answers: list[dict[str, str]]) -> None:
    """Each answer is one call, and the budget is what the last that told both its numbers said."""
    statistics = Statistics()
    told: tuple[int | None, int | None] = (None, None)
    for answer in answers:
        statistics.called(answer)
        both = (answer.get("x-ratelimit-remaining", ""), answer.get("x-ratelimit-limit", ""))
        if all(value.isascii() and value.isdecimal() for value in both):
            told = (int(both[0]), int(both[1]))
    assert statistics.api_calls == len(answers)
    assert (statistics.remaining, statistics.limit) == told


@pytest.mark.parametrize(
    ("statistics", "line"),
    [
        (Statistics(), "0 asset requests served, 0 API calls"),
        (Statistics(1, 0, 1), "1 asset request served, 1 API call"),
        (Statistics(2, 1, 2), "2 asset requests served, 1 refused, 2 API calls"),
        (Statistics(2, 0, 2, 4998, 5000), "2 asset requests served, 2 API calls, 4998 of 5000 left"),
        (Statistics(0, 0, 1, 0, 60), "0 asset requests served, 1 API call, 0 of 60 left"),
    ],
)
def test_in_one_line(statistics: Statistics, line: str) -> None:
    """One is singular, refusals are told when there were any, the budget when it is known, and be it used up."""
    assert str(statistics) == line


def test_a_budget_without_measure() -> None:
    """A number that nobody can count to is none, and breaks nothing: the budget is still not known."""
    statistics = Statistics()
    statistics.called({"x-ratelimit-remaining": "9" * 5000, "x-ratelimit-limit": "9" * 5000})
    assert (statistics.api_calls, statistics.remaining, statistics.limit) == (1, None, None)
