"""What was measured, and how it is shown: Markdown, JSON, SVG.

Pure: from values to texts. Knows nothing of how anything was measured.
"""

from __future__ import annotations

import html
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Figure:
    """Something to be reached: at most `target`, or at least it.

    `compared` says what the measured value stands beside.
    """

    name: str
    measured: float
    unit: str
    target: float
    compared: str = ""
    at_least: bool = False
    note: str = ""

    @property
    def shown(self) -> str:
        return f"{number(self.measured)} {self.unit}".rstrip()

    @property
    def met(self) -> bool:
        return self.measured >= self.target if self.at_least else self.measured <= self.target

    @property
    def share(self) -> float:
        """How much of what is allowed was used: up to 1 the target is met."""
        if self.at_least:
            return self.target / self.measured if self.measured > 0 else float("inf")
        if self.target == 0:
            return 0.0 if self.measured <= 0 else float("inf")
        return max(0.0, self.measured) / self.target


@dataclass(frozen=True, slots=True)
class Comparison:
    """Something to choose by: the values of the alternatives, the first of them what the others are compared with."""

    name: str
    unit: str
    values: tuple[tuple[str, float], ...]
    note: str = ""

    @property
    def shown(self) -> str:
        return "; ".join(f"{label} {number(value)} {self.unit}" for label, value in self.values)


type Row = Figure | Comparison


@dataclass(frozen=True, slots=True)
class Report:
    """All of a run; `machine` is what it ran on, `left_out` what it could not measure, and why.

    `title`, `how` and `beside` are what is said above it all, of how it was measured, and above the comparisons.
    """

    machine: Mapping[str, str]
    figures: Sequence[Figure]
    comparisons: Sequence[Comparison]
    left_out: Sequence[str] = ()
    title: str = "Benchmarks"
    how: str = "On loopback; the sides of each ratio were measured in the same run, in turn; medians."
    beside: str = "What decides the defaults"

    def markdown(self) -> str:
        parts = [
            f"# {self.title}\n",
            f"{', '.join(f'{name}: {value}' for name, value in self.machine.items())}.\n",
            f"{self.how}\n",
            "| figure | measured | to reach | | compared with |\n| --- | ---: | ---: | --- | --- |",
            *(self._row(figure) for figure in self.figures),
        ]
        if self.comparisons:
            parts += [f"\n## {self.beside}\n", "| | | | of the first |\n| --- | --- | ---: | ---: |"]
            parts += [line for comparison in self.comparisons for line in _alternatives(comparison)]
        rows: list[Row] = [*self.figures, *self.comparisons]
        notes = [(row.name, row.note) for row in rows if row.note]
        if notes or self.left_out:
            parts += [
                "\n## Notes\n",
                *(f"- {name}: {note}" for name, note in notes),
                *(f"- {t}" for t in self.left_out),
            ]
        return "\n".join(parts) + "\n"

    @staticmethod
    def _row(figure: Figure) -> str:
        sign, verdict = "≥" if figure.at_least else "≤", "met" if figure.met else "**missed**"
        target = f"{sign} {number(figure.target)}"
        return f"| {figure.name} | {figure.shown} | {target} | {verdict} | {figure.compared} |"

    def json(self) -> str:
        document: dict[str, Any] = {
            "machine": dict(self.machine),
            "figures": [{**asdict(figure), "met": figure.met} for figure in self.figures],
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
            "left_out": list(self.left_out),
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def svg(self) -> str:
        return _plot(self.figures)


def _alternatives(comparison: Comparison) -> list[str]:
    first = comparison.values[0][1]
    names = [comparison.name, *[""] * (len(comparison.values) - 1)]
    return [
        f"| {name} | {label} | {number(value)} {comparison.unit} | {number(value / first) if first else ''} |"
        for name, (label, value) in zip(names, comparison.values, strict=True)
    ]


def number(value: float) -> str:
    """Three significant digits, and no exponent."""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.01 else f"{value:.2g}"


# The plot: a row a figure. The target is a line at 1; bars that end left of it are met.
_WIDTH: Final = 980
_LEFT: Final = 370
_RIGHT: Final = 250
_STEP: Final = 24
_TOP: Final = 52
_MOST: Final = 1.6
"""Shares above this are cut off there; the label tells the number."""

_STYLE: Final = """\
  <style>
    svg { color: #1f2328; font: 13px system-ui, sans-serif; }
    text { fill: currentColor; }
    .page { fill: #ffffff; }
    .met { fill: #0969da; }
    .missed { fill: #bc4c00; }
    .rule { stroke: currentColor; stroke-width: 1.5; stroke-dasharray: 4 3; }
    .faint { stroke: currentColor; stroke-opacity: 0.2; }
    @media (prefers-color-scheme: dark) {
      svg { color: #e6edf3; }
      .page { fill: #0d1117; }
      .met { fill: #58a6ff; }
      .missed { fill: #f0883e; }
    }
  </style>"""


def _plot(figures: Sequence[Figure]) -> str:
    height = _TOP + _STEP * len(figures) + 16
    scale = (_WIDTH - _LEFT - _RIGHT) / _MOST
    one = _LEFT + scale
    rows = "\n".join(_bar(figure, _TOP + _STEP * at, scale) for at, figure in enumerate(figures))
    met = sum(figure.met for figure in figures)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img"
     aria-label="{met} of {len(figures)} targets met">
{_STYLE}
  <rect width="{_WIDTH}" height="{height}" class="page"/>
  <text x="12" y="22" font-weight="600">How much of what its target allows each figure uses</text>
  <text x="{one:.0f}" y="{_TOP - 12}" text-anchor="middle">target</text>
  <line class="faint" x1="{_LEFT}" y1="{_TOP - 6}" x2="{_LEFT}" y2="{height - 10}"/>
{rows}
  <line class="rule" x1="{one:.0f}" y1="{_TOP - 6}" x2="{one:.0f}" y2="{height - 10}"/>
</svg>
"""


def _bar(figure: Figure, y: int, scale: float) -> str:
    length = max(2.0, min(figure.share, _MOST) * scale)
    kind = "met" if figure.met else "missed"
    sign = "≥" if figure.at_least else "≤"
    label = f"{number(figure.measured)} {figure.unit}".strip() + f" ({sign} {number(figure.target)})"
    shown = f"{label}{'' if figure.met else ' missed'}"
    base, end = y + 15, _WIDTH - _RIGHT + 10
    return (
        f'  <text x="{_LEFT - 10}" y="{base}" text-anchor="end">{html.escape(figure.name.replace("`", ""))}</text>\n'
        f'  <rect class="{kind}" x="{_LEFT}" y="{y + 4}" width="{length:.1f}" height="{_STEP - 9}" rx="2"/>\n'
        f'  <text x="{end}" y="{base}">{html.escape(shown)}</text>'
    )
