"""What tools are told of proxies and CAs elsewhere than in the variables that all of them read.

Each has settings files, and some have variables of their own, that come before HTTPS_PROXY and SSL_CERT_FILE. Reads
them, and changes nothing; what becomes of them is told by `overruling`. A file that cannot be read is passed over: its
tool is the one to tell.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from gatepass import files
from gatepass.errors import GatepassError, why
from gatepass.home import folder as home_of
from gatepass.home import opened
from gatepass.trust import bundles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# A project's file may be anybody's: reading it is to end soon. That is why TOML is read by lines, as all else is: over
# 64 kB of one dotted key `tomllib` takes 40 s.
_MOST_BYTES: Final = 1 << 18
_NAME_THEM: Final = "hint: let SSL_CERT_FILE name them, if they are the company's"
_NO: Final = frozenset({"", "null", "none", "false"})

# The keys that name a proxy for https, or CAs, in small letters and without `-` and `_`, as most tools compare them.
_PROXIES: Final = {
    "pip": {"proxy"},
    "npm": {"proxy", "httpsproxy"},
    "wget": {"httpsproxy", "useproxy", "proxyuser", "proxypassword", "proxypasswd"},
    "curl": {"proxy", "x", "proxyuser", "preproxy", "socks4", "socks4a", "socks5", "socks5hostname"},
    "git": {"proxy"},
    "cargo": {"proxy"},
    "uv": {"httpsproxy"},
}
_AUTHORITIES: Final = {
    "pip": {"cert"},
    "npm": {"cafile", "ca"},
    "wget": {"cacertificate", "cadirectory"},
    "curl": {"cacert", "capath"},
    "git": {"sslcainfo", "sslcapath"},
    "cargo": {"cainfo"},
    "uv": set[str](),
}

# The key that keeps some hosts from any proxy; and the tools whose empty `proxy` does so with all, whatever the
# variables say (curl(1), `--proxy`; git, `http.c`).
_EXEMPTIONS: Final = "noproxy"
_EXEMPTING: Final = frozenset({"wget", "curl", "npm", "uv"})
_DIRECT_IF_EMPTY: Final = frozenset({"curl", "git"})

# A key and a text in an inline table.
_INLINE: Final = re.compile(r"""\b([a-z]+)\s*=\s*["']([^"']*)["']""")

# The variables that do so for one tool.
_VARIABLES: Final = {
    "pip": re.compile("PIP_PROXY"),
    "npm": re.compile("npm_config_(https_)?proxy", re.IGNORECASE),
    "cargo": re.compile("CARGO_HTTP_PROXY"),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What one line, or one variable, says; `value` may hold a password, and is in no repr.

    `key` is the tool's own name for it, with git's section; of a variable its name. `is_own` says that the user or the
    system's owner wrote it: a project's file may be anybody's. An empty proxy means none; with `exempts` the value has
    the hosts that none is for.
    """

    tool: str
    place: str
    key: str
    value: str = field(repr=False)
    is_own: bool = True
    names_proxy: bool = True
    exempts: bool = False


class _File(NamedTuple):
    tool: str
    path: Path
    is_own: bool = True


def read(environ: Mapping[str, str]) -> list[Setting]:
    """All that tools are told, by variables first."""
    found = [*_of_variables(environ), *_of_git_variables(environ)]
    for file in dict.fromkeys(_files(environ)):
        found += _of_file(file, environ)
    return found


def wgetrc(environ: Mapping[str, str]) -> Path | None:
    """The user's settings of wget."""
    return _chosen(environ, "WGETRC", ".wgetrc")


def curlrc(environ: Mapping[str, str]) -> Path | None:
    """The user's settings of curl: the first that is there (curl, `src/tool_findfile.c`)."""
    home, config = home_of(environ), _config(environ)
    places = [Path(environ["CURL_HOME"], ".curlrc")] if environ.get("CURL_HOME") else []
    places += [config / "curlrc", config / ".curlrc"] if config and environ.get("XDG_CONFIG_HOME") else []
    places += [home / ".curlrc", home / ".config" / "curlrc"] if home else []
    return next((path for path in places if path.is_file()), None)


def homebrew_curlrc(environ: Mapping[str, str]) -> Path | None:
    """The settings that Homebrew is to give curl in place of the user's, where an absolute path says so (brew(1))."""
    path = Path(environ.get("HOMEBREW_CURLRC", ""))
    return path if path.is_absolute() else None


def pip_files(environ: Mapping[str, str]) -> list[Path]:
    """pip's settings files, those that come later before those that come earlier; most are not there."""
    return [file.path for file in dict.fromkeys(_files(environ)) if file.tool == "pip"]


# ------------------------------------------------------------------- where they are


def _config(environ: Mapping[str, str]) -> Path | None:
    home = home_of(environ)
    return Path(environ["XDG_CONFIG_HOME"]) if environ.get("XDG_CONFIG_HOME") else home and home / ".config"


