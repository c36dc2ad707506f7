"""An environment that was set up is taken back to what it was before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from gatepass.shell import environment, undo
from shells import texts

if TYPE_CHECKING:
    from collections.abc import Mapping

names = st.sampled_from([*environment.NAMES, "OTHER"])


@given(st.dictionaries(names, texts), st.lists(st.dictionaries(names, texts), min_size=1, max_size=3))
def test_undo_brings_back_what_was(environ: dict[str, str], settings: list[dict[str, str]]) -> None:
    """However often and with whatever an environment is set up, one undo brings back the one before the first."""
    current = dict(environ)
    for variables in settings:
        current = applied(current, undo.remember(variables, current))
        assert current.items() >= variables.items()
        assert undo.before(current) == environ
    assert applied(current, undo.undo(current)) == environ


def applied(environ: Mapping[str, str], changes: undo.Changes) -> dict[str, str]:
    changed = {**environ, **changes}
    return {name: value for name, value in changed.items() if value is not None}
