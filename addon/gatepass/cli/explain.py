"""`gatepass explain`: shows what an inquiry finds, as it is found. Presentation only."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click
import msgspec

from gatepass import home
from gatepass.cli.options import json_option, print_json, say
from gatepass.cli.printer import Printer
from gatepass.errors import GatepassError
from gatepass.explain import indexes, lockfiles, report, shell
from gatepass.explain.explanation import Explanation, Step, conclude
from gatepass.explain.probe import read_proxy, through
from gatepass.explain.target import Target, at_index, read_url
from gatepass.explain.walk import Inquiry
from gatepass.github.client import silence_libraries
from gatepass.rules import locate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    import httpx2

    from gatepass.explain.shell import WayOut
    from gatepass.rules.model import Rules

_AT_ONCE: Final = 4
_EXPECTED: Final = "expected https://HOST/OWNER/REPO/releases/download/TAG/FILE"


_KINDS: Final = {
    "asset": ("release asset", "release assets"),
    "source": ("archive or raw file", "archives and raw files"),
    "git": ("git repository", "git repositories"),
    "index": ("project or file of an index", "projects and files of an index"),
}
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("explain")
@click.argument("url", required=False)
@click.option("--rules", "rules_file", metavar="FILE", help="The rules file; else as `gatepass check` finds it.")
@click.option("--proxy", metavar="URL", help="Ask through this running proxy, as a client does.")
@click.option("--file", type=_FILE, help="The file whose URLs are checked when URL is left out.")
@json_option
@click.option("--report", "report_file", type=click.Path(path_type=Path), help="Write a debug bundle, without secrets.")
def explain(
    url: str | None,
    rules_file: str | None,
    proxy: str | None,
    file: Path | None,
    as_json: bool,
    report_file: Path | None,
) -> None:
    """Tell why the release asset at URL can be fetched, or not.

    Without URL, all is checked that the lock file, pyproject.toml or requirements.txt in this folder names of a forge:
    release assets, with their hashes, archives, raw files, git repositories, and what is locked from an index.
    The exit code is 0 when all can be fetched, 1 when not, and 2 for wrong usage.
    """
    target, through_proxy = _read(url, proxy, file)
    if report_file is not None:
        report.check(report_file)
    silence_libraries()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a name may hold what the terminal cannot show

    rules, fault = _rules(rules_file)
    recorder = report.Recorder([*report.secrets(rules, os.environ), *report.proxy_secrets(proxy or "")])
    session = _Session(Printer(quiet=as_json), rules, fault, through_proxy, recorder)
    if url is not None:
        target = at_index(url, rules) or target
        explanations = asyncio.run(session.one(target)) if target else session.only(*_refused(url))
        document: dict[str, Any] = _json(explanations[0])
    else:
        found = _found(file)
        targets = lockfiles.dependencies(found, rules) if rules else ()
        explanations = asyncio.run(session.many(found, targets))
        document = {
            "ok": _is_ok(explanations),
            "file": str(found),
            "explanations": [_json(explanation) for explanation in explanations if explanation is not session.shell],
            "shell": _json(session.shell) if session.shell else None,
        }
    if as_json:
        print_json(document)
    if report_file is not None:
        report.write(report_file, report.render(explanations, rules, os.environ, recorder))
        click.echo(f"report: {report_file}", err=True)
    sys.exit(0 if _is_ok(explanations) else 1)


def _read(url: str | None, proxy: str | None, file: Path | None) -> tuple[Target | None, httpx2.Proxy | None]:
    """What is asked for; wrong usage ends here."""
    if url is not None and file is not None:
        raise click.UsageError("expected either URL or `--file`, got both")
    through_proxy = None
    if proxy is not None:
        try:
            through_proxy = read_proxy(proxy)
        except GatepassError as error:
            raise click.BadParameter(str(error), param_hint="--proxy") from None
    return None if url is None else _target(url), through_proxy


def _target(url: str) -> Target | None:
    """Where a URL leads; None for one that is not of https."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme and parts.hostname:
            return read_url(url)
    shown = url.rpartition("@")[2]  # what stands before may be a password
    raise click.BadParameter(f"{_EXPECTED}, got `{shown}`: it begins with `https://`", param_hint="URL")


def _refused(url: str) -> tuple[str, Step]:
    """A URL that no proxy can serve, as it may be shown, and why."""
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return shown, Step("url", "fail", f"{_EXPECTED}, got {shown}", "only https is served, on a host with a name")


def _found(file: Path | None) -> Path:
    found = file or lockfiles.find(Path())
    if found is None:
        raise click.UsageError(
            "expected URL, or a lock file, pyproject.toml or requirements.txt in this folder, got none"
        )
    return found