def _chosen(environ: Mapping[str, str], variable: str, name: str) -> Path | None:
    """The file that the variable names, else the one of that name at home."""
    home = home_of(environ)
    return Path(environ[variable]) if environ.get(variable) else home and home / name


def _files(environ: Mapping[str, str]) -> Iterator[_File]:
    """The files that tools read, of the system, of the user and of the project that this is; most are not there."""
    home, config = home_of(environ), _config(environ)
    systems = [Path(folder) for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep) if folder]
    # the folder that a tool is installed in may have settings for all who use that one
    prefixes = [Path(folder).parent for folder in environ.get("PATH", "").split(os.pathsep) if folder[:1] == os.sep]
    prefixes += [Path(environ[name]) for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if environ.get(name)]

    if environ.get("PIP_CONFIG_FILE") != os.devnull:
        pips = [*(folder / "pip" / "pip.conf" for folder in systems), Path("/etc/pip.conf")]
        pips += [prefix / "pip.conf" for prefix in prefixes]
        pips += [home / ".pip" / "pip.conf", home / "Library/Application Support/pip/pip.conf"] if home else []
        pips += [config / "pip" / "pip.conf"] if config else []
        pips += [Path(environ["PIP_CONFIG_FILE"])] if environ.get("PIP_CONFIG_FILE") else []
        pips += [Path(environ["APPDATA"], "pip", "pip.ini")] if environ.get("APPDATA") else []
        yield from (_File("pip", path) for path in pips)

    npmrc = _chosen(environ, "npm_config_userconfig", ".npmrc")
    npms = [npmrc] if npmrc else []
    npms += [Path("/etc/npmrc"), *(prefix / "etc" / "npmrc" for prefix in prefixes)]
    npms += [Path(environ["npm_config_globalconfig"])] if environ.get("npm_config_globalconfig") else []
    yield from (_File("npm", path) for path in npms)

    if not environ.get("UV_NO_CONFIG"):
        uvs = [folder / "uv" / "uv.toml" for folder in (*systems, *([config] if config else []))]
        yield from (_File("uv", path) for path in (*uvs, Path("/etc/uv/uv.toml")))
        if environ.get("UV_CONFIG_FILE"):
            yield _File("uv", Path(environ["UV_CONFIG_FILE"]))

    yield _File("wget", Path(environ.get("SYSTEM_WGETRC") or "/etc/wgetrc"))
    yield from (_File(tool, path) for tool, path in (("wget", wgetrc(environ)), ("curl", curlrc(environ))) if path)
    if brews := homebrew_curlrc(environ):
        yield _File("curl", brews)

    yield _File("git", Path(environ.get("GIT_CONFIG_SYSTEM") or "/etc/gitconfig"))
    gits = [home / ".gitconfig"] if home else []
    gits += [config / "git" / "config"] if config else []
    yield from (
        _File("git", path)
        for path in ([Path(environ["GIT_CONFIG_GLOBAL"])] if environ.get("GIT_CONFIG_GLOBAL") else gits)
    )

    cargo = Path(environ["CARGO_HOME"]) if environ.get("CARGO_HOME") else home and home / ".cargo"
    if cargo:
        yield from (_File("cargo", cargo / name) for name in ("config.toml", "config"))
    yield from _project_files(environ)


def _project_files(environ: Mapping[str, str]) -> Iterator[_File]:
    try:
        folder = Path.cwd()
    except OSError:  # it has gone
        return
    above = [folder, *folder.parents]
    package = next((place for place in above if (place / "package.json").is_file()), folder)
    # in one's home a project's file is one's own, which comes first
    yield _File("npm", package / ".npmrc", is_own=package == home_of(environ))
    names = [("git", ".git/config")]
    if not environ.get("UV_NO_CONFIG") and not environ.get("UV_CONFIG_FILE"):
        names += [("uv", "uv.toml"), ("uv", "pyproject.toml")]
    names += [("cargo", ".cargo/config.toml"), ("cargo", ".cargo/config")]
    for tool, name in names:
        if nearest := next((place / name for place in above if (place / name).is_file()), None):
            yield _File(tool, nearest, is_own=nearest.parent.parent == home_of(environ) and tool == "cargo")


# ------------------------------------------------------------------- what they say


def _of_variables(environ: Mapping[str, str]) -> Iterator[Setting]:
    for tool, names in _VARIABLES.items():
        for name, value in environ.items():
            if names.fullmatch(name) and value.lower() not in _NO:
                yield Setting(tool, f"${name}", name, value)


