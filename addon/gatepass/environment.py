"""The variables that bring a client here and let it trust the proxy.

Pure: names and values. Each client has variables of its own; the reason stands beside each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

PROXY: Final = (
    "HTTPS_PROXY",  # uv, pip, requests, httpx, cargo, go, …
    "https_proxy",  # curl and wget read the lower case, and it wins over the upper where both are read
)

TRUST: Final = (
    "SSL_CERT_FILE",  # uv, OpenSSL, Python's ssl, go
    "REQUESTS_CA_BUNDLE",  # requests
    "CURL_CA_BUNDLE",  # curl
    "PIP_CERT",  # pip, whose own bundle comes before SSL_CERT_FILE
    "GIT_SSL_CAINFO",  # git
    "NODE_EXTRA_CA_CERTS",  # node, npm
    "CARGO_HTTP_CAINFO",  # cargo
)


def for_client(proxy: str, bundle: Path) -> dict[str, str]:
    """The variables for a client of the proxy at the URL `proxy`, that trusts the CAs in `bundle`."""
    return dict.fromkeys(PROXY, proxy) | dict.fromkeys(TRUST, str(bundle))
