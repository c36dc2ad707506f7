"""The words of others in what people are told: harmless on a terminal, by whatever way they come out."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.assets import answers
from gatepass.cli import main
from gatepass.cli.printer import Printer
from gatepass.demo.standin import DEFAULT_TOKEN
from gatepass.errors import printable, printable_json, printable_lines
from gatepass.explain.explanation import Step
from gatepass.forge.hosts import GITHUB
from gatepass.forge.urls import AssetRef, Repository
from gatepass.problems import catalogue, choice
from gatepass.problems.problem import CONTENT_TYPE
from gatepass.secret import Secret

HOSTILE = "v1\x1b]0;owned\x07\x1b[2J\r\x9b2J\x00\x7f\u202e\u2066\u200b\ufeff\u2028\u3164\U000e0041"
"""ESC, OSC, CR, CSI as one character, NUL, DEL, bidi overrides and isolates, what has no width, a tag character."""


def is_harmless(text: str) -> bool:
    return printable(text) == text and not any(unicodedata.category(character)[0] == "C" for character in text)


@given(st.text())
def test_printable(text: str) -> None:
    """Nothing is left that steers, ends a line or is not seen; letters stay, and as many characters as there were."""
    shown = printable(text)
    assert len(shown) == len(text)
    assert is_harmless(shown)
    assert all(a == b for a, b in zip(text, shown, strict=True) if a.isalnum() and b != " ")
    assert printable(shown) == shown


@given(st.text())
def test_lines(text: str) -> None:
    """Of a text of several lines each is made harmless, and they stay as many."""
    assert printable_lines(text).split("\n") == [printable(line) for line in text.split("\n")]


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json(value: object) -> None:
    """A document means the same as before, and can be shown as it is."""
    document = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if "\\ud" in json.dumps(value):
        return  # half a character is none in UTF-8
    shown = printable_json(document)
    assert json.loads(shown) == value
    assert is_harmless(shown.decode())


def test_a_problem() -> None:
    """Title, detail, hint, reason phrase and the whole document are harmless; members keep what they mean."""
    ref = AssetRef(Repository("acme", HOSTILE), HOSTILE, HOSTILE)
    secret = Secret("ghp_x", "env:X")
    for problem in (
        catalogue.ASSET_NOT_UPLOADED(ref=ref, state=HOSTILE),
        catalogue.FORBIDDEN(forge=GITHUB, secret=secret, message=HOSTILE),
        choice.tag_not_found(ref, [HOSTILE, "v2"], Repository(HOSTILE, HOSTILE)),
        choice.asset_not_found(ref, HOSTILE, [HOSTILE, "b"], None),
        catalogue.HEADER_PRESENT(rule=HOSTILE, names=[HOSTILE]),
    ):
        told = problem.about(tag=HOSTILE)
        assert is_harmless(str(told))
        answer = answers.refusal(told, "GET")
        assert answer.headers["Content-Type"] == CONTENT_TYPE
        assert is_harmless(answer.reason)
        assert is_harmless(answer.content.decode())
        assert json.loads(answer.content)["tag"] == HOSTILE


def test_a_secret_in_a_problem() -> None:
    """A member of a problem, or a fact in its texts, that holds a secret in use is told without it."""
    Secret(DEFAULT_TOKEN, "env:X")
    ref = AssetRef(Repository("acme", "tool"), f"v-{DEFAULT_TOKEN}", "x")
    problem = catalogue.ASSET_NOT_UPLOADED(ref=ref, state=DEFAULT_TOKEN).about(tag=ref.tag)
    assert DEFAULT_TOKEN not in str(problem) + problem.body().decode()


def test_findings(capfd: pytest.CaptureFixture[str]) -> None:
    """What `explain` and `check` print of a step is harmless, and without a secret in use."""
    Secret(DEFAULT_TOKEN, "env:X")
    printer = Printer(quiet=False)
    printer.title(HOSTILE)
    printer.step(Step("asset", "fail", f"{HOSTILE} {DEFAULT_TOKEN}", HOSTILE))
    printed = capfd.readouterr().out
    assert all(is_harmless(line) for line in printed.splitlines())
    assert DEFAULT_TOKEN not in printed


def test_an_error_of_the_command_line(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """An error that quotes a file's name, or what stands in one, is harmless line by line."""
    monkeypatch.setattr("sys.argv", ["gatepass", "check-none"])
    monkeypatch.setattr("sys.argv", ["gatepass", "serve", "--rules", f"{HOSTILE.replace(chr(0), '')}.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    lines = capfd.readouterr().err.rstrip("\n").split("\n")
    assert lines[0].startswith("error: v1 ]0;owned")
    assert all(is_harmless(line) for line in lines)
