"""The debug bundle: one Markdown file that tells all about a failure, the HTTP exchanges included, and no secret.

Every text goes through `redact`, with the secrets of the rules' credentials and of the proxies' URLs in hand. Of an
exchange no body is kept, and headers and URLs are cleared when they are noted.
"""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from gatepass import files
from gatepass.errors import GatepassError, printable, why
from gatepass.explain import shell
from gatepass.redaction import redact
from gatepass.rules.describe import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import httpx2

    from gatepass.explain.explanation import Explanation
    from gatepass.github.client import Hooks
    from gatepass.rules.model import Rules
    from gatepass.secret import Secret

_TITLE: Final = "# Gatepass report\n"
_MOST: Final = len(_TITLE)
_PACKAGES: Final = ("gatepass", "mitmproxy", "httpx2")
_MOST_EXCHANGES: Final = 300


@dataclass(slots=True)
class Recorder:
    """Notes the first exchanges of the clients that get its `hooks`: the lines of a request, and of its answer."""

    secrets: list[str] = field(repr=False)
    exchanges: list[list[str]] = field(default_factory=list)
    left_out: int = 0
    _open: dict[int, list[str]] = field(default_factory=dict, repr=False)

    def learn(self, _name: str, secret: Secret) -> None:
        """Note a credential's secret that was got on the way, to be removed wherever it appears."""
        self.secrets.append(secret.reveal())

    @property
    def hooks(self) -> Hooks:
        return {"request": [self._asked], "response": [self._answered]}

    async def _asked(self, request: httpx2.Request) -> None:
        if len(self.exchanges) == _MOST_EXCHANGES:
            self.left_out += 1
            return
        lines = [*self._lines(f"{request.method} {request.url}", request.headers), "", "no answer"]
        self.exchanges.append(lines)
        self._open[id(request)] = lines

    async def _answered(self, response: httpx2.Response) -> None:
        if lines := self._open.pop(id(response.request), None):
            status = f"{response.http_version} {response.status_code} {response.reason_phrase}".strip()
            lines[-1:] = self._lines(status, response.headers)

    def _lines(self, first: str, headers: httpx2.Headers) -> list[str]:
        lines = [first, *(f"{name}: {value}" for name, value in headers.multi_items())]
        return [redact(line, self.secrets) for line in lines]


def secrets(rules: Rules | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Every secret that this shell is known to hold: what the rules' credentials name, and the proxies' passwords."""
    values = {environ.get(name, "").strip() for name in rules.variables} if rules else set()
    for name in shell.PROXIES:
        values |= proxy_secrets(environ.get(name, ""))
    return tuple(sorted(filter(None, values)))


def proxy_secrets(url: str) -> set[str]:
    """The password in a proxy's URL; a user without one may be a token."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        secret = parts.password or parts.username
    except ValueError:
        return set()
    return {secret, unquote(secret)} if secret else set()


def check(path: Path) -> None:
    """A report is replaced by a newer one, and nothing else is.

    Raises:
        GatepassError: it may not be written there.
    """
    hint = "name another file"
    try:
        if not path.parent.is_dir():
            raise GatepassError(f"--report: expected a file in a folder, got `{path}`: no such folder", hint)
        if path.is_symlink() or (path.exists() and not files.read(path, _MOST).startswith(_TITLE.encode())):
            raise GatepassError(f"--report: expected a new file or a former report, got `{path}`", hint)
    except OSError as error:
        raise GatepassError(f"--report: expected a file to write, got `{path}`: {why(error)}", hint) from None


def write(path: Path, text: str) -> None:
    """Write the report, whole or not at all, for its owner's eyes.

    Raises:
        GatepassError: it cannot be written, or would replace what is no report.
    """
    check(path)
    try:
        files.write(path, text.encode(), 0o600)
    except OSError as error:
        raise GatepassError(f"--report: expected a file to write, got `{path}`: {why(error)}", "name another") from None


def render(
    explanations: Iterable[Explanation],
    rules: Rules | None,
    environ: Mapping[str, str],
    recorder: Recorder,
) -> str:
    """The whole report."""
    parts = [_TITLE, "\n## Versions\n", _fenced(_versions())]
    if rules is not None:
        parts += ["\n## Rules\n", _fenced(describe(rules).splitlines())]
    set_here = [f"{name}={environ[name]}" for name in shell.VARIABLES if name in environ]
    parts += ["\n## Shell\n", _fenced(set_here or ["none of the variables for proxy and trust is set"])]
    for explanation in explanations:
        parts += [f"\n## {printable(explanation.url)}\n", _fenced(_steps(explanation))]
    parts.append("\n## Exchanges\n")
    parts += [_fenced(lines) for lines in recorder.exchanges] or ["\nnone\n"]
    if recorder.left_out:
        parts.append(f"\nand {recorder.left_out} more\n")
    return redact("".join(parts), recorder.secrets)


def _versions() -> Iterator[str]:
    for package in _PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield f"{package} (not installed as a package)"
    yield f"Python {platform.python_version()} ({platform.python_implementation()})"
    yield platform.platform()
    yield _uv()


def _uv() -> str:
    program = files.program("uv", os.environ)
    if program is None:
        return "uv is not on the PATH"
    try:
        # not the working folder, whose settings it would read
        done = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=os.sep,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "uv does not run"
    return done.stdout.strip() or "uv does not tell its version"


def _steps(explanation: Explanation) -> Iterator[str]:
    for step in explanation.steps:
        yield f"{step.state:<4}  {step.name:<12}{step.finding}"
        if step.hint:
            yield f"{'':18}hint: {step.hint}"
    yield f"verdict: {explanation.verdict}"
    if explanation.advice:
        yield f"advice: {explanation.advice}"


def _fenced(lines: Iterable[str]) -> str:
    """A code block, which nothing in the lines can end."""
    shown = "\n".join(printable(line).replace("```", "'''") for line in lines)
    return f"\n```text\n{shown}\n```\n"
