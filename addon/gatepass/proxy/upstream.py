"""How the addon's own calls go out: the trust and the upstream proxy that mitmproxy's options give them.

The same options rule both legs, so that the API client trusts what mitmproxy trusts, and goes where it goes.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Final

import certifi
from mitmproxy.proxy import mode_specs

from gatepass.errors import GatepassError
from gatepass.proxy import modes
from gatepass.shell import inherited

if TYPE_CHECKING:
    import httpx2
    from mitmproxy.net.server_spec import ServerSpec
    from mitmproxy.options import Options
    from mitmproxy.proxy.mode_specs import ProxyMode

    from gatepass.forge.hosts import Host
else:
    from gatepass.github import httpx as httpx2

OPTIONS: Final = frozenset({
    "ssl_verify_upstream_trusted_ca", "ssl_verify_upstream_trusted_confdir", "mode", "upstream_auth",
    "gatepass_upstream",
})  # fmt: skip
"""The options that `trust` and `proxy` read."""


def trust(options: Options) -> ssl.SSLContext:
    """What verifies API and asset hosts: the user's CAs, else certifi's roots, exactly as mitmproxy's own upstream TLS.

    Raises:
        GatepassError: the CAs cannot be read.
    """
    cafile = options.ssl_verify_upstream_trusted_ca
    capath = options.ssl_verify_upstream_trusted_confdir
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile if cafile or capath else certifi.where(), capath)
    except (OSError, ssl.SSLError) as error:
        raise GatepassError(
            f"ssl_verify_upstream_trusted_ca: expected a PEM file of CAs, got `{cafile or capath}`: {error}",
            "name an existing file, or leave the option out to trust the public CAs",
        ) from None
    return context


def trust_name(options: Options) -> str:
    """What `trust` trusts, for people."""
    named = options.ssl_verify_upstream_trusted_ca or options.ssl_verify_upstream_trusted_confdir
    return f"the CAs in `{named}`" if named else "the public CAs (certifi's)"


def proxy(options: Options) -> httpx2.Proxy | None:
    """The upstream proxy of `--mode upstream:…`, or of `gatepass_upstream`, with its `upstream_auth`; None without one.

    Raises:
        GatepassError: it is not written as one.
    """
    found = way(options)
    if found is None:
        return None
    scheme, (host, port) = found
    auth = tuple(options.upstream_auth.split(":", 1)) if options.upstream_auth else None
    return httpx2.Proxy(f"{scheme}://{host}:{port}", auth=auth)


def way(options: Options) -> ServerSpec | None:
    """The same, as mitmproxy has it."""
    specs = list(options.mode)
    if "gatepass_upstream" in options and options.gatepass_upstream:
        specs.append(f"upstream:{options.gatepass_upstream}")
    try:
        parsed = [mode_specs.ProxyMode.parse(spec) for spec in specs]
    except ValueError as error:
        raise GatepassError(
            f"gatepass_upstream: expected the URL of a proxy, got another: {error}", "such as http://proxy.test:3128"
        ) from None
    return next(((mode.scheme, mode.address) for mode in parsed if isinstance(mode, mode_specs.UpstreamMode)), None)


def for_index(options: Options, mode: ProxyMode, host: Host) -> ServerSpec | None:
    """The proxy by which an index that is a web server of its own has its files; None where it needs none."""
    if not modes.is_index(mode) or inherited.exempting(os.environ, host) is not None:
        return None
    return way(options)
