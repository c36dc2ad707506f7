"""The pure parts of `gatepass explain`: what headers, variables, URLs and files say."""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from gatepass.errors import GatepassError
from gatepass.explain import account, lockfiles
from gatepass.explain.explanation import Step, conclude
from gatepass.explain.mismatch import nearest_miss
from gatepass.explain.probe import read_proxy, shown
from gatepass.forge.hosts import Host
from gatepass.rules import parser
from gatepass.secret import Secret
from gatepass.shell import inherited

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOST = Host("github.com")
URL = "https://github.com/acme/tool/releases/download/v1.0/tool-1.0.tar.gz"


def test_fingerprint() -> None:
    """A fingerprint is the same for the same secret, another for another, and short."""
    one, same, other = (account.fingerprint(Secret(value, "env:X")) for value in ("ghp_abc", "ghp_abc", "ghp_abd"))
    assert one == same != other
    assert len(one) == 8


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("2026-12-01 00:00:00 UTC", "ok"),
        ("2026-11-30 13:59:59 +0200", "warn"),
        ("2026-11-30 11:59:59 UTC", "warn"),
        ("2026-11-30 14:00:01 +0200", "ok"),
        ("2026-11-23 13:59:59 +0200", "fail"),
        ("tomorrow", "warn"),
    ],
)
def test_expiry(text: str, state: str) -> None:
    """Both forms of the header are read; an end within 7 days is warned of."""
    assert account.expiry({"github-authentication-token-expiration": text}, NOW).state == state


@pytest.mark.parametrize(
    ("value", "is_excepted"),
    [
        ("github.com", True),
        (".github.com", True),
        ("GitHub.com", True),
        ("com", True),
        ("a.example, github.com", True),
        ("a.example github.com", True),
        ("*", True),
        ("github.com:443", True),
        ("github.com:8443", False),
        ("hub.com", False),
        ("api.github.com", False),
        ("", False),
        (",", False),
    ],
)
def test_no_proxy(value: str, is_excepted: bool) -> None:
    """NO_PROXY is read as clients read it: whole labels from the end, `*` for all."""
    assert (inherited.exempting_entry(value, HOST) is not None) == is_excepted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://me:secret@proxy.example:3128/", "http://proxy.example:3128"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_proxies(text: str, expected: str) -> None:
    """A proxy is shown without its user and password."""
    assert shown(read_proxy(text)) == expected


@pytest.mark.parametrize("text", ["socks5://me:secret@a:1", "http://", "http://me:secret@a:b", "ftp://a"])
def test_no_proxies(text: str) -> None:
    """What is no HTTP proxy is refused, and not repeated."""
    with pytest.raises(GatepassError, match="expected the URL of an HTTP proxy") as caught:
        read_proxy(text)
    assert "secret" not in str(caught.value)


RULES = parser.parse("""\
version: 1
credentials:
  github: {from: [env:A], hosts: [github.com, b.example]}
rules:
  - {name: ours, match: github.com/acme/*/releases/download/*, resolve: github-release, credential: github}
  - {name: tool, match: github.com/other/tool/releases/download/v2*, resolve: github-release, credential: github}
  - {name: index, match: b.example/simple/*, headers: {A: "{credential}"}, credential: github}
""")


@pytest.mark.parametrize(
    ("host", "path", "said"),
    [
        ("github.com", "/acne/tool/releases/download/v1/f", "`ours` comes closest"),
        ("github.com", "/acne/tool/releases/download/v1/f", "its owner is `acme`, not `acne`"),
        ("github.com", "/ACME/tool/releases/download/v1/f", "capital and small letters differ"),
        ("github.com", "/other/tool/releases/download/v1/f", "`tool` comes closest"),
        ("github.com", "/other/tool/releases/download/v1/f", "its path does not allow"),
        ("github.com", "/acme/tool/releases/download/../f", "dot segments"),
        ("c.example", "/simple/a", "its host is `b.example`, not `c.example`"),
    ],
)
def test_nearest_miss(host: str, path: str, said: str) -> None:
    """The rule that comes closest is named, and where it differs: host, owner, or path."""
    assert said in nearest_miss(RULES, Host(host), path)


