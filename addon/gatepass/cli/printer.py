"""How findings are shown to people: a line each, as they are made. No command."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from gatepass.errors import printable, printable_lines
from gatepass.redaction import cleared

if TYPE_CHECKING:
    from gatepass.explain.explanation import Explanation, Step

_WORDS: Final = {"ok": "ok", "warn": "warn", "fail": "FAIL", "skip": "skip"}
_SYMBOLS: Final = {"ok": "✓", "warn": "!", "fail": "✗", "skip": "–"}
_COLORS: Final = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "bright_black"}


class Printer:
    """Lines for people. Words carry the meaning; symbols and colours come on a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._on_terminal = sys.stdout.isatty()
        self._colored = self._on_terminal and not os.environ.get("NO_COLOR")

    def text(self, text: str) -> None:
        """Several lines."""
        self._print(printable_lines(text))

    def title(self, text: str) -> None:
        start = "\n" * (len(text) - len(text.lstrip("\n")))
        self._print(start + self._style(printable(text.lstrip("\n")), bold=True))

    def step(self, step: Step) -> Step:
        self._print(f"{self._mark(step.state)}  {step.name:<12}{printable(step.finding)}")
        if step.hint and step.state != "ok":
            self._print(f"{'':{20 if self._on_terminal else 18}}hint: {printable(step.hint)}")
        return step

    def line(self, explanation: Explanation) -> Explanation:
        """One URL of many."""
        warned = any(step.state == "warn" for step in explanation.steps)
        state = "fail" if not explanation.ok else "warn" if warned else "ok"
        why = "" if explanation.ok else f": {next(s.finding for s in explanation.steps if s.state == 'fail')}"
        self._print(f"{self._mark(state)}  {printable(explanation.url + why)}")
        return explanation

    def verdict(self, explanation: Explanation) -> None:
        self._print("")
        self._print(self._style(printable(explanation.verdict), fg="green" if explanation.ok else "red", bold=True))
        if explanation.advice:
            self._print(f"to do: {printable(explanation.advice)}")

    def _mark(self, state: str) -> str:
        symbol = f"{_SYMBOLS[state]} " if self._on_terminal else ""
        return self._style(f"{symbol}{_WORDS[state]:<4}", fg=_COLORS[state])

    def _style(self, text: str, **style: Any) -> str:
        return click.style(text, **style) if self._colored else text

    def _print(self, text: str) -> None:
        if not self._quiet:
            click.echo(cleared(text), color=self._colored)
