"""The catalogue of problems: whole, each text with all its facts wherever it is used, and told in docs/problems.md."""

from __future__ import annotations

import ast
import re
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, NamedTuple, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass import secret as secrets
from gatepass.errors import printable
from gatepass.forge.hosts import GITHUB, Host
from gatepass.forge.urls import AssetRef, Repository
from gatepass.problems import catalogue, choice
from gatepass.problems.kind import Facts, Kind, fill
from gatepass.secret import Secret
from gatepass.sources import Command, Default, Env, File, Gh, Git, GitHubApp, Keyring, Netrc, Source, Systemd
from harness import ROOT
from problems_page import page, sections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.problems.kind import Text

ADDON = ROOT / "addon" / "gatepass"
KINDS = {name: value for name, value in vars(catalogue).items() if isinstance(value, Kind)}
EACH = pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)

REF = AssetRef(Repository("acme", "tool"), "v1.0", "tool.whl")
FACTS: Facts = {
    "app": GitHubApp("Iv1", Env("KEY"), owner="acme"),
    "candidates": ["a", "b"],
    "client": "192.0.2.1",
    "error": "an error",
    "expired": datetime(2026, 1, 2, tzinfo=UTC),
    "forge": GITHUB,
    "hint": "do it",
    "host": Host("example.com"),
    "issuer": "A CA",
    "known": ["c"],
    "message": "a message",
    "mode": 0o644,
    "more": 3,
    "name": "github",
    "names": ["X-Token"],
    "page": "Blocked",
    "path": Path("/run/token"),
    "place": "login.example.com",
    "proxy": Host("proxy.example.com", 3128),
    "ref": REF,
    "remedies": "do this, or do that",
    "remedy": "do this",
    "renamed": Repository("acme", "new"),
    "repository": REF.repository,
    "retry_after": 300,
    "rule": "a rule",
    "seconds": 20.0,
    "secret": Secret("ghp_sesame", "env:GH_TOKEN"),
    "source": Keyring("gatepass", "me"),
    "state": "starter",
    "status": 503,
    "tag": "v1.0",
    "tried": "`gh` is not there",
    "trust": "the CAs in `x`",
    "uploaded": "tool.zip",
    "url": "https://example.com/sso",
    "what": "something else",
}
UNKNOWN: Facts = FACTS | {
    "app": GitHubApp("Iv1", Env("KEY"), installation=7),
    "candidates": [],
    "hint": None,
    "issuer": None,
    "known": [],
    "message": "",
    "more": 0,
    "page": "",
    "place": "",
    "ref": AssetRef(REF.repository, None, REF.name),
    "renamed": None,
    "repository": None,
    "uploaded": None,
    "url": None,
    "what": "",
}
# What has no alternative where it is None or empty, for it never is.
ALWAYS_KNOWN: dict[str, Facts] = {
    "only-a-draft": {"ref": REF},  # the latest release is none
    "draft-url": {"ref": REF},
    "malformed-answer": {"what": "something else"},
    "unusable-secret": {"what": "something else"},
    "token-forbidden": {"message": "a message"},
    "misconfigured": {"message": "a message"},
    "client-unchecked": {"message": "a message"},
    "issuer-unreachable": {"url": "https://ci.example.com", "message": "a message"},
    "too-many-wrong-passwords": {"client": "192.0.2.1"},
    "too-many-connections": {"client": "192.0.2.1", "more": 3},
    "too-many-requests": {"client": "192.0.2.1", "more": 3},
    "client-not-allowed": {"names": ["ci"]},
    "misplaced-placeholder": {"place": "in its query"},
    "api-not-allowed": {"what": "reading"},
    "api-outside-rules": {"names": ["acme/*"]},
    "graphql-not-allowed": {"what": "it asks"},
    "unreadable-graphql": {"what": "it has no query"},
    "unreadable-wheel": {"what": "something else"},
    "source-not-found": {"repository": REF.repository, "what": "ref `v9`"},
    "not-a-file": {"repository": REF.repository},
    "push-refused": {"repository": REF.repository},
    "unreadable-batch": {"what": "something else"},
    "not-an-index": {"place": "/x/"},
    "index-not-covered": {"place": "github.com/acme/tool"},
    "index-without-repositories": {"place": "github.com/acme/py-*"},
    "index-too-large": {"place": "github.com/acme/*"},
    "index-not-read": {"place": "github.com/acme/tool"},
    "index-incomplete": {"place": "github.com/acme/tool"},
    "project-not-found": {"place": "github.com/acme/tool"},
    "not-in-index": {"place": "github.com/acme/tool"},
}
SOURCES: list[Source] = [
    Env("GH_TOKEN"),
    File("~/token"),
    Systemd("github-token"),
    Command(("op", "read")),
    Gh(),
    Git(),
    Netrc(),
    Keyring("gatepass", "me"),
    GitHubApp("Iv1", Env("KEY")),
    Default(),
]