def test_verdict() -> None:
    """The first failure that has a remedy is the cause; warnings do not make a failure."""
    ok, warn = Step("a", "ok", "fine"), Step("b", "warn", "hm", "look")
    bad, worse = Step("c", "fail", "404"), Step("d", "fail", "no tag", "tag it")
    assert conclude(URL, [ok, warn]).ok
    assert conclude(URL, [ok, warn]).advice == "look"
    told = conclude(URL, [ok, warn, bad, worse])
    assert (told.ok, told.verdict, told.advice) == (False, "it cannot be fetched: no tag", "tag it")
    assert conclude(URL, [bad]).verdict == "it cannot be fetched: 404"


# ------------------------------------------------------------------ lock files


def downloads(file: Path) -> tuple[str, ...]:
    """The URLs of what a file names."""
    return tuple(target.url for target in lockfiles.dependencies(file, RULES))


def test_uv_lock(tmp_path: Path) -> None:
    """Every URL of a lock file counts, wherever it stands: once, in order, without fragment, query and user."""
    file = tmp_path / "uv.lock"
    other = URL.replace("tar.gz", "whl")
    file.write_text(
        f'[[package]]\nsource = {{ url = "{URL}" }}\nsdist = {{ hash = "sha256:0" }}\n'
        f'wheels = [{{ url = "{other}#sha256=0" }}, {{ url = "{URL}?raw=1" }}]\n'
        f'[[package]]\nsource = {{ url = "{URL.replace("https://", "https://me:secret@")}" }}\n'
        '[[package]]\nsource = { registry = "https://index.example/simple" }\n'
    )
    assert downloads(file) == (URL, other)


def test_pyproject(tmp_path: Path) -> None:
    """Direct references, sources and find-links are found in pyproject.toml."""
    file = tmp_path / "pyproject.toml"
    one, two, three = (URL.replace("v1.0", tag) for tag in ("v1", "v2", "v3"))
    file.write_text(
        f'[project]\ndependencies = ["tool @ {one} ; python_version > \'3\'", "b"]\n'
        f'[tool.uv]\nfind-links = ["{two}", "https://github.com/acme/tool"]\n'
        f'[tool.uv.sources]\nb = {{url = "{three}"}}\n'
    )
    assert downloads(file) == (one, two, three)


def test_requirements(tmp_path: Path) -> None:
    """Requirements files are read as pip reads them: comments, continued lines, and files that include each other."""
    file = tmp_path / "requirements.txt"
    one, two, three = (URL.replace("v1.0", tag) for tag in ("v1", "v2", "v3"))
    file.write_text(
        f"# {URL}\ntool @ {one}#sha256=0 \\\n    --hash=sha256:0  # {URL}\n"
        f"-r more/dev.txt\n{three} ; python_version > '3'\n"
    )
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "dev.txt").write_text(f"{two}\n-r ../requirements.txt\n")
    assert downloads(file) == (one, two, three)


SHA = "a" * 64
GIT = "https://github.com/acme/private"
ARCHIVE = "https://github.com/acme/tool/archive/refs/tags/v1.tar.gz"
RAW = "https://raw.githubusercontent.com/acme/tool/main/wheels/tool-1.0.tar.gz"


