"""What has tools go through our proxy, and trust it, that are told otherwise by settings of their own.

Pure, but for writing the copies of settings files that some tools need. A tool that lets nothing come before its
settings is told of.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from gatepass import files
from gatepass.shell import environment, inherited, tools

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from gatepass.forge.hosts import Host
    from gatepass.shell.tools import Setting

_STUBBORN: Final = "uv"
"""Its settings come before all of its variables, and it takes no proxy as an option."""


def for_client(proxy: str, bundle: Path, environ: Mapping[str, str], found: Sequence[Setting]) -> dict[str, str]:
    """The variables that overrule what is `found`; and writes, beside the bundle, the files that variables name.

    Raises:
        OSError: they cannot be written.
    """
    proxies = [setting for setting in found if setting.names_proxy]
    overruled = {setting.tool for setting in proxies}
    curlrc = tools.curlrc(environ)
    for_wget = _wget_lines(bundle, proxy if "wget" in overruled else None)
    for_curl = _curl_lines(bundle, proxy if "curl" in overruled else None)
    _copy(bundle.with_name(environment.FILES["WGETRC"]), tools.wgetrc(environ), for_wget)
    _copy(bundle.with_name(environment.FILES["HOMEBREW_CURLRC"]), tools.homebrew_curlrc(environ) or curlrc, for_curl)

    variables = _git_variables(proxies, environ, proxy)
    if any(setting.tool == "curl" for setting in found):  # its settings come before its variables
        variables["CURL_HOME"] = str(_copy(bundle.with_name(".curlrc"), curlrc, for_curl).parent)
    if "pip" in overruled:
        variables["PIP_PROXY"] = proxy
    if "cargo" in overruled:
        variables["CARGO_HTTP_PROXY"] = proxy
    if "npm" in overruled:
        # npm knows no case, and takes the last: those that are there have to say the same
        names = (setting.key for setting in proxies if setting.tool == "npm" and setting.place.startswith("$"))
        variables |= dict.fromkeys(("npm_config_https_proxy", *names), proxy)
    return variables


def notices(found: Iterable[Setting], *, has_upstream: bool) -> list[str]:
    """What people should know of proxies that tools are told: which one stays, and which one Gatepass does not use."""
    texts = []
    for setting in found:
        if setting.names_proxy and setting.tool == _STUBBORN:
            texts.append(
                f"{setting.place} sends {setting.tool} to a proxy, past this one, and nothing overrules it; "
                "hint: take it out, and let HTTPS_PROXY name that proxy"
            )
        elif setting.names_proxy and setting.value and not has_upstream:
            texts.append(
                f"{setting.place} sends {setting.tool} to a proxy: overruled, and Gatepass itself goes out without it; "
                "hint: let HTTPS_PROXY name that proxy, if it is the way out"
            )
    return texts


def exemptions(found: Iterable[Setting], hosts: Iterable[Host]) -> list[str]:
    """What people should know of hosts that tools are told to ask without a proxy: it is left as it is."""
    hosts = list(hosts)
    return [
        f"{setting.place} has `{entry}`: what {setting.tool} asks of {host} will not come here"
        for setting in found
        if setting.exempts
        for host in hosts
        if (entry := inherited.exempting_entry(setting.value, host))
    ]


def _git_variables(proxies: Iterable[Setting], environ: Mapping[str, str], proxy: str) -> dict[str, str]:
    """For each key of git's that names a proxy the same key once more, after those that the environment has."""
    keys = dict.fromkeys(setting.key for setting in proxies if setting.tool == "git")
    first = tools.git_count(environ)
    variables = {"GIT_CONFIG_COUNT": str(first + len(keys))} if keys else {}
    for number, key in enumerate(keys, first):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": proxy}
    return variables


def _wget_lines(bundle: Path, proxy: str | None) -> list[str]:
    lines = [f"ca_certificate = {bundle}"]
    if proxy is not None:
        lines += [f"https_proxy = {proxy}", f"http_proxy = {proxy}", "use_proxy = on"]
        # there these come before those in the URL (wget, `src/http.c`)
        lines += [f"proxy_{name} = {value}" for name, value in zip(("user", "password"), _login(proxy), strict=False)]
    return lines


def _curl_lines(bundle: Path, proxy: str | None) -> list[str]:
    lines = {"cacert": str(bundle)}
    if proxy is not None:
        lines |= {"preproxy": "", "proxy": proxy}
        if login := _login(proxy):
            lines["proxy-user"] = ":".join(login)
    escaped = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in lines.items()}
    return [f'{name} = "{value}"' for name, value in escaped.items()]


def _login(proxy: str) -> tuple[str, ...]:
    parts = urlsplit(proxy)
    return () if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))


def _copy(target: Path, source: Path | None, lines: list[str]) -> Path:
    """The user's settings, byte for byte whatever their encoding is, and these lines after them."""
    content = b""
    if source is not None and source.is_file():
        with contextlib.suppress(OSError):
            content = source.read_bytes()
    # the user's may hold passwords, and ours does
    return files.write(target, content + os.fsencode("\n" + "".join(f"{line}\n" for line in lines)), 0o600)
