"""The order of packages, and of modules within each: imports go one way. The tests mirror it."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple

import pytest

from harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GATEPASS = ROOT / "addon" / "gatepass"
PACKAGES = sorted(path.parent for path in GATEPASS.rglob("__init__.py"))


class Import(NamedTuple):
    """One name that a line imports, as the path of a module below the package, or of something in one."""

    file: Path
    line: int
    name: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: imports {'.'.join(('gatepass', *self.name))}"


def imports(file: Path) -> Iterator[Import]:
    """All that a file imports of Gatepass, wherever it stands: for types alone, or inside a function, too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                found = [tuple(alias.name.split(".")) for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                package = ("gatepass", *file.parent.relative_to(GATEPASS).parts)
                base = package[: len(package) - level + 1] if level else ()
                base += tuple(module.split(".")) if module else ()
                found = [(*base, alias.name) for alias in names]
            case _:
                continue
        yield from (Import(file, node.lineno, name[1:]) for name in found if name[0] == "gatepass")


def order() -> list[list[str]]:
    """The picture in `gatepass/__init__.py`: each line's names."""
    picture = (GATEPASS / "__init__.py").read_text(encoding="utf-8")
    return [names.split(", ") for names in re.findall(r"^    ([a-z]+(?:, [a-z]+)*)  ", picture, re.MULTILINE)]


def test_the_picture_is_whole() -> None:
    """Every package and module is in it, once, and it stays a picture: at most fifteen lines."""
    there = [path.name.removesuffix(".py") for path in GATEPASS.iterdir() if path.suffix == ".py" or path.is_dir()]
    assert sorted(name for line in order() for name in line) == sorted(n for n in there if not n.startswith("__"))
    assert len(order()) <= 15


@pytest.mark.parametrize("line", range(len(order())), ids=lambda line: "-".join(order()[line]))
def test_imports_go_one_way(line: int) -> None:
    """What stands in a line of the picture imports only from the lines above."""
    above = {name for names in order()[:line] for name in names}
    for unit in order()[line]:
        files = sorted((GATEPASS / unit).rglob("*.py")) or [GATEPASS / f"{unit}.py"]
        wrong = [found.place for file in files for found in imports(file) if found.name[0] not in above | {unit}]
        assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", PACKAGES[1:], ids=lambda path: path.name)
def test_no_circle_within_a_package(package: Path) -> None:
    """The modules of a package have an order, too."""
    prefix = package.relative_to(GATEPASS).parts
    known = {path.name.removesuffix(".py") for path in package.iterdir()}
    found = [
        (file.stem, each.name[len(prefix)], each.place)
        for file in package.glob("*.py")
        if file.stem != "__init__"
        for each in imports(file)
        if each.name[: len(prefix)] == prefix and each.name[len(prefix) :][:1] and each.name[len(prefix)] in known
    ]
    graph: dict[str, set[str]] = {}
    for importer, imported, _ in found:
        graph.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = set(zip(error.args[1][1:], error.args[1], strict=False))
        pytest.fail("\n".join(place for importer, imported, place in found if (importer, imported) in circle))


def test_the_stand_in_shares_nothing_with_what_it_tests() -> None:
    """In `demo/` nothing else of Gatepass is imported but what makes certificates: no mistake is on both sides."""
    found = [each for file in (GATEPASS / "demo").rglob("*.py") for each in imports(file)]
    assert any(each.name[:2] == ("trust", "certificates") for each in found)
    wrong = [each.place for each in found if each.name[0] != "demo" and each.name[:2] != ("trust", "certificates")]
    assert not wrong, "\n".join(wrong)


def test_each_package_says_what_it_is_for() -> None:
    """In three lines: what it is for, and what it may not know."""
    for package in PACKAGES[1:]:
        if package.parent == GATEPASS:
            doc = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8")))
            assert doc, package
            assert len(doc.splitlines()) == 3, package


# ------------------------------------------------------------------ the tests' own

TESTS = ROOT / "tests"
ROOMS = sorted({path.parent for path in TESTS.glob("*/test_*.py")})


def test_each_package_has_its_tests() -> None:
    """Tests mirror the packages: a folder for each, or one file where one is enough, and beside them whole programs."""
    packages = {path.name for path in PACKAGES if path.parent == GATEPASS}
    rooms = {room.name for room in ROOMS}
    assert rooms - packages == {"end_to_end"}
    assert [name for name in sorted(packages - rooms) if not (TESTS / f"test_{name}.py").exists()] == []


def test_no_two_test_files_have_one_name() -> None:
    """No folder of tests is a package, so that a name can be one file's alone; and no test file imports another."""
    files = sorted(TESTS.rglob("test_*.py"))
    names = [file.stem for file in files]
    assert len(set(names)) == len(names)
    assert not list(TESTS.rglob("__init__.py"))
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno}: imports {node.module}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in names
    ]
    assert not wrong, "\n".join(wrong)


def test_the_tests_readme_is_whole() -> None:
    """It has a line for each folder, each fixture that all tests share, and each helper module; and no line besides."""
    rows = re.findall(r"^\| (`[^|]*`) \|", (TESTS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    shown = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    conftest = ast.parse((TESTS / "conftest.py").read_text(encoding="utf-8"))
    fixtures = [
        node.name
        for node in conftest.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any("fixture" in ast.unparse(decorator) for decorator in node.decorator_list)
        and not node.name.startswith("_")
    ]
    helpers = [path.name for path in TESTS.glob("*.py") if path.stem != "conftest" and not path.match("test_*.py")]
    assert sorted(shown) == sorted([*(room.name for room in ROOMS), *fixtures, *helpers])
