"""The variables of a shell that decide where its clients go and whom they trust: proxy, exceptions, bundle.

Looks at an environment, at the files that it names, and at the proxy that it names; changes nothing.
"""

from __future__ import annotations

import ssl
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import certifi
import httpx2

from gatepass.errors import GatepassError, why
from gatepass.explain.explanation import BlockedError, Step
from gatepass.explain.probe import Probe, is_ours, listens, reached, read_proxy, said
from gatepass.shell import environment, inherited, overruling, tools, undo
from gatepass.trust import bundles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from gatepass.forge.hosts import Host
    from gatepass.github.client import Hooks

PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
VARIABLES: Final = (*PROXIES, *inherited.NO_PROXY, *environment.TRUST, "SSL_CERT_DIR")
"""All that is looked at."""

_BUNDLE: Final = "SSL_CERT_FILE"
_BUNDLE_HINT: Final = f"let {_BUNDLE} name a PEM file of CAs, or unset it: as it is, clients trust nobody"


# --------------------------------------------------------------------- trust


def bundle(environ: Mapping[str, str]) -> Step:
    """Whether SSL_CERT_FILE can be what its clients trust."""
    name = environ.get(_BUNDLE)
    if not name:
        return Step("trust", "ok", f"the public CAs: {_BUNDLE} is not set")
    try:
        text = Path(name).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return Step("trust", "fail", f"{_BUNDLE} names `{name}`, which does not exist", _BUNDLE_HINT)
    except OSError as error:
        return Step("trust", "fail", f"{_BUNDLE} names `{name}`, which cannot be read: {why(error)}", _BUNDLE_HINT)
    certificates = bundles.combine(text)
    if not certificates:
        return Step("trust", "fail", f"{_BUNDLE} names `{name}`, which holds no certificate in PEM", _BUNDLE_HINT)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificates)
    except ssl.SSLError:
        return Step("trust", "fail", f"{_BUNDLE} names `{name}`, which holds a broken certificate", _BUNDLE_HINT)
    count = certificates.count("-----BEGIN")
    found = f"{_BUNDLE} holds {count} CA{'' if count == 1 else 's'}: {name}"
    others = [other for other in environment.TRUST if environ.get(other, name) not in ("", name)]
    if others and _proxy_variable(environ):
        hint = f"set {' and '.join(others)} as {_BUNDLE}, as `gatepass run` does"
        return Step("trust", "warn", f"{found}; but {', '.join(others)}: another file", hint)
    return Step("trust", "ok", found)


def upstream_trust(environ: Mapping[str, str]) -> ssl.SSLContext:
    """What `gatepass run` would verify the forge with; the public CAs, where the shell's cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata=bundles.shell_bundle(environ, *tools.trusted(environ)))
    except (GatepassError, ssl.SSLError):  # `bundle` says what is wrong with it
        context.load_verify_locations(certifi.where())
    return context


def client_trust(environ: Mapping[str, str]) -> ssl.SSLContext:
    """What a client of this shell trusts: SSL_CERT_FILE and SSL_CERT_DIR, else the public and the system's CAs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    file, folder = environ.get(_BUNDLE), environ.get("SSL_CERT_DIR")
    if not file and not folder:
        context.load_verify_locations(certifi.where())
        context.load_default_certs()
        return context
    try:
        if file and (certificates := bundles.combine(Path(file).read_text(encoding="utf-8", errors="replace"))):
            context.load_verify_locations(cadata=certificates)
        if folder:
            context.load_verify_locations(capath=folder)
    except (OSError, ssl.SSLError):
        pass  # without a usable file clients trust nobody, and nor does this context
    return context


# ------------------------------------------------------------------- the way out


@dataclass(frozen=True, slots=True)
class WayOut:
    """How calls go out of here: through `proxy`, but for hosts that are `direct`; and what is to be told of it."""

    proxy: httpx2.Proxy | None
    direct: Callable[[Host], bool]
    steps: tuple[Step, ...]


