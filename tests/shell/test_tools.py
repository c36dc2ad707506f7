"""What tools are told of proxies and CAs in settings of their own: found by file and line, and overruled."""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.shell import environment, overruling, tools
from gatepass.trust import authority, bundles
from issuing import hosts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gatepass.shell.tools import Setting

THEIRS = "http://me:S3CR3T@proxy.test:3128"
OURS = "http://gatepass:0urs@127.0.0.1:8080"

# Where each tool reads it, the file, and the line that names a proxy.
PROXIES: Mapping[str, tuple[str, str, str, int]] = {
    "pip": ("pip", ".config/pip/pip.conf", f"[global]\n# proxy = x\nproxy = {THEIRS}\n", 3),
    "pip-of-old": ("pip", ".pip/pip.conf", f"[install]\nproxy: {THEIRS}\n", 2),
    "npm": ("npm", ".npmrc", f"; a comment\nhttps-proxy={THEIRS}\n", 2),
    "npm-for-all": ("npm", ".npmrc", f'registry=https://a.test/\nproxy="{THEIRS}"\n', 2),
    "wget": ("wget", ".wgetrc", f"quiet = on\nHTTPS_Proxy = {THEIRS}\n", 2),
    "wget-none": ("wget", ".wgetrc", "use_proxy = off\n", 1),
    "curl": ("curl", ".curlrc", f'# mine\n--proxy "{THEIRS}"\n', 2),
    "curl-short": ("curl", ".curlrc", f"-x {THEIRS}\n", 1),
    "curl-socks": ("curl", ".curlrc", "socks5 = localhost:1080\n", 1),
    "curl-elsewhere": ("curl", ".config/curlrc", f"proxy={THEIRS}\n", 1),
    "git": ("git", ".gitconfig", f"[user]\n\tname = A\n[http]\n\tproxy = {THEIRS}\n", 4),
    "git-of-one-url": ("git", ".config/git/config", f'[HTTP "https://github.com"]\n\tproxy = {THEIRS}\n', 2),
    "cargo": ("cargo", ".cargo/config.toml", f'[http]\nproxy = "{THEIRS}"\n', 2),
    "cargo-in-one-line": ("cargo", ".cargo/config", f"http.proxy = '{THEIRS}'\n", 1),
    "uv": ("uv", ".config/uv/uv.toml", f'offline = false\nhttps-proxy = "{THEIRS}"\n', 2),
}


def at_home(home: Path, name: str, content: str | bytes) -> Path:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(environ: Mapping[str, str]) -> list[Setting]:
    """What is told by variables and by files at home: the machine's own files say what they say."""
    return [setting for setting in tools.read(environ) if setting.place.startswith((environ["HOME"], "$"))]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home, with a project in it where we are."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


@pytest.mark.parametrize("case", PROXIES)
def test_a_proxy_is_found_by_file_and_line(case: str, home: Path) -> None:
    """Each tool's proxy is found where the tool reads it; its password is in no repr and in no notice."""
    tool, name, content, line = PROXIES[case]
    path = at_home(home, name, content)
    (found,) = read({"HOME": str(home)})
    assert (found.tool, found.place, found.names_proxy) == (tool, f"{path}:{line}", True)
    (notice,) = overruling.notices([found], has_upstream=False)
    assert f"{path}:{line} sends {tool} to a proxy" in notice
    assert "S3CR3T" not in f"{found} {notice}"
    assert len(overruling.notices([found], has_upstream=True)) == (1 if tool == "uv" else 0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".npmrc", "proxy=null\nhttps-proxy=\n//a.test/:_authToken=x\n"),
        (".wgetrc", "use_proxy = on\nhttp_proxy = http://proxy.test\n"),
        (".gitconfig", f"[core]\n\tproxy = {THEIRS}\n[http]\n\tsslVerify =\n"),
        (".config/pip/pip.conf", "[global]\nindex-url = https://proxy.test/\n"),
        (".cargo/config.toml", f"[net]\nproxy = '{THEIRS}'\n"),
        (".config/uv/uv.toml", f"[pip]\nhttps-proxy = '{THEIRS}'\n"),
        (".npmrc", f"proxy={THEIRS}\n" + "#" * 2_000_000),
    ],
)
def test_what_names_no_proxy(name: str, content: str, home: Path) -> None:
    """A key of another section, an empty value, or what cannot be read, is none."""
    at_home(home, name, content)
    assert read({"HOME": str(home)}) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".curlrc", 'noproxy = "b.test, a.test"\n'),
        (".wgetrc", "no_proxy = b.test,.a.test\n"),
        (".npmrc", "noproxy=a.test\n"),
        (".config/uv/uv.toml", 'no-proxy = ["b.test", "a.test"]\n'),
    ],
)
def test_hosts_that_a_tool_asks_directly(name: str, content: str, home: Path) -> None:
    """A tool may be told of hosts that no proxy is for: where a rule names one that is told, as it is of NO_PROXY."""
    path = at_home(home, name, content)
    found = read({"HOME": str(home)})
    (notice,) = overruling.exemptions(found, hosts("a.test", "c.test"))
    assert notice.startswith(f"{path}:1 has `")
    assert notice.endswith(" asks of a.test will not come here")
    assert overruling.notices(found, has_upstream=False) == []
    assert tools.authorities(found, {}) == ([], [])
    assert overruling.for_client(OURS, home / "bundle.pem", {"HOME": str(home)}, found).keys() <= {"CURL_HOME"}


