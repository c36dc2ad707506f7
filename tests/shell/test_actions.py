"""What GitHub Actions' runner reads: every value as it is, and no password in a log."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from gatepass.shell import environment, syntax
from shells import read_environment_file, texts


@given(st.dictionaries(st.sampled_from(environment.NAMES), texts))
@example({"NO_PROXY": "a\nEOF\nEVIL=1\n", "HTTPS_PROXY": "<<EOF"})
def test_the_environment_file(variables: dict[str, str]) -> None:
    """The runner reads back what was written, whatever it holds, and no other variable."""
    assert read_environment_file(syntax.environment_file(variables)) == variables


def test_masks() -> None:
    """The password of a URL is masked as it stands and decoded; what is no secret is not masked."""
    values = [
        "http://user:p%40ss@proxy.example:1",
        "http://127.0.0.1:8080",
        "/a/bundle.pem",
        "http://[bad",
        "http://u@h",
    ]
    assert sorted(syntax.masks(values).splitlines()) == ["::add-mask::p%2540ss", "::add-mask::p@ss"]
