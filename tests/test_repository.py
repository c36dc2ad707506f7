"""The repository itself: what is written in it is true, and it holds nothing that it should not."""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import sys
import tomllib
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import click
import pytest
import yaml

from gatepass import shipped
from gatepass.cli import gatepass
from gatepass.rules import parser
from harness import BIN, ROOT, SCRIPT, UV, call, clean_environment, tracked
from pages import PAGES, README, TEXT, blocks, first_commands, links

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_readmes_first_screen() -> None:
    """The README begins with what this is, the 404, a picture, and the two commands."""
    top = "\n".join(README.splitlines()[:60])
    for part in ("404 Not Found", "▶", "gatepass run -- uv sync"):
        assert part in top, part
    assert first_commands() == (
        "python3 -m venv .uv && .uv/bin/pip install -q uv && .uv/bin/uv run --no-dev gatepass demo",
        ".uv/bin/uv run pytest",
    )
    assert all(f"```sh\n{command}\n```" in top for command in first_commands())


def test_the_readmes_commands_exist() -> None:
    """Every command has its line in the README's table, and the table has no other."""
    named = set(re.findall(r"^\| `gatepass (\w+)", README, re.MULTILINE))
    assert named == set(gatepass.list_commands(click.Context(gatepass)))


def test_the_rules_that_are_shown_are_valid() -> None:
    """Every rules file that a page shows is accepted."""
    shown = list(blocks("yaml"))
    assert shown
    for page, text in shown:
        assert parser.parse(text, page).rules