@pytest.mark.parametrize(
    ("name", "content", "variable"),
    [
        (".curlrc", 'proxy = ""\n', "CURL_HOME"),
        (".gitconfig", '[http "https://a.test"]\n\tproxy =\n', "GIT_CONFIG_VALUE_0"),
    ],
)
def test_a_proxy_that_is_empty(name: str, content: str, variable: str, home: Path) -> None:
    """To curl and git an empty proxy says that there is none, whatever the variables say: it is overruled."""
    at_home(home, name, content)
    found = read({"HOME": str(home)})
    assert variable in overruling.for_client(OURS, home / "bundle.pem", {"HOME": str(home)}, found)
    assert overruling.notices(found, has_upstream=False) == []


@pytest.mark.parametrize("name", ["PIP_PROXY", "npm_config_proxy", "NPM_CONFIG_HTTPS_PROXY", "CARGO_HTTP_PROXY"])
def test_a_variable_of_one_tool(name: str, home: Path) -> None:
    """A variable that one tool alone reads gets our proxy for a value, in whatever letters it is written."""
    environ = {"HOME": str(home), name: THEIRS}
    (found,) = read(environ)
    assert found.place == f"${name}"
    assert overruling.for_client(OURS, home / "bundle.pem", environ, [found])[name] == OURS


@pytest.mark.parametrize(
    "name", ["PIP_CONFIG_FILE", "npm_config_userconfig", "WGETRC", "SYSTEM_WGETRC", "HOMEBREW_CURLRC"]
)
def test_a_file_that_a_variable_names(name: str, home: Path) -> None:
    """A variable may say where a tool's settings are."""
    path = at_home(home, "else/where", f"# mine\n{'https_' if 'WGET' in name else ''}proxy={THEIRS}\n")
    assert [setting.place for setting in read({"HOME": str(home), name: str(path)})] == [f"{path}:2"]


def test_pip_without_settings(home: Path) -> None:
    """The null device says that pip reads none (pip's documentation, "Configuration")."""
    at_home(home, ".pip/pip.conf", f"[global]\nproxy={THEIRS}\n")
    assert read({"HOME": str(home), "PIP_CONFIG_FILE": os.devnull}) == []


def test_a_tool_that_is_installed_elsewhere(home: Path) -> None:
    """An environment has settings of its own for pip: that which is active, and those on the PATH."""
    for folder in ("venv", "other"):
        at_home(home, f"{folder}/pip.conf", f"[global]\nproxy={THEIRS}\n")
    environ = {"HOME": str(home), "VIRTUAL_ENV": str(home / "venv"), "PATH": f"/usr/bin:{home}/other/bin:bin"}
    found = [setting.place for setting in read(environ)]
    assert found == [f"{home}/other/pip.conf:2", f"{home}/venv/pip.conf:2"]


def test_git_in_its_own_variables(home: Path) -> None:
    """git's keys are said once more, after those that the environment has."""
    at_home(home, ".gitconfig", f'[include]\n\tpath = more\n[http "https://a.test"]\n\tproxy = {THEIRS} ; theirs\n')
    at_home(home, "more", f"[http]\n\tproxy = {THEIRS}\n[include]\n\tpath = .gitconfig\n")
    environ = {
        "HOME": str(home),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.https://b.test/x.y.proxy",
        "GIT_CONFIG_VALUE_0": THEIRS,
    }
    given = overruling.for_client(OURS, home / "bundle.pem", environ, read(environ))
    keys = ["http.https://b.test/x.y.proxy", "http.proxy", "http.https://a.test.proxy"]
    assert {name: value for name, value in given.items() if name.startswith("GIT_")} == {
        "GIT_CONFIG_COUNT": "4",
        **{f"GIT_CONFIG_KEY_{number}": key for number, key in enumerate(keys, 1)},
        **{f"GIT_CONFIG_VALUE_{number}": OURS for number in (1, 2, 3)},
    }


