"""README, docs/ and the documents beside them: what they say of commands, options, files and places is so."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, NamedTuple

import click
import pytest

from gatepass.cli import gatepass
from gatepass.rules import values
from harness import BIN, ROOT, SCRIPT, call, clean_environment
from pages import PAGES, README, TEXT, anchors, code, links, prose, section, spans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What ends a command in a shell's line, or begins the arguments of another program.
_END = re.compile(r"""[|;&<>()"'`#]|\s--(?=\s|$)|\bgatepass\s""")
# mitmproxy's, as the pages name them alone; every other option that stands alone is one of ours.
_FOREIGN = {"--mode", "--set"}


class Use(NamedTuple):
    """A command as a page shows it, and where."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: gatepass {' '.join(self.words)}"


def uses() -> Iterator[Use]:
    """Every `gatepass …` in the pages' code; what a table shows as optional, or as a choice, is taken as given."""
    for page, text in PAGES.items():
        for line in code(text):
            shown = line.replace("\\|", " ").replace("[", " ").replace("]", " ")
            for found in re.finditer(r"(?<![\w./@-])gatepass\s+(?=[\w-])", shown):
                rest = shown[found.end() :]
                end = _END.search(rest)
                yield Use(page, tuple(rest[: end.start() if end else None].split()))


def commands(words: tuple[str, ...]) -> Iterator[click.Command]:
    """The commands that words name: one, or of a group those that are told after it."""
    context = click.Context(gatepass)
    command = gatepass.get_command(context, words[0])
    assert command, f"no command `{words[0]}`"
    if not isinstance(command, click.Group):
        yield command
        return
    told: list[click.Command] = [command]
    for word in words[1:]:
        if not re.fullmatch(r"[a-z]+", word):
            break
        below = command.get_command(context, word)
        assert below, f"no command `{words[0]} {word}`"
        told.append(below)
    yield from told[1:] or told


def options(command: click.Command) -> set[str]:
    """The options that a command knows."""
    return {name for parameter in command.get_params(click.Context(command)) for name in parameter.opts}


def told_options(words: tuple[str, ...]) -> list[str]:
    """The options among the words, without their values."""
    return [word.partition("=")[0].rstrip(",.:") for word in words if re.match(r"--?[a-z]", word)]


def every_command() -> Iterator[click.Command]:
    yield gatepass
    for name in gatepass.list_commands(click.Context(gatepass)):
        command = gatepass.get_command(click.Context(gatepass), name)
        assert command
        yield command
        if isinstance(command, click.Group):
            yield from command.commands.values()


@pytest.mark.parametrize("use", sorted(set(uses())), ids=str)
def test_a_command_that_is_shown(use: Use) -> None:
    """A command that a page shows is there, and knows each option that stands beside it."""
    words = use.words
    known = options(gatepass) if words[0].startswith("-") else set[str]().union(*map(options, commands(words)))
    assert set(told_options(words)) <= known


def test_the_commands_are_found() -> None:
    """The pages' commands are read as they are meant: with subcommands and options, and without other programs'."""
    found = {use.words for use in uses()}
    assert ("run",) in found
    assert ("serve", "--rules", "FILE", "--listen", "HOST:PORT", "--index", "HOST:PORT") in found
    assert ("ca", "create", "renew", "export", "bundle", "trust") in found
    assert ("env", "--shell", "nushell") in found
    assert {words[0] for words in found} >= set(gatepass.list_commands(click.Context(gatepass)))


def test_an_option_that_stands_alone() -> None:
    """An option that a page names without its command is one of some command's."""
    known = _FOREIGN.union(*map(options, every_command()))
    alone = {
        (page, span.split()[0]) for page, text in PAGES.items() for span in spans(text) if re.match("--[a-z]", span)
    }
    assert alone
    assert sorted(each for each in alone if each[1].partition("=")[0] not in known) == []


def test_tasks() -> None:
    """Every task that a page runs by `poe` is there."""
    tasks = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["poe"]["tasks"]
    named = {name for text in PAGES.values() for line in code(text) for name in re.findall(r"\bpoe (\w+)", line)}
    assert "check" in named
    assert named <= set(tasks)


def test_the_addons_options(tmp_path: Path) -> None:
    """The pages name every option of the addon, and no other; what is no option, and called so, is a metric."""
    listed = call([BIN / "mitmdump", "-s", SCRIPT, "--options"], clean_environment(HOME=str(tmp_path))).output
    ours = set(re.findall(r"^(gatepass_\w+):", listed, re.MULTILINE))
    assert ours
    told = set(re.findall(r"\bgatepass_\w+", TEXT))
    metrics = set(re.findall(r"\bgatepass_\w+", section("Metrics")))
    assert not metrics & ours
    assert told - metrics == ours


_FROM_AN_INDEX = re.compile(
    r"\b(?:(?:pip|pipx|uv tool|uv pip) install|uv add|uvx|pipx run)\b[^\n`|&;]*?[\s'\"]gatepass(?![\w/-])"
)