def places(*texts: Text) -> set[str]:
    """The facts that texts name."""
    alternatives = [each for text in texts for each in ((text,) if isinstance(text, str) else text)]
    return {
        name.partition(".")[0] for each in alternatives for _, name, _, _ in Formatter().parse(each) if name is not None
    }


class Use(NamedTuple):
    """A place in the code that uses an entry: to make the problem, to ask for its `name`, or for a `remedy`."""

    entry: str
    what: str
    facts: set[str | None]
    place: str


@cache
def uses() -> tuple[Use, ...]:
    """Each place where the code has `catalogue.ENTRY`."""
    return tuple(use for file in sorted(ADDON.rglob("*.py")) for use in _uses(file))


def _uses(file: Path) -> Iterator[Use]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name) or node.value.id != "catalogue":
            continue
        whole, what, above = node, "call", parents[node]
        if isinstance(above, ast.Attribute):  # `.name`, or `.remedy(…)`
            whole, what, above = above, above.attr, parents[above]
        facts: set[str | None] = set()
        if isinstance(above, ast.Call) and above.func is whole:
            facts = {each.arg for each in above.keywords}
        elif what != "name":
            what = "unclear"
        yield Use(node.attr, what, facts, f"{file.relative_to(ROOT)}:{node.lineno}")


def test_what_may_be_meant_among_many() -> None:
    """It is found among as many names as an index may have, and in no time: nobody else is answered meanwhile."""
    names = [f"company-{number}-tool" for number in range(20_000)]
    start = time.thread_time()
    assert "company-12345-tool" in choice.nearest("company-12345-tol", names)
    assert choice.nearest("Company_12345-tool", names)
    assert time.thread_time() - start < 1.5
    assert choice.nearest("acme-tol", ["x", "acme-tool"]) == ["acme-tool"]


def test_names() -> None:
    """Each entry has a name of its own, which is that of its constant."""
    assert [kind.name for kind in KINDS.values()] == [name.lower().replace("_", "-") for name in KINDS]
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.name) for kind in KINDS.values())
    assert all(400 <= kind.status <= 599 for kind in KINDS.values())


@EACH
@pytest.mark.parametrize("known", [FACTS, UNKNOWN], ids=["all known", "little known"])
def test_every_text_can_be_filled(kind: Kind, known: Facts) -> None:
    """No text names a fact that there is not, or an attribute that it has not; and nothing of the template is left."""
    facts = known | ALWAYS_KNOWN.get(kind.name, {})
    problem = kind(**facts)
    told = str(problem) + "".join(kind.remedy(case, **facts) for case in kind.remedies)
    assert not re.search(r"[][{}|]|None", told), told
    assert (problem.kind, problem.status) == (kind.name, kind.status)
    assert all((problem.title, problem.detail, problem.hint))


@EACH
def test_texts_keep_to_what_is_plain(kind: Kind) -> None:
    """No place has a conversion, which would go past the one way in; the last alternative is always there."""
    for text in (kind.title, kind.detail, kind.hint, *kind.remedies.values()):
        for each in (text,) if isinstance(text, str) else text:
            assert all(conversion is None for _, _, _, conversion in Formatter().parse(each))
            assert each == each.strip()
            assert each.count("[") == each.count("]") == len(re.findall(r"\[[^][]+\]", each)), "nested"


@pytest.mark.parametrize("entry", KINDS)
def test_every_use_gives_what_the_texts_name(entry: str) -> None:
    """Wherever a problem is made, it gets the facts that its texts name, all of them and no others."""
    kind = KINDS[entry]
    of_entry = [use for use in uses() if use.entry == entry]
    assert any(use.what == "call" for use in of_entry), "nothing makes it"
    for use in of_entry:
        match use.what:
            case "call":
                assert use.facts == places(kind.title, kind.detail, kind.hint), use.place
            case "remedy":
                assert use.facts >= places(*kind.remedies.values()), use.place
            case what:
                assert what == "name", use.place


def test_there_is_no_problem_but_of_the_catalogue() -> None:
    """Only an entry makes a problem, and code names entries, not their names: what it can answer is in the table."""
    assert {use.entry for use in uses()} <= set(KINDS)
    names = {kind.name for kind in KINDS.values() if "-" in kind.name}
    for file in ADDON.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            place = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            match node:
                case ast.Call(func=ast.Name("Problem") | ast.Attribute(attr="Problem")):
                    assert file == ADDON / "problems" / "kind.py", place
                case ast.Call(func=ast.Name("Kind") | ast.Attribute(attr="Kind")):
                    assert file == ADDON / "problems" / "catalogue.py", place
                case ast.ImportFrom(module="gatepass.problems.catalogue"):
                    pytest.fail(f"{place}: import the catalogue, so that its uses can be found")
                case ast.alias(name="catalogue", asname=str()):
                    pytest.fail(f"{place}: the catalogue goes by its own name")
                case ast.Constant(value=str(text)) if file.name != "catalogue.py":
                    assert text not in names, place