def _of_git_variables(environ: Mapping[str, str]) -> Iterator[Setting]:
    """What GIT_CONFIG_COUNT and its kin say (git-config(1), "Environment")."""
    for number in range(git_count(environ)):
        key, value = (environ.get(f"GIT_CONFIG_{part}_{number}", "") for part in ("KEY", "VALUE"))
        if key.lower().startswith("http."):
            place, (_, _, name) = f"$GIT_CONFIG_VALUE_{number}", key.rpartition(".")
            yield from _judged(_File("git", Path()), place, name, value, key)


def git_count(environ: Mapping[str, str]) -> int:
    """How many settings of git the environment has; at most a hundred, for who means more would not say so here."""
    text = environ.get("GIT_CONFIG_COUNT", "")
    return min(int(text), 100) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def _of_file(file: _File, environ: Mapping[str, str], *, is_included: bool = False) -> Iterator[Setting]:
    try:
        content = files.read(file.path, _MOST_BYTES)
    except (OSError, ValueError):
        return
    if len(content) > _MOST_BYTES:
        return
    # a path may be in any encoding: it is to come out as it went in
    text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    for number, section, name, value in _lines(text):
        place = f"{file.path}:{number}"
        kind, _, quoted = section.partition(" ")
        match file.tool:
            case "git" if kind.lower() == "http":
                key = ".".join(filter(None, ("http", quoted.strip('"'), name)))
                yield from _judged(file, place, name, value, key)
            case "git" if (kind.lower(), name.lower()) == ("include", "path") and not is_included:
                with suppress(GatepassError):  # of a file at home, where there is none
                    included = file._replace(path=file.path.parent / opened(value, environ))
                    yield from _of_file(included, environ, is_included=True)
            case "cargo" if (section, name) == ("", "http"):
                for inner in _INLINE.finditer(value):
                    yield from _judged(file, place, inner[1], inner[2])
            case "cargo" if section == "http" or name.startswith("http."):
                yield from _judged(file, place, name.removeprefix("http."), value)
            case "uv" if section == ("tool.uv" if file.path.name == "pyproject.toml" else ""):
                yield from _judged(file, place, name, value)
            case "pip" | "npm" | "wget" | "curl":
                yield from _judged(file, place, name, value)


def _lines(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Number, section, name and value of each line that has them: in ini, in TOML, and as wget, curl and git write."""
    section = ""
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if line.startswith("["):
            section = line[1:].rpartition("]")[0].strip()
        elif match := re.match(r"-{0,2}([A-Za-z][\w.-]*)(?:\[\])?", line, re.ASCII):
            value = line[match.end() :].strip()
            if value[:1] in ("=", ":"):
                value = value[1:].strip()
            yield number, section, match[1], _plain(value)


def _plain(value: str) -> str:
    """The value without the quotes around it, or what follows it as a comment."""
    if value[:1] in ('"', "'"):
        end = value.find(value[0], 1)
        return value[1 : end if end > 0 else None]
    return re.split(r"\s[#;]", value, maxsplit=1)[0].strip()


def _judged(file: _File, place: str, name: str, value: str, key: str = "") -> Iterator[Setting]:
    """The setting, when it is one of a proxy or of CAs."""
    tool, name = file.tool, re.sub("[-_]", "", name).lower()
    is_direct = not value and name == "proxy" and tool in _DIRECT_IF_EMPTY
    if (value.lower() in _NO and not is_direct) or (name == "useproxy" and value.lower() not in ("off", "no", "0")):
        return
    if name in _PROXIES[tool] or name in _AUTHORITIES[tool]:
        yield Setting(tool, place, key or name, value, file.is_own, name in _PROXIES[tool])
    elif name == _EXEMPTIONS and tool in _EXEMPTING:
        hosts = re.sub(r"""[]["']""", " ", value)
        yield Setting(tool, place, name, hosts, file.is_own, names_proxy=False, exempts=True)


def authorities(found: Iterable[Setting], environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The texts of the CAs that tools are told to trust; and, for people, what is said of CAs to no effect."""
    texts, notices = [], []
    for setting in found:
        if setting.names_proxy or setting.exempts:
            continue
        if not setting.is_own:
            notices.append(f"{setting.place} names CAs, which are not trusted: the file is a project's; {_NAME_THEM}")
        elif "-----BEGIN" in setting.value:  # npm takes them as they are
            texts.append(setting.value.replace("\\n", "\n"))
        else:
            name = re.sub(r"\$\{(\w+)\}", lambda match: environ.get(match[1], ""), setting.value)
            try:
                texts.append(bundles.read(opened(name, environ)))
            except GatepassError as error:
                notices.append(f"{setting.place} names CAs, which cannot be read: {error.message}")
            except OSError as error:
                notices.append(f"{setting.place} names CAs, which cannot be read: {why(error)}: `{name}`")
    return texts, notices


def trusted(environ: Mapping[str, str]) -> list[str]:
    """The texts of the CAs that this user's tools are told to trust."""
    return authorities(read(environ), environ)[0]