def named(file: Path) -> list[tuple[str, str]]:
    """What a file names, each by its kind."""
    return [(target.kind, target.url) for target in lockfiles.dependencies(file, RULES)]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("uv.lock", f'package = [{{ source = {{ git = "{GIT}?rev=v1#{"0" * 40}" }} }}]', [("git", GIT)]),
        ("uv.lock", f'package = [{{ source = {{ url = "{ARCHIVE}" }}, sdist = {{}} }}]', [("source", ARCHIVE)]),
        ("uv.lock", f'package = [{{ wheels = [{{ url = "{RAW}" }}] }}]', [("source", RAW)]),
        ("pyproject.toml", f'tool.uv.sources.a = {{ git = "{GIT}.git", tag = "v1" }}', [("git", f"{GIT}.git")]),
        ("pyproject.toml", f'tool.uv.sources.a = {{ url = "{ARCHIVE}" }}', [("source", ARCHIVE)]),
        ("pyproject.toml", f'project.dependencies = ["a @ git+{GIT}@v1", "b @ {ARCHIVE}"]',
            [("git", GIT), ("source", ARCHIVE)]),
        ("pyproject.toml", f'tool.poetry.dependencies.a = {{ git = "{GIT}", rev = "v1" }}', [("git", GIT)]),
        ("pyproject.toml", f'project.urls = {{ Homepage = "{GIT}", Changelog = "{ARCHIVE}" }}', []),
        ("pyproject.toml", f'project.description = "see {GIT}.git"', []),
        ("poetry.lock", f'package = [{{ source = {{ type = "git", url = "{GIT}.git" }} }}]', [("git", f"{GIT}.git")]),
        ("poetry.lock", f'package = [{{ source = {{ type = "url", url = "{ARCHIVE}" }} }}]', [("source", ARCHIVE)]),
        ("pdm.lock", f'package = [{{ git = "{GIT}", revision = "0" }}, {{ url = "{ARCHIVE}" }}]',
            [("git", GIT), ("source", ARCHIVE)]),
        ("pylock.toml", f'packages = [{{ vcs = {{ type = "git", url = "{GIT}" }} }}]', [("git", GIT)]),
        ("requirements.txt", f"-e git+{GIT}.git@v1#egg=a\nb @ git+{GIT.replace('acme', 'ACME')}\n",
            [("git", f"{GIT}.git")]),
        ("requirements.txt", f"{ARCHIVE} --hash=sha256:{SHA}\n{RAW}\n", [("source", ARCHIVE), ("source", RAW)]),
        ("requirements.txt", "git+https://gitlab.com/acme/private\ngit+https://github.com/acme\n", []),
        ("Cargo.lock", f'package = [{{ source = "git+{GIT}?tag=v1#{"0" * 40}" }}]', [("git", GIT)]),
    ],
)  # fmt: skip
def test_what_is_no_asset(tmp_path: Path, name: str, content: str, expected: list[tuple[str, str]]) -> None:
    """Archives, raw files and git repositories are found where each kind of file names them; git's once each, whatever
    their spelling; and no page that a project merely speaks of.
    """
    (tmp_path / name).write_text(content)
    assert named(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("uv.lock", f'package = [{{ wheels = [{{ url = "{URL}", hash = "sha256:{SHA}" }}] }}]'),
        ("uv.lock", f'package = [{{ source = {{ url = "{URL}" }}, sdist = {{ hash = "sha256:{SHA}" }} }}]'),
        ("poetry.lock", f'[[package]]\nfiles = [{{ hash = "sha256:{SHA}" }}]\nsource = {{ url = "{URL}" }}'),
        ("pdm.lock", f'package = [{{ files = [{{ url = "{URL}", hash = "sha256:{SHA}" }}] }}]'),
        ("pylock.toml", f'packages = [{{ sdist = {{ url = "{URL}", hashes = {{ sha256 = "{SHA}" }} }} }}]'),
        ("requirements.txt", f"a @ {URL} \\\n    --hash=sha256:{SHA.upper()}\n"),
        ("requirements.txt", f"a @ {URL}#sha256={SHA}\n"),
    ],
)  # fmt: skip
def test_locked_hashes(tmp_path: Path, name: str, content: str) -> None:
    """The SHA-256 that a lock has of a file is found beside its URL, in the form of each."""
    (tmp_path / name).write_text(content)
    (target,) = lockfiles.dependencies(tmp_path / name, RULES)
    assert (target.url, sorted(target.hashes)) == (URL, [SHA])


def test_other_hosts(tmp_path: Path) -> None:
    """URLs of hosts that are no forge, and pages that are no downloads, are not ours."""
    file = tmp_path / "requirements.txt"
    file.write_text(
        f"{URL.replace('github.com', 'b.example')}\nhttps://github.com/acme/tool/blob/v1/a.zip\nhttps://[/\n"
    )
    assert downloads(file) == ()


