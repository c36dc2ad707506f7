"""The variables that bring a client here and let it trust the proxy.

Pure: names and values. Each client has variables of its own; what each is for stands beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

PROXY: Final = (
    "HTTPS_PROXY",  # uv, pip, requests, cargo, go, …
    "https_proxy",  # curl, wget and git read the lower case, which wins over the upper where both are read
    "HTTP_PROXY",  # some clients ask this one for https, too
    "http_proxy",  # curl reads this one in lower case alone
    "ALL_PROXY",  # httpx, curl
    "all_proxy",  # the same in lower case
)

NO_PROXY: Final = ("NO_PROXY", "no_proxy")

TRUST: Final = {
    "SSL_CERT_FILE": "uv, httpx, aiohttp, urllib, go, Ruby: what OpenSSL reads, and others after it",
    "REQUESTS_CA_BUNDLE": "requests, and with it Poetry and conda",
    "CURL_CA_BUNDLE": "curl",
    "PIP_CERT": "pip, whose own bundle would come before SSL_CERT_FILE",
    "GIT_SSL_CAINFO": "git",
    "CARGO_HTTP_CAINFO": "cargo",
    "AWS_CA_BUNDLE": "boto3 and the AWS command line",
    "HTTPLIB2_CA_CERTS": "httplib2",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": "gcloud",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "gRPC",
    "NIX_SSL_CERT_FILE": "nix",
    "BUNDLE_SSL_CA_CERT": "Ruby's bundler",
    "COMPOSER_CAFILE": "PHP's composer",
    "PERL_LWP_SSL_CA_FILE": "Perl's LWP, whose Mozilla::CA would come before SSL_CERT_FILE",
    "NPM_CONFIG_CAFILE": "npm, whose `cafile` replaces what node trusts",
}
"""Each replaces what its client trusts: the value is a bundle of the public CAs, the user's own, and the proxy's."""

EXTRA_TRUST: Final = {
    "NODE_EXTRA_CA_CERTS": "node, npm, yarn, pnpm",
    "DENO_CERT": "deno",
}
"""Each adds to what its client trusts: the value is the proxy's CA alone."""

SWITCHES: Final = {
    "NODE_USE_ENV_PROXY": "1",  # node's own fetch reads HTTPS_PROXY from version 24 on, when told to
}

FILES: Final = {
    "WGETRC": "wgetrc",  # wget, which reads no variable for its CAs
    "HOMEBREW_CURLRC": "homebrew-curlrc",  # Homebrew, which hands no other on to its curl
}
"""Each names a settings file beside the bundle, which `overruling` writes: the user's own, and what brings trust."""

NAMES: Final = (*PROXY, *NO_PROXY, *TRUST, *EXTRA_TRUST, *FILES, *SWITCHES)
"""All that a client is given, in the order in which it is shown."""


def for_client(
    proxy: str, bundle: Path, ca: Path, environ: Mapping[str, str], direct: Iterable[str] = ()
) -> dict[str, str]:
    """The variables for a client of the proxy at the URL `proxy`, that trusts the CAs in `bundle`, and `ca` besides.

    NO_PROXY keeps what `environ` has, and gets the hosts in `direct`, which need no proxy.
    """
    present = ",".join(environ.get(name, "") for name in NO_PROXY).split(",")
    exempt = ",".join(dict.fromkeys([*filter(None, map(str.strip, present)), *direct]))
    return {
        **dict.fromkeys(PROXY, proxy),
        **(dict.fromkeys(NO_PROXY, exempt) if exempt else {}),
        **dict.fromkeys(TRUST, str(bundle)),
        **dict.fromkeys(EXTRA_TRUST, str(ca)),
        **{name: str(bundle.with_name(file)) for name, file in FILES.items()},
        **SWITCHES,
    }