def test_nothing_is_overruled_without_need(home: Path) -> None:
    """Where no tool is told anything no variable is set: pip heeds NO_PROXY only as long as it is told no proxy."""
    assert overruling.for_client(OURS, home / "bundle.pem", {"HOME": str(home)}, read({"HOME": str(home)})) == {}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("uv.toml", ".".join("a" * 100_000) + f"=1\nhttps-proxy='{THEIRS}'\n"),
        ("pyproject.toml", "[" * 100_000 + f"\n[tool.uv]\nhttps-proxy='{THEIRS}'\n"),
        (".npmrc", "\n" * 200_000 + f"proxy={THEIRS}\n"),
        (".npmrc", "proxy " * 30_000 + f" \nproxy{' ' * 60_000}= {THEIRS}\n"),
        (".cargo/config.toml", f"http = {{ proxy = '{THEIRS}' {'a' * 100_000} {'proxy ' * 10_000}}}\n"),
    ],
)
def test_a_projects_file_that_means_harm(name: str, content: str, home: Path) -> None:
    """Whoever wrote the file, reading it takes less than a second, and what it says of a proxy is found."""
    at_home(home / "project", name, content)
    before = time.process_time()
    assert any(setting.value == THEIRS and not setting.is_own for setting in read({"HOME": str(home)}))
    assert time.process_time() - before < 1


@pytest.mark.parametrize("path", ["~a\0b", "~/a\0b", "a\0b", "/dev/zero", "/proc/kmsg", "."])
def test_a_project_that_includes_what_is_no_file(path: str, home: Path) -> None:
    """What git is to include may have a name that no file can have, or be read for ever: it is passed over."""
    at_home(home / "project", ".git/config", f"[include]\n\tpath = {path}\n[http]\n\tproxy = {THEIRS}\n")
    assert [setting.value for setting in read({"HOME": str(home)})] == [THEIRS]


@pytest.mark.parametrize("path", ["a\0b", "~/a\0b", "~a\0b"])
def test_cas_of_a_name_that_no_file_can_have(path: str, home: Path) -> None:
    """A setting that names CAs by a name with a null byte, as in a file of another encoding, is told of."""
    at_home(home, ".config/pip/pip.conf", f"[global]\ncert = {path}\n")
    texts, (notice,) = tools.authorities(read({"HOME": str(home)}), {"HOME": str(home)})
    assert texts == []
    assert "which cannot be read: " in notice