def test_which_file(tmp_path: Path) -> None:
    """The lock file tells more than the project file, and that more than requirements."""
    assert lockfiles.find(tmp_path) is None
    for name in (
        "requirements-dev.txt",
        "requirements.txt",
        "pyproject.toml",
        "pylock.toml",
        "pdm.lock",
        "poetry.lock",
        "uv.lock",
    ):
        (tmp_path / name).touch()
        assert lockfiles.find(tmp_path) == tmp_path / name


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("uv.lock", b"= 1", "expected TOML"),
        ("a.txt", b"\xff", "UTF-8"),
        ("a.txt", b"-r b.txt", "b.txt: expected a readable"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """A file that cannot be read is an error with its name."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GatepassError, match=said):
        downloads(tmp_path / name)


def chain(folder: Path) -> str:
    """A chain of 3,000 files, each of which includes the next."""
    for number in range(3000):
        (folder / f"{number}.txt").write_text(f"-r {number + 1}.txt\n")
    return "-r 0.txt\n"


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return "-r pipe\n"


def huge(folder: Path) -> str:
    with (folder / "huge").open("wb") as file:
        file.truncate(1 << 40)
    return "-r huge\n"


HOSTILE: dict[str, tuple[str, str | Callable[[Path], str], str]] = {
    "device": ("requirements.txt", "-r /dev/zero\n", "expected a readable file, got `no regular file`"),
    "pipe": ("requirements.txt", pipe, "expected a readable file, got `no regular file`"),
    "huge": ("requirements.txt", huge, "expected at most 8388608 bytes"),
    "chain": ("requirements.txt", chain, "expected at most 100 files"),
    "no name": ("requirements.txt", "-r a\0b\n", "expected the name of a file"),
    "deep arrays": ("pyproject.toml", f"a = {'[' * 10_000}{']' * 10_000}\n", "nested too deep"),
    "deep tables": ("uv.lock", f"a = {'{a = ' * 10_000}1{'}' * 10_000}\n", "nested too deep"),
    "a long key": ("uv.lock", f"{'a.' * 200_000}a = 1\n", "expected keys of at most 64 parts"),
    "a long table": ("uv.lock", f"[{'"a" . ' * 200_000}a]\n", "expected keys of at most 64 parts"),
    "a long number": ("uv.lock", f"a = {'1' * 5000}\n", "expected TOML"),
    "many assets": ("requirements.txt", "".join(f"{URL}{n}\n" for n in range(20_000)), "at most 10000 release assets"),
}


@pytest.mark.parametrize("which", HOSTILE)
def test_a_hostile_folder(tmp_path: Path, which: str) -> None:
    """What somebody laid in wait in a folder is told in a second or two, by the file and the bound that it meets."""
    name, content, said = HOSTILE[which]
    (tmp_path / name).write_text(content if isinstance(content, str) else content(tmp_path))
    start = time.monotonic()
    with pytest.raises(GatepassError, match=re.escape(said)) as error:
        downloads(tmp_path / name)
    assert time.monotonic() - start < 3
    assert error.value.hint


@pytest.mark.parametrize("line", [" " * 100_000, f"-r{' ' * 100_000}", f"x{' ' * 100_000}#", f"-r a{' =' * 50_000}\0"])
def test_a_long_line(tmp_path: Path, line: str) -> None:
    """A line of any length is read in no time, and what follows it counts."""
    file = tmp_path / "requirements.txt"
    file.write_text(f"# {line}\nx{line}\n{URL}\n{line.replace('-r', 'y')}\n")
    start = time.monotonic()
    assert downloads(file) == (URL,)
    assert time.monotonic() - start < 1


def test_a_circle(tmp_path: Path) -> None:
    """Files that include each other in a circle, or themselves, are read once each; so are links to them."""
    (tmp_path / "a.txt").write_text(f"-r b.txt\n-r a.txt\n{URL}\n")
    (tmp_path / "b.txt").write_text("-r link.txt\n-c a.txt\n")
    (tmp_path / "link.txt").symlink_to("a.txt")
    assert downloads(tmp_path / "a.txt") == (URL,)


def test_a_deep_document(tmp_path: Path) -> None:
    """Nested as far as the parser goes, a document is read without its own limit in the way."""
    file = tmp_path / "pyproject.toml"
    file.write_text(f'{".".join("a" * 60)} = {"[" * 200}"{URL}"{"]" * 200}\n')
    assert downloads(file) == (URL,)