async def way_out(environ: Mapping[str, str], host: Host) -> WayOut:
    """The way that `gatepass run` would take.

    Not through a Gatepass, which this shell may name as its proxy: that one would answer for `host` with its own
    credential. Nor through a proxy that is not there, so that more than this is found out: `look` tells of it.
    """
    direct = inherited.exempted(environ)
    try:
        before = undo.before(environ)
        direct = inherited.exempted(before)
        upstream = inherited.upstream(before)
    except GatepassError as error:
        return WayOut(None, direct, (Step("way-out", "warn", error.message, error.hint),))
    proxy = None if upstream is None else as_proxy(upstream)
    if upstream is None or proxy is None or not await listens(proxy) or await is_ours(proxy, host):
        return WayOut(None, direct, ())
    finding = f"goes out through {upstream.url}, as ${upstream.variable} says"
    return WayOut(proxy, direct, (Step("way-out", "ok", finding),))


def as_proxy(upstream: inherited.Upstream) -> httpx2.Proxy:
    """The shell's proxy as httpx2 takes it."""
    user, _, password = (upstream.auth or "").partition(":")
    return httpx2.Proxy(upstream.url, auth=(user, password) if upstream.auth else None)


# --------------------------------------------------------------------- proxy


def _proxy_variable(environ: Mapping[str, str]) -> str | None:
    return next((name for name in PROXIES if environ.get(name)), None)


def _told_otherwise(environ: Mapping[str, str], variable: str, host: Host) -> Iterator[Step]:
    """The tools that settings of their own send to another proxy than the shell names, or to none."""
    settings = tools.read(environ)
    found = [setting for setting in settings if setting.names_proxy]
    overruled = {setting.tool for setting in found if setting.value == environ[variable]}
    for setting in found:
        if setting.tool not in overruled:
            does = f"sends {setting.tool} to a proxy of its own" if setting.value else f"lets {setting.tool} use none"
            finding = f"{setting.place} {does}, past {variable}"
            yield Step("settings", "warn", finding, "`gatepass run` and `gatepass env` overrule it, but for uv's")
    for finding in overruling.exemptions(settings, [host]):
        yield Step("settings", "warn", finding, "take it out there")


async def look(environ: Mapping[str, str], host: Host, url: str, hooks: Hooks | None = None) -> AsyncIterator[Step]:
    """Whether a client of this shell comes to a proxy that serves the URL."""
    variable = _proxy_variable(environ)
    if variable is None:
        finding = f"no HTTPS_PROXY or ALL_PROXY in this shell: its clients go straight to {host}"
        yield Step("proxy", "skip", finding, "`gatepass run -- COMMAND` sets what a client needs")
        return
    for name in inherited.NO_PROXY:
        if entry := inherited.exempting_entry(environ.get(name, ""), host):
            yield Step("no-proxy", "fail", f"{name} keeps {host} from the proxy: `{entry}`", f"take it out of {name}")
            break
    else:
        yield Step("no-proxy", "ok", f"nothing keeps {host} from the proxy")
    values = {environ[name] for name in PROXIES[:2] if environ.get(name)}
    if len(values) > 1:
        hint = "set both to the same: clients differ in which they read"
        yield Step("proxy", "warn", "HTTPS_PROXY and https_proxy differ", hint)
    try:
        proxy = read_proxy(environ[variable])
    except GatepassError as error:
        yield Step("proxy", "fail", f"{variable}: {error.message}", error.hint)
        return
    for step in _told_otherwise(environ, variable, host):
        yield step
    async with aclosing(Probe(proxy, client_trust(environ), hooks)) as probe:
        try:
            seen = await probe.ask("HEAD", url)
        except BlockedError as blocked:
            yield replace(blocked.steps[0], finding=f"{variable}: {blocked}")
            return
    for step in reached(proxy, host, seen):
        yield step
    if seen.status == 200:
        yield Step("through", "ok", "a client of this shell gets it through the proxy")
    elif seen.is_problem:
        hint = f"`gatepass explain --proxy ${variable} URL` shows the whole answer"
        yield Step("through", "fail", f"the proxy answers a client of this shell: {said(seen)}", hint)
    else:
        hint = f"see that {variable} names a Gatepass whose rules match the URL; `gatepass run` goes through any other"
        yield Step("through", "fail", f"a client of this shell gets {said(seen)}, and not from Gatepass", hint)