def test_the_built_in_rules_that_are_shown() -> None:
    """The one block that a page shows as the built-in rules is what they are, but for their comments."""
    shown = [text for page, text in blocks("yaml") if "built-in" in PAGES[page].partition(text)[0].split("```")[-2]]
    (block,) = shown
    assert yaml.safe_load(block) == yaml.safe_load(shipped.rules().read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", ["run", "serve", "env", "ca", "explain", "check", "demo", "script"])
def test_help(command: str) -> None:
    """Every command explains itself."""
    result = call([BIN / "gatepass", command, "--help"], clean_environment())
    assert result.code == 0
    assert "Usage: gatepass" in result.output


def test_wheel(tmp_path: Path) -> None:
    """The wheel holds the script and the built-in rules, which are the repository's."""
    call([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], clean_environment(), cwd=ROOT)
    (built,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
        assert archive.read("gatepass/rules.yaml") == (ROOT / "rules.yaml").read_bytes()
        assert "gatepass/rules.schema.json" in names
        assert archive.read("gatepass/script/inject.py") == (ROOT / "addon" / "inject.py").read_bytes()
        archive.extractall(tmp_path / "site")
    assert "inject.py" not in names, "a module of that name would lie in everybody's site-packages"
    env = clean_environment(PYTHONPATH=str(tmp_path / "site"))
    result = call([sys.executable, "-m", "gatepass", "script"], env, cwd=tmp_path)
    assert result.output.strip() == str(tmp_path / "site" / "gatepass" / "script" / "inject.py")
    command = [sys.executable, "-m", "gatepass", "check", "--offline"]
    result = call(command, env | {"HOME": str(tmp_path), "GH_TOKEN": "a"}, cwd=tmp_path)
    assert result.code == 0, result.output
    assert "github.com/*/releases/download/*" in result.output


def test_sdist(tmp_path: Path) -> None:
    """The sdist holds every page, and whatever the pages link to."""
    call([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path], clean_environment(), cwd=ROOT)
    (built,) = tmp_path.glob("*.tar.gz")
    listed = call(["tar", "-tzf", built], clean_environment()).output.splitlines()
    files = {PurePosixPath(*PurePosixPath(name).parts[1:]) for name in listed}
    there = files.union(*(file.parents for file in files))
    for page, text in PAGES.items():
        assert PurePosixPath(page) in there, page
        for link in links(text):
            place = link.partition("#")[0]
            if place and not link.startswith("https://"):
                assert PurePosixPath(posixpath.normpath(PurePosixPath(page).parent / place)) in there, f"{page}: {link}"


def test_the_home() -> None:
    """All places that name the project's home name the same one."""
    urls = PROJECT["project"]["urls"]
    home = urls["Repository"]
    assert {url for url in urls.values() if url != home and not url.startswith(f"{home}/")} == set()
    named: dict[str, set[str]] = {}
    for path in tracked():
        if not path.is_relative_to(ROOT / "tests"):
            text = path.read_text(encoding="utf-8", errors="replace")
            for owner in re.findall(r"github\.com/([\w-]+)/gatepass\b|\b([\w-]+)/gatepass(?:@|`)", text):
                named.setdefault("".join(owner), set()).add(path.relative_to(ROOT).as_posix())
    assert list(named) == [home.split("/")[-2]], named
    assert named.popitem()[1] >= {"pyproject.toml", "docs/ci.md", "docs/clients.md"}


def test_the_version_that_is_shown() -> None:
    """Where a page names a version of the project, it is this one."""
    assert set(re.findall(r"/gatepass@v([\w.]+)", TEXT)) == {PROJECT["project"]["version"]}


def test_the_classifiers() -> None:
    """The oldest Python among the classifiers is the one that is required, and the one that runs this is among them."""
    classifiers = PROJECT["project"]["classifiers"]
    assert classifiers == sorted(classifiers)
    versions = [int(found[1]) for text in classifiers if (found := re.fullmatch(r"Programming .* :: 3\.(\d+)", text))]
    assert PROJECT["project"]["requires-python"] == f">=3.{min(versions)}"
    assert sys.version_info.minor in versions


def test_no_python_is_fetched_where_one_would_do() -> None:
    """`.python-version` asks uv, which reads the first line, for no more than is required; and pyenv for its newest.

    pyenv passes over what it does not know. Without the file its older Pythons, first on the PATH, are what uv meets.
    """
    lines = (ROOT / ".python-version").read_text(encoding="utf-8").splitlines()
    assert lines == [PROJECT["project"]["requires-python"], "3"]


def test_a_mitmproxy_that_lacks_a_dependency(tmp_path: Path) -> None:
    """The script ends mitmproxy's start with the module's name and what to do, and without a traceback."""
    # as Python says it of a module that is not there
    (tmp_path / "msgspec.py").write_text("raise ModuleNotFoundError(\"No module named 'msgspec'\", name='msgspec')\n")
    env = clean_environment(HOME=str(tmp_path), PYTHONPATH=str(tmp_path))
    result = call([BIN / "mitmdump", "-s", SCRIPT, "--listen-port", "0"], env, cwd=tmp_path)
    assert result.code != 0
    assert "mitmproxy's Python lacks the module `msgspec`\nhint: install both together: `uv tool " in result.output
    assert "Traceback" not in result.output


@pytest.mark.slow
def test_a_mitmproxy_that_is_installed_apart(tmp_path: Path) -> None:
    """What the script says to do, in a clone or where a package is installed, gives a mitmproxy that has the addon."""
    apart, tools = tmp_path / "apart", tmp_path / "tools"
    env = os.environ | {"UV_PYTHON": sys.executable, "UV_TOOL_DIR": str(tools), "UV_TOOL_BIN_DIR": str(tools / "bin")}
    env.pop("PYTHONPATH", None)
    assert call([UV, "venv", "-q", apart], env).code == 0
    result = call([UV, "pip", "install", "-q", "--python", apart, "mitmproxy"], env)
    if result.code != 0:
        pytest.skip(f"mitmproxy cannot be installed: {result.output[-300:]}")
    packaged = tmp_path / "site" / "gatepass" / "script" / "inject.py"
    packaged.parent.mkdir(parents=True)
    shutil.copy(SCRIPT, packaged)
    hints = {}
    for script in (SCRIPT, packaged):
        result = call([apart / "bin" / "mitmdump", "-s", script, "--listen-port", "0"], env, cwd=tmp_path)
        assert result.code != 0
        assert "Traceback" not in result.output
        (hints[script],) = re.findall(r"^hint: install both together: `uv (.*?)`", result.output, re.MULTILINE)
    assert hints[packaged].replace("CLONE", str(ROOT)) == hints[SCRIPT]
    result = call([UV, *hints[SCRIPT].split()], env, cwd=tmp_path)
    assert result.code == 0, result.output
    for script in (SCRIPT, packaged):
        result = call([tools / "bin" / "mitmdump", "-s", script, "--options"], env, cwd=tmp_path)
        assert "gatepass_rules:" in result.output


def test_script_path() -> None:
    """In a clone the script is the one beside the package."""
    assert shipped.script() == ROOT / "addon" / "inject.py"


def test_the_lock_covers_the_dependencies() -> None:
    """requirements.lock pins every dependency by hash."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    groups = PROJECT["dependency-groups"]
    wanted = [*PROJECT["project"]["dependencies"], *groups["build"], *groups["dev"]]
    for requirement in wanted:
        if not isinstance(requirement, str):  # a group within a group
            continue
        name = re.split(r"[\[<>=]", requirement)[0].lower()
        assert re.search(rf"^{name}==\S+.*\\\n    --hash=sha256:", lock, re.MULTILINE | re.IGNORECASE), name


@pytest.mark.parametrize(("place", "extras"), [("action", []), ("container", ["metrics"])])
def test_the_other_locks_are_parts_of_it(place: str, extras: list[str]) -> None:
    """What the action and the image install is pinned as in requirements.lock, and holds what they need."""

    def pinned(file: Path) -> dict[str, str]:
        text = file.read_text(encoding="utf-8")
        return dict(re.findall(r"^([\w.-]+)==(.*?)(?=^\S|\Z)", re.sub(r"\n *#.*", "", text), re.MULTILINE | re.DOTALL))

    lock = pinned(ROOT / "deploy" / place / "requirements.lock")
    assert lock.items() <= pinned(ROOT / "requirements.lock").items()
    project = PROJECT["project"]
    wanted: list[str] = [*project["dependencies"], *PROJECT["dependency-groups"]["build"]]
    wanted += [each for extra in extras for each in project["optional-dependencies"][extra]]
    assert {re.split(r"[\[<>=]", requirement)[0].lower() for requirement in wanted} <= lock.keys()


def test_ci_runs_one_command() -> None:
    """CI runs `poe check` and no check besides; that runs every other task, each once, the slow tests last."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^uv run (.*)", script, re.MULTILINE) == ["--no-sync poe check"]
    assert script.endswith("\nuv run --no-sync poe check\n")
    tasks = PROJECT["tool"]["poe"]["tasks"]
    sequence = tasks["check"]["sequence"]
    assert sorted(["check", *sequence]) == sorted(tasks)
    assert tasks[sequence[-1]].startswith("pytest "), "the last line of CI is pytest's"


def test_ci_installs_by_the_lock() -> None:
    """Every package that CI installs, uv too, is held against the lock's hashes, but for the clone itself."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").replace("\\\n", "")
    installs = re.findall(r"^[^#\n]*\bpip (?:install|sync)\b.*", script, re.MULTILINE)
    assert [line.split()[-1] for line in installs] == ['"$tools/uv.lock"', "requirements.lock", "."]
    assert all("--require-hashes" in line for line in installs[:2])
    assert "--no-deps --no-build-isolation" in installs[2]


@pytest.mark.parametrize(
    ("text", "failed", "not_run"), [("import os", "lint", "format"), ("a = ''", "format", "types")]
)
def test_the_check_that_fails_is_named(text: str, failed: str, not_run: str, tmp_path: Path) -> None:
    """`poe check` stops at the first check that fails, and its last line says which one it was."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "a.py").write_text(f"{text}\n", encoding="utf-8")
    env = clean_environment(PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    result = call([BIN / "poe", "-C", tmp_path, "check"], env)
    assert result.code == 1
    assert f"'{failed}'" in result.output.splitlines()[-1]
    tasks = PROJECT["tool"]["poe"]["tasks"]
    assert f"Poe => {tasks[failed]}" in result.output
    assert f"Poe => {tasks[not_run]}" not in result.output


def test_no_place_of_this_machine_is_written_down() -> None:
    """No committed file names a package index or a path of the machine that it was written on."""
    hosts = "|".join(["pypi" + r"\.org", "pythonhosted" + r"\.org", "registry" + r"\.npmjs", "deb" + r"\.debian"])
    paths = "|".join("(^|[^A-Za-z0-9./])/" + name + "/" for name in ("work", "farm", "root"))
    for path in tracked():
        found = re.search(f"{hosts}|{paths}", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        assert not found, f"{path}: {found}"