def test_a_project_above(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project's file counts in the folders below, too."""
    for name in ("uv.toml", "package.json", ".npmrc", ".git/config"):
        at_home(home / "project", name, f"https-proxy = '{THEIRS}'\n[http]\nproxy = {THEIRS}\n")
    (home / "project/a/b").mkdir(parents=True)
    monkeypatch.chdir(home / "project/a/b")
    assert {setting.tool for setting in read({"HOME": str(home)})} == {"npm", "git", "uv"}


def test_a_folder_that_is_gone(home: Path) -> None:
    """Without a working folder there is no project, and no error."""
    (home / "project").rmdir()
    assert read({"HOME": str(home)}) == []


# ------------------------------------------------------------------------- CAs

COMPANY = bundles.combine(authority.make(hosts("a.test"), datetime.timedelta(days=1)))

AUTHORITIES: Mapping[str, tuple[str, str]] = {
    "pip": (".config/pip/pip.conf", "[global]\ncert = {path}\n"),
    "pip-of-home": (".config/pip/pip.conf", "[install]\ncert = ~/company.pem\n"),
    "npm": (".npmrc", "cafile={path}\n"),
    "npm-by-a-variable": (".npmrc", "cafile=${{HOME}}/company.pem\n"),
    "npm-as-it-is": (".npmrc", 'ca[]="{text}"\n'),
    "git": (".gitconfig", "[http]\n\tsslCAInfo = {path}\n"),
    "git-of-one-url": (".gitconfig", '[http "https://a.test"]\n\tsslCAInfo = "{path}"\n'),
    "git-folder": (".gitconfig", "[http]\n\tsslCAPath = {folder}\n"),
    "wget": (".wgetrc", "ca_certificate = {path}\n"),
    "wget-folder": (".wgetrc", "CADirectory={folder}\n"),
    "curl": (".curlrc", 'cacert = "{path}"\n'),
    "curl-folder": (".curlrc", "--capath {folder}\n"),
    "cargo": (".cargo/config.toml", 'http = {{ cainfo = "{path}" }}\n'),
}


@pytest.mark.parametrize("case", AUTHORITIES)
def test_a_tools_cas_are_trusted(case: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CAs that the user's own settings name are read, wherever a client of the matrix has them."""
    monkeypatch.setenv("HOME", str(home))
    path = at_home(home, "company.pem", COMPANY)
    folder = at_home(home, "folder/0a1b2c3d.0", COMPANY).parent
    name, content = AUTHORITIES[case]
    at_home(home, name, content.format(path=path, folder=folder, text=COMPANY.replace("\n", "\\n")))
    environ = {"HOME": str(home)}
    assert bundles.combine(*tools.authorities(read(environ), environ)[0]) == COMPANY
    assert COMPANY in bundles.combine(*tools.trusted(environ))


@pytest.mark.parametrize("name", [".npmrc", ".cargo/config.toml", ".git/config"])
def test_a_projects_cas_are_not(name: str, home: Path) -> None:
    """A project's files may be anybody's: what they name is trusted by nobody here, and that is said."""
    path = at_home(home, "company.pem", COMPANY)
    keys = {".npmrc": "cafile", ".cargo/config.toml": "[http]\ncainfo", ".git/config": "[http]\nsslCAInfo"}
    file = at_home(home / "project", name, f'{keys[name]} = "{path}"\n')
    environ = {"HOME": str(home)}
    texts, notices = tools.authorities(read(environ), environ)
    assert texts == []
    assert f"{file}:" in notices[0]


def test_cas_that_are_not_there(home: Path) -> None:
    """A file that is missing stops nothing, and is told of."""
    path = at_home(home, ".npmrc", "cafile=/no/such/file.pem\n")
    environ = {"HOME": str(home)}
    texts, (notice,) = tools.authorities(read(environ), environ)
    assert texts == []
    assert notice.startswith(f"{path}:1 names CAs, which cannot be read: no such file")


# ----------------------------------------------------------------------- homes


@pytest.mark.parametrize("path", ["~/proxies", "~nobody-of-that-name/proxies"])
def test_what_is_in_no_home(no_home: Path, path: str) -> None:
    """A file in a home that nothing tells stops nothing, and is none in the working folder."""
    at_home(no_home, "proxies", f"[http]\n\tproxy = {THEIRS}\n")
    config = at_home(no_home.parent, "gitconfig", f"[include]\n\tpath = {path}\n[http]\n\tsslCAInfo = {path}\n")
    environ = {"GIT_CONFIG_GLOBAL": str(config)}
    found = [setting for setting in tools.read(environ) if setting.place.startswith(f"{no_home.parent}")]
    assert [setting.names_proxy for setting in found] == [False]
    texts, (notice,) = tools.authorities(found, environ)
    assert texts == []
    assert notice.startswith(f"{config}:4 names CAs, which cannot be read: ")
    assert path in notice


# ---------------------------------------------------------------------- copies


@given(st.binary(max_size=200))
def test_settings_are_copied_as_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever a settings file holds, in whatever encoding, is in the copy, to the byte, with ours after it."""
    home = tmp_path_factory.mktemp("home")
    at_home(home, ".wgetrc", content)
    at_home(home, ".curlrc", content)
    environ = {"HOME": str(home)}
    bundle = home / os.fsdecode(b'gatepass/the "bundle", \xff.pem')
    bundle.parent.mkdir()
    overruling.for_client(OURS, bundle, environ, [])
    given = environment.for_client(OURS, bundle, bundle, environ)
    for name in environment.FILES:
        copy = Path(given[name])
        assert copy.read_bytes().startswith(content + b"\n")
        assert copy.stat().st_mode & 0o777 == 0o600
    assert os.fsencode(f"ca_certificate = {bundle}\n") in Path(given["WGETRC"]).read_bytes()


@given(st.text(max_size=300), st.sampled_from([".npmrc", ".curlrc", ".wgetrc", ".gitconfig", ".config/uv/uv.toml"]))
def test_whatever_a_file_holds(tmp_path_factory: pytest.TempPathFactory, content: str, name: str) -> None:
    """No text of a settings file is more than its tool's affair: reading it ends, and raises nothing."""
    home = tmp_path_factory.mktemp("home")
    at_home(home, name, content.encode("utf-8", "surrogatepass"))
    tools.authorities(read({"HOME": str(home)}), {"HOME": str(home)})
