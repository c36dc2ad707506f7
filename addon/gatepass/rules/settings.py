"""Environment variables that are settings of tools, by their names: what is no secret, and would be missed.

Pure. A variable that rules read a secret from is kept from the command of `gatepass run`: taken from it, one of these
would have it go elsewhere, trust others, or run something else.
"""

from __future__ import annotations

import re
from typing import Final

# Tools have credentials among their settings, such as UV_INDEX_ACME_PASSWORD and NODE_AUTH_TOKEN.
_SECRET: Final = re.compile(r"TOKEN|PASSWORD|PASSWD|(?:SECRET|AUTH|AUTH_IDENT|API_?KEY|_PAT)$", re.IGNORECASE)

_KINDS: Final = {
    "says which way requests go": r"(?:.*_|NO|ALL|HTTPS?|FTP)PROXY",
    "says whom programs trust": (
        r"SSLKEYLOGFILE|(?:OPEN)?SSL_.*|(?:.*_)?(?:CAINFO|CAFILE|CAPATH|CA_(?:CERT|BUNDLE|FILE|PATH|DIR).*"
        r"|CERT_(?:FILE|DIR|PATH).*|SSL_ROOTS.*)"
    ),
    "says where packages come from, and how they are judged": (
        r"(?:PIP|PIPX|UV|NPM_CONFIG|YARN|PNPM|BUN|CARGO|RUSTUP|PDM|CONDA|MAMBA|GEM|COMPOSER|HOMEBREW|NIX"
        r"|BUNDLE_(?:MIRROR|SSL)|POETRY(?!_PYPI_TOKEN|_HTTP_BASIC))_.*|.*_(?:INDEX|INDEX_URL|REGISTRY)"
        r"|GO(?:PROXY|SUMDB|NOSUMDB|NOPROXY|INSECURE|PRIVATE|FLAGS|PATH|ROOT|ENV)"
    ),
    "says what programs run, and how": (
        r"PATH|PATHEXT|CDPATH|HOME|SHELL|ENV|BASH_ENV|BASH_FUNC_.*|IFS|PWD|OLDPWD|USER|LOGNAME|USERNAME|TERM|LANG|LC_.*"
        r"|USERPROFILE|APPDATA|LOCALAPPDATA|HOMEDRIVE|HOMEPATH|SYSTEMROOT|WINDIR|COMSPEC|TMPDIR|TEMP|TMP|XDG_.*"
        r"|LD_.*|DYLD_.*|GLIBC_TUNABLES|GCONV_PATH|PYTHON.*|VIRTUAL_ENV|PERL5?LIB|PERL5OPT|PERL5DB|RUBYLIB|RUBYOPT"
        r"|CLASSPATH|EDITOR|VISUAL|PAGER|BROWSER|SSH_ASKPASS|SSH_AUTH_SOCK|WGETRC|GNUPGHOME|DOCKER_HOST|KUBECONFIG"
        r"|(?:GIT|NODE|DENO|CURL|PERL|GATEPASS)_.*|.*_(?:OPTS|OPTIONS|FLAGS|HOME)"
    ),
}
_NAMES: Final = {reason: re.compile(names, re.ASCII | re.IGNORECASE) for reason, names in _KINDS.items()}


def setting(name: str) -> str | None:
    """What a variable of that name says to tools; None of one that may hold a secret."""
    if _SECRET.search(name):
        return None
    return next((reason for reason, names in _NAMES.items() if names.fullmatch(name)), None)
