"""The load harness: what it sends is made of a seed, what it looks for is found, and each measurement runs."""

from __future__ import annotations

import base64
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.load import cases, fleet
from benchmarks.load.__main__ import MEASUREMENTS, NEEDS
from benchmarks.load.samples import Samples
from benchmarks.load.scale import FULL, QUICK
from benchmarks.load.traces import Traces
from benchmarks.load.traffic import Tally

from harness import ROOT, call, clean_environment, need

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "ghp_SomethingThatNobodyShouldSee00000001"

WRITTEN = {
    "as it is": SECRET,
    "in capitals": SECRET.upper(),
    "the first half": SECRET[: len(SECRET) // 2],
    "the second half": SECRET[len(SECRET) // 2 :],
    "backwards": SECRET[::-1],
    "Basic": base64.b64encode(f"x-access-token:{SECRET}".encode()).decode(),
    "Basic, another offset": base64.b64encode(f"me:{SECRET}".encode()).decode(),
    "base64": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "in hexadecimal": SECRET.encode().hex(),
    "percent-encoded": "".join(f"%{byte:02X}" for byte in SECRET.encode()),
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN.keys())
def test_a_secret_is_found(text: str) -> None:
    """However a secret is written, the harness sees it among other bytes."""
    found = Traces([SECRET]).search(b"before " + text.encode() + b" after")
    assert found is not None
    assert Traces([f"ghp_{'x' * 36}"]).search(text.encode()) is None


def test_a_case_is_made_of_its_seed() -> None:
    """Seed and number make a case, the same each time, and others make another: so each can be sent again."""
    first = [cases.make(1, number, "ci:x") for number in range(300)]
    assert first == [cases.make(1, number, "ci:x") for number in range(300)]
    assert first != [cases.make(2, number, "ci:x") for number in range(300)]
    assert len({each.requests for each in first}) == 300
    kinds = {(bool(each.opening), each.sni is None) for each in first}
    assert kinds == {(True, False), (True, True), (False, True)}


def test_a_case_holds_no_secret() -> None:
    """No case has a secret of its own, so that whatever is found has come from the proxy."""
    traces = Traces([SECRET])
    assert not any(traces.search(b"".join(cases.make(1, number, "ci:x").requests)) for number in range(100))


def test_what_is_wrong_is_counted_apart() -> None:
    """A refusal is a failure; a body that passes for right and is not is wrong; either ends a row of right ones."""
    tally = Tally()
    for outcome in ("ok", "upstream-failed", "ok", "wrong", "ok", "ok"):
        tally.take("range", outcome, 0.1)
    assert (tally.wrong(), tally.failed(), tally.row, tally.total) == (1, {"range: upstream-failed": 1}, 2, 6)


def test_growth_is_a_slope() -> None:
    """What grows by 1 MB a minute has grown by ten in ten minutes, whatever the first third was."""
    samples = Samples(None, [])  # type: ignore[arg-type]
    samples.seconds = [float(second) for second in range(300)]
    samples.resident = [[1000.0 * (second < 100) + second / 60 + second % 2 / 10] for second in range(300)]
    assert samples.growth(samples.resident, 0) == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_configuration_for_so_many(count: int) -> None:
    """HAProxy gets as many servers as there are replicas, each with its own addresses."""
    text = fleet.configuration(count)
    assert text.count("server gatepass-") == count
    assert all(f'"$GATEPASS_{number}" addr "$GATEPASS_{number}_ADMIN"' in text for number in range(1, count + 1))


def test_scales() -> None:
    """The full scale is what was promised, and whatever is measured can be named."""
    assert (FULL.clients, FULL.crowd_seconds, FULL.soak_seconds) == (500, 300, 1800)
    assert (FULL.requests, FULL.hostile_seconds, FULL.replicas) == (1_000_000, 1200, (1, 2, 4))
    assert QUICK.crowd_seconds < 30
    assert NEEDS.keys() <= MEASUREMENTS.keys()


def test_a_number_that_is_none() -> None:
    """A setting that there is not, or that is no number, is told before anything is started."""
    for setting in ("nonsense=1", "clients=many"):
        result = call([sys.executable, "-m", "benchmarks.load", "--set", setting], clean_environment(), cwd=ROOT)
        assert result.code == 2
        assert setting.partition("=")[0] in result.output


# ----------------------------------------------------------------- each, for seconds


def measured(name: str, folder: Path, *settings: str) -> dict[str, Any]:
    """The figures of a short run, by name, and the comparisons beside them."""
    for program in NEEDS.get(name, ()):
        need(program)
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.load", "--quick", "--only", name, "--output", folder]
    for setting in settings:
        command += ["--set", setting]
    result = call(command, clean_environment(), cwd=ROOT)
    assert result.code == 0, result.output
    document = json.loads((folder / "results.json").read_text())
    assert document["left_out"] == []
    assert (folder / "results.svg").read_text().startswith("<svg")
    assert (folder / "results.md").read_text().startswith("# Under load")
    figures: dict[str, Any] = {figure["name"]: figure for figure in document["figures"]}
    return figures


@pytest.mark.slow
def test_a_crowd(tmp_path: Path) -> None:
    """Forty clients through HAProxy and two replicas: no error, and no body that is wrong or short."""
    figures = measured("crowd", tmp_path)
    for what in ("errors", "wrong or short bodies", "secrets outside the API", "tracebacks"):
        assert figures[f"40 clients: {what}"]["measured"] == 0, figures
    assert figures["40 clients: bodies compared"]["measured"] > 100


@pytest.mark.slow
def test_one_for_long(tmp_path: Path) -> None:
    """The clients of one process are all served, and its growth is told."""
    figures = measured("soak", tmp_path)
    for what in ("errors", "wrong or short bodies", "secrets outside the API", "tracebacks"):
        assert figures[f"soak: {what}"]["measured"] == 0, figures
    assert figures["soak: memory in ten minutes"]["unit"] == "MB"


@pytest.mark.slow
def test_faults(tmp_path: Path) -> None:
    """Whatever breaks, no client gets a body that passes for whole and is not, and all is well again afterwards."""
    figures = measured("faults", tmp_path)
    for what in ("wrong or half", "tracebacks", "never well again"):
        assert figures[f"faults: all in turn: {what}"]["measured"] == 0, figures


@pytest.mark.slow
@pytest.mark.parametrize("name", ["replicas", "squid"])
def test_what_is_compared(name: str, tmp_path: Path) -> None:
    """More replicas, and Squid in front, are measured beside one and beside Squid alone."""
    measured(name, tmp_path)
    document = json.loads((tmp_path / "results.json").read_text())
    assert all(value > 0 for row in document["comparisons"] for _, value in row["values"])
    assert len(document["comparisons"]) >= 2


@pytest.mark.slow
def test_adversarial_requests(tmp_path: Path) -> None:
    """Of two thousand requests that no honest client sends none brings a secret to light, or ends a proxy."""
    figures = measured("adversarial", tmp_path)
    assert figures["adversarial: secrets outside the API host"]["measured"] == 0, figures
    assert figures["adversarial: tracebacks"]["measured"] == 0, figures
    assert figures["adversarial: proxies that ended"]["measured"] == 0, figures