def _rules(file: str | None) -> tuple[Rules | None, Step | None]:
    """The rules, or why there are none."""
    cwd = home.working()
    try:
        return locate.load(file, os.environ, cwd, say), None
    except GatepassError as error:
        first, *more = error.message.splitlines()
        others = f", and {len(more)} lines more" if more else ""
        return None, Step("rules", "fail", f"{first}{others}", error.hint or "`gatepass check` tells all that is wrong")


@dataclass
class _Session:
    """One call of the command."""

    printer: Printer
    rules: Rules | None
    fault: Step | None
    """Why there are no rules."""
    proxy: httpx2.Proxy | None
    recorder: report.Recorder
    way_out: WayOut | None = None
    shell: Explanation | None = None
    """What was found about the shell, where it was looked at apart from the URLs."""

    async def one(self, target: Target) -> list[Explanation]:
        if self.fault is not None and self.proxy is None:
            return self.only(target.url, self.fault)
        self.printer.title(target.url)
        steps = [self.printer.step(shell.bundle(os.environ))]
        async with self._looking(target, whole=True) as look:
            steps += [self.printer.step(step) async for step in look(target)]
        return [self._concluded(target.url, steps)]

    def only(self, url: str, step: Step) -> list[Explanation]:
        """What is told without looking."""
        self.printer.title(url)
        return [self._concluded(url, [self.printer.step(step)])]

    def _concluded(self, url: str, steps: Sequence[Step]) -> Explanation:
        explanation = conclude(url, steps)
        self.printer.verdict(explanation)
        return explanation

    async def many(self, file: Path, targets: Sequence[Target]) -> list[Explanation]:
        self.printer.title(f"{file}: {_counted(targets)}")
        if self.fault is not None:
            return [conclude(str(file), [self.printer.step(self.fault)])]
        loose = [self.printer.step(step) for step in indexes.loose(file.parent, self.rules, os.environ, file)]
        first = next((step for step in loose if step.state != "ok"), next(iter(loose), None))
        settings = [Explanation(str(file.parent), tuple(loose), first.finding, first.hint)] if first else []
        if not targets:
            return settings
        gate = asyncio.Semaphore(_AT_ONCE)

        async def look_at(target: Target) -> Explanation:
            async with gate:
                return conclude(target.url, [step async for step in look(target)])

        async with self._looking(targets[0], whole=False) as look, asyncio.TaskGroup() as group:
            tasks = [group.create_task(look_at(target)) for target in targets]
            explanations = [*settings, *[self.printer.line(await task) for task in tasks]]
        failed = [explanation for explanation in explanations if not explanation.ok]
        for explanation in failed:
            self.printer.title(f"\n{explanation.url}")
            for step in explanation.steps:
                self.printer.step(step)
            self.printer.verdict(explanation)
        if self.proxy is None:
            self.shell = await self._look_at_shell(targets[0])
            explanations.append(self.shell)
        return explanations

    async def _look_at_shell(self, target: Target) -> Explanation:
        """What this shell's variables make of the URLs, looked at once for all."""
        self.printer.title("\nthis shell")
        said = (shell.bundle(os.environ), *(self.way_out.steps if self.way_out else ()))
        steps = [self.printer.step(step) for step in said]
        found = shell.look(os.environ, target.host, target.url, self.recorder.hooks)
        steps += [self.printer.step(step) async for step in found]
        explanation = conclude("this shell", steps)
        if not explanation.ok:
            self.printer.verdict(explanation)
        return explanation

    @contextlib.asynccontextmanager
    async def _looking(self, first: Target, *, whole: bool) -> AsyncIterator[Callable[[Target], AsyncIterator[Step]]]:
        """What looks into one URL: through a proxy, or the addon's way, with the shell if that is the whole."""
        if (proxy := self.proxy) is not None:
            trust = shell.upstream_trust(os.environ)
            yield lambda target: through(proxy, trust, target.url, self.recorder.hooks)
            return
        assert self.rules is not None
        way = self.way_out = await shell.way_out(os.environ, first.host)
        async with contextlib.aclosing(Inquiry(self.rules, os.environ, self.recorder, way)) as inquiry:
            yield inquiry.look if whole else inquiry.asset


def _counted(targets: Sequence[Target]) -> str:
    """How many there are of each kind; of none it is said that there is no asset."""
    counts = {kind: sum(target.kind == kind for target in targets) for kind in _KINDS}
    told = [f"{count} {_KINDS[kind][count != 1]}" for kind, count in counts.items() if count]
    return ", ".join(told) or "no release asset"


def _is_ok(explanations: Sequence[Explanation]) -> bool:
    return all(explanation.ok for explanation in explanations)


def _json(explanation: Explanation) -> dict[str, Any]:
    return {"ok": explanation.ok, **msgspec.to_builtins(explanation)}
