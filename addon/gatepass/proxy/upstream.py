"""How the addon's own calls go out: the trust and the upstream proxy that mitmproxy's options give them.

The same options rule both legs, so that the API client trusts what mitmproxy trusts, and goes where it goes.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

import certifi
import httpx2
from mitmproxy.proxy import mode_specs

from gatepass.errors import GatepassError

if TYPE_CHECKING:
    from mitmproxy.options import Options

OPTIONS: Final = frozenset(
    {"ssl_verify_upstream_trusted_ca", "ssl_verify_upstream_trusted_confdir", "mode", "upstream_auth"}
)
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
    """The upstream proxy of `--mode upstream:…`, with its `upstream_auth`; None without one."""
    for spec in options.mode:
        mode = mode_specs.ProxyMode.parse(spec)
        if isinstance(mode, mode_specs.UpstreamMode):
            host, port = mode.address
            auth = tuple(options.upstream_auth.split(":", 1)) if options.upstream_auth else None
            return httpx2.Proxy(f"{mode.scheme}://{host}:{port}", auth=auth)
    return None