@pytest.mark.parametrize(
    ("text", "facts", "expected"),
    [
        ("{a} and {b}", {"a": 1, "b": "x"}, "1 and x"),
        ("{a:03}", {"a": 7}, "007"),
        ("{a}", {"a": ["x", "y"]}, "`x`, `y`"),
        ("{a}", {"a": ["x", "y\n", "z"]}, "`x`, `z`"),
        ("{a:span}", {"a": 119}, "119 s"),
        ("{a:span}", {"a": 121}, "3 min"),
        ("x[ (now {a})]", {"a": "y"}, "x (now y)"),
        ("x[ (now {a})]", {"a": None}, "x"),
        ("[at {a}|somewhere]", {"a": "y"}, "at y"),
        ("[at {a}|somewhere]", {"a": ""}, "somewhere"),
        ("[{a}|{b}|c]", {"a": None, "b": "y"}, "y"),
        ("[{a} and {b}|c]", {"a": "x", "b": None}, "c"),
        (("{a}", "{b}", "c"), {"a": [], "b": "y"}, "y"),
        (("{a}", "{b}", "c"), {"a": None, "b": None}, "c"),
        (("{a}[ and {b}]", "c"), {"a": "x", "b": None}, "x"),
        (("{a}[ and {b}]", "c"), {"a": None, "b": "y"}, "c"),
    ],
)
def test_alternatives(text: Text, facts: dict[str, object], expected: str) -> None:
    """The first alternative is taken whose facts are known; what stands in brackets does not count for the whole."""
    assert fill(text, facts) == expected


@given(st.text(), st.lists(st.text()))
def test_what_is_foreign_is_no_template(said: str, names: list[str]) -> None:
    """A text from outside stands where it was put, braces, brackets and all: nothing is looked up, nothing steers."""
    told = catalogue.FORBIDDEN(forge=GITHUB, secret=FACTS["secret"], message=said)
    assert told.detail.endswith(f": {printable(said) or 'it gives no reason'}")
    listed = catalogue.HEADER_PRESENT(rule="r", names=names).detail
    assert all(f"`{printable(name)}`" in listed for name in names if name.isprintable())


def test_a_secret_is_in_no_text() -> None:
    """A text that names a secret itself cannot be filled."""
    for text in ("{secret}", "[it is {secret}|it is none]", ("{secret}", "none")):
        with pytest.raises(TypeError, match="no text form"):
            fill(text, {"secret": FACTS["secret"]})


def test_every_source_has_a_remedy() -> None:
    """Whatever sources a credential has, what helps against their having none is in the catalogue; it is said once."""
    assert {type(source) for source in SOURCES} == set(get_args(Source.__value__))
    for source in SOURCES:
        hint = choice.no_credential("ours", [(source, "is empty"), (source, "is empty")]).hint
        assert hint.startswith("where the proxy runs: ")
        assert ", or " not in hint or isinstance(source, Default)
    assert len(catalogue.NO_CREDENTIAL.remedies) == len(SOURCES)


@pytest.mark.parametrize("token", ["github_pat_x", "ghp_x", "ghs_x", "gho_x", "x"])
def test_every_token_has_a_remedy(token: str) -> None:
    """Against a right that is missing there is a remedy for each kind of token, and each remedy is for some kind."""
    hint = choice.repository_not_visible(GITHUB, REF, Secret(token, "env:X")).hint
    remedies = catalogue.REPOSITORY_NOT_VISIBLE.remedies
    kind = Secret(token, "env:X").kind
    assert hint == f"check the spelling; if it exists, {remedies.get(kind, remedies[''])}"
    assert set(remedies) - {""} <= set(secrets._KINDS.values())


def test_the_page_is_current() -> None:
    """docs/problems.md is what is made from the catalogue."""
    made_by = "run: uv run python -m tests.problems_page > docs/problems.md"
    assert (ROOT / "docs" / "problems.md").read_text(encoding="utf-8") == page(), made_by


def test_the_page_is_whole() -> None:
    """Each problem's `type` ends in an anchor of the page, which no other heading has; each is in the overview."""
    assert [kind for _, kinds in sections() for kind in kinds] == list(KINDS.values())
    headings = re.findall(r"^#+ (.+)$", page(), re.MULTILINE)
    anchors = [heading.lower().replace(" ", "-") for heading in headings]
    for kind in KINDS.values():
        anchor = kind(**FACTS).type.removeprefix("urn:gatepass:problem:")
        assert anchors.count(anchor) == 1
        assert page().count(f"(#{anchor})") == 1