def test_nothing_is_installed_from_an_index() -> None:
    """No document and no hint tells to install Gatepass by its name: no package index has it under that."""
    sources = [*(ROOT / "addon").rglob("*.py"), *(ROOT / "deploy").rglob("*.md"), ROOT / "action.yml"]
    texts = PAGES | {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in sources}
    assert {name: found[0] for name, text in texts.items() if (found := _FROM_AN_INDEX.search(text))} == {}


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("pip install gatepass", True),
        ("uv tool install 'gatepass[keyring]'", True),
        ("pip install -q gatepass==1", True),
        ("uvx gatepass", True),
        ("uv tool install .", False),
        ("pip install git+https://github.com/acme/gatepass", False),
        ("pip install uv && uv run gatepass demo", False),
    ],
)
def test_what_an_index_would_have_to_have(text: str, is_told: bool) -> None:
    """An installation by name is told from one of a folder or of a repository."""
    assert bool(_FROM_AN_INDEX.search(text)) is is_told


# ------------------------------------------------------------------------ links


def dangling(page: str, link: str) -> bool:
    """Whether a link of a page leads to nothing: to no file of the repository, or to no heading of a page."""
    place, _, anchor = link.partition("#")
    target = ((ROOT / page).parent / place).resolve() if place else ROOT / page
    if not target.exists() or not target.is_relative_to(ROOT):
        return True
    known = PAGES.get(target.relative_to(ROOT).as_posix())
    return bool(anchor) and (known is None or anchor not in anchors(known))


@pytest.mark.parametrize("page", PAGES)
def test_links(page: str) -> None:
    """Every link within the repository leads to a file, or to a heading of one; every other goes over https."""
    for link in links(PAGES[page]):
        assert link.startswith("https://") or not dangling(page, link), link


def test_a_link_that_leads_to_nothing() -> None:
    """A file that is not there, one outside, a heading that is not there, and a heading of what is no page are told."""
    assert not dangling("README.md", "docs/rules.md#any-other-host")
    assert not dangling("docs/rules.md", "#mistakes")
    for link in ("docs/rulez.md", "../elsewhere", "docs/rules.md#any-host", "#mistakes", "rules.yaml#rules"):
        assert dangling("README.md", link), link


def test_the_readme_leads_to_every_page() -> None:
    """Who begins at the README finds all pages."""
    assert {page for page in PAGES if page.startswith("docs/")} <= set(links(README))


def test_the_readme_is_short() -> None:
    """The README can be read to its end: at most 150 lines."""
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_one_title(page: str) -> None:
    """A page begins with what it is about, and has no second title."""
    assert PAGES[page].startswith("# ")
    assert len(re.findall(r"^# ", prose(PAGES[page]), re.MULTILINE)) == 1


# ------------------------------------------------------------------------ paths

_PATH = re.compile(r"(?<![\w./-])(?:addon|benchmarks|deploy|docs|tests|\.ci)/(?:[\w./-]*\w)?")


@pytest.mark.parametrize("page", PAGES)
def test_paths(page: str) -> None:
    """Every path of the repository that a page names is there, and is told as it is from the top."""
    text = re.sub(r"\]\([^)]*\)", "]", PAGES[page])  # links are looked at above
    assert [path for path in _PATH.findall(text) if not (ROOT / path).exists()] == []


def places() -> Iterator[tuple[str, str]]:
    """What the page of the architecture names in its lists: files, and with each file the names that stand in it.

    A name stands in the file that was told last before it; or in the next, where that follows after `in` or `of`.
    """
    for item in re.split(r"\n(?= *(?:- |\d+\. )|\n)", prose(PAGES["docs/architecture.md"])):
        if not re.match(r" *(?:- |\d+\. )", item):
            continue
        path = ""
        told = re.findall(r"`([^`]+)`([^`]*)", item)
        for (span, between), (following, _) in zip(told, [*told[1:], ("", "")], strict=True):
            if _is_path(span):
                path = span
                yield path, ""
            elif re.fullmatch(r"\w+", span):
                yield following if between.strip() in ("in", "of") and _is_path(following) else path, span


def _is_path(span: str) -> bool:
    return bool(re.fullmatch(r"[\w.-]+\.py|[\w.-]*/[\w./-]+", span))


@pytest.mark.parametrize(("path", "name"), dict.fromkeys(places()), ids=lambda each: each or "file")
def test_a_place_in_the_architecture(path: str, name: str) -> None:
    """A file that the page names is there, and what is said to stand in it does."""
    assert path, f"`{name}` is in no file"
    found = [place for place in (ROOT / "addon" / "gatepass" / path, ROOT / path) if place.exists()]
    assert len(found) == 1, f"no file {path}" if not found else f"{path} is told by two files"
    if name:
        end = "" if name.endswith("_") else r"\b"
        assert re.search(rf"\b{name}{end}", found[0].read_text(encoding="utf-8")), f"no `{name}` in {path}"


# ------------------------------------------------------------------------ tables


def test_the_table_of_sources() -> None:
    """The table of sources has a line for each kind that rules.yaml takes, and no other."""
    (rows,) = re.findall(r"^\| source \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    kinds = [re.split(r"[: ]", row.split("|")[1].strip(" `"))[0] for row in rows.splitlines()]
    assert len(set(kinds)) == len(kinds)
    assert set(kinds) == {re.split(r"[: ]", kind)[0] for kind in re.findall(r"`([^`]+)`", values.SOURCES)}
