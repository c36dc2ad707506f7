"""Scripts that set a shell up for a proxy elsewhere, on a machine that has no Gatepass. Pure: values in, text out.

A shell has a part of its own, which sets variables; what writes the files is the same for all that have `sh`. No line
is a comment outside of that: an interactive zsh evaluates none.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gatepass.shell import environment, syntax

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gatepass.shell.elsewhere import ProxyUrl

_WORD: Final = re.compile(r"(?<![A-Z_$])(?:PROXY|BEFORE|AFTER|SETTINGS|SCRIPT|NAME|PEM|PUBLIC|BUNDLE|CA)(?![A-Z_])")
_BUNDLE: Final = "gatepass-bundle.pem"
_CA: Final = "ca.pem"

# The files are written whole, and are their user's alone. What the shell trusted of its own (`own.pem`) is kept beside
# the bundle, which takes its place in the variable: run again, nothing of it is lost, and nothing is there twice.
_WRITE: Final = """\
set -eu
umask 077
case "$(uname -s)" in
Darwin) base="$HOME/Library/Application Support" ;;
*) case "${XDG_CONFIG_HOME-}" in /*) base=$XDG_CONFIG_HOME ;; *) base=$HOME/.config ;; esac ;;
esac
dir=$base/gatepass/proxies/NAME
mkdir -p "$dir"
case "${SSL_CERT_FILE-}" in
"$dir/BUNDLE") ;;
'') rm -f "$dir/own.pem" ;;
*) cat -- "$SSL_CERT_FILE" > "$dir/own.pem.new"; mv -f "$dir/own.pem.new" "$dir/own.pem" ;;
esac
cd "$dir"
cat > CA.new <<'END'
PEM
END
cat > BUNDLE.new <<'END'
PUBLIC
END
for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem \\
    /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem /etc/ssl/cert.pem; do
    if test -r "$file"; then cat "$file"; echo; break; fi
done >> BUNDLE.new
if test -r own.pem; then cat own.pem; echo; fi >> BUNDLE.new
cat CA.new >> BUNDLE.new
copy() {
    case "$1" in "$dir"/*|'') from=$2 ;; *) from=$1 ;; esac
    { if test -r "$from"; then cat -- "$from"; echo; fi; printf '%s\\n' "$4"; } > "$3.new"
    mv -f "$3.new" "$3"
}
copy "${WGETRC-}" "$HOME/.wgetrc" wgetrc "ca_certificate = $dir/BUNDLE"
copy "${HOMEBREW_CURLRC-}" "$HOME/.curlrc" homebrew-curlrc "cacert = \\"$dir/BUNDLE\\""
mv -f CA.new CA
mv -f BUNDLE.new BUNDLE
printf '%s' "$dir"
"""

_POSIX: Final = """\
if _gatepass_dir=$(printf '%s' SCRIPT | sh); then
_gatepass_proxy=PROXY
for _gatepass_had in "${HTTPS_PROXY-}" "${https_proxy-}"; do
case "$_gatepass_had" in (BEFORE*AFTER|BEFORE*AFTER/) _gatepass_proxy=$_gatepass_had ;; esac
done
SETTINGS
unset _gatepass_dir _gatepass_proxy _gatepass_had
else
echo 'gatepass: nothing was set' >&2
false
fi
"""
_FISH: Final = """\
if set -l _gatepass_dir (printf '%s' SCRIPT | sh); and test -n "$_gatepass_dir"
set -l _gatepass_proxy PROXY
for _gatepass_had in $HTTPS_PROXY $https_proxy
if string match -q -- BEFORE'*'AFTER $_gatepass_had; or string match -q -- BEFORE'*'AFTER'/' $_gatepass_had
set _gatepass_proxy $_gatepass_had
end
end
SETTINGS
else
echo 'gatepass: nothing was set' >&2
false
end
"""
_POWERSHELL: Final = """\
& {
$ErrorActionPreference = 'Stop'
$base = if ($env:OS -eq 'Windows_NT') { $env:APPDATA } elseif ($IsMacOS) { "$HOME/Library/Application Support" } \
elseif ("$env:XDG_CONFIG_HOME".StartsWith('/')) { $env:XDG_CONFIG_HOME } else { "$HOME/.config" }
$dir = [IO.Path]::Combine($base, 'gatepass', 'proxies', NAME)
[void][IO.Directory]::CreateDirectory($dir)
function file($name) { [IO.Path]::Combine($dir, $name) }
$own = ''
if ($env:SSL_CERT_FILE -eq (file 'BUNDLE')) {
if (Test-Path (file 'own.pem')) { $own = [IO.File]::ReadAllText((file 'own.pem')) }
} elseif ($env:SSL_CERT_FILE) {
$own = [IO.File]::ReadAllText($env:SSL_CERT_FILE)
}
[IO.File]::WriteAllText((file 'own.pem'), $own)
[IO.File]::WriteAllText((file 'CA'), PEM)
[IO.File]::WriteAllText((file 'BUNDLE'), PUBLIC + "`n" + $own + "`n" + PEM)
[IO.File]::WriteAllText((file 'wgetrc'), "ca_certificate = $(file 'BUNDLE')`n")
[IO.File]::WriteAllText((file 'homebrew-curlrc'), "cacert = `"$(file 'BUNDLE')`"`n")
$proxy = PROXY
foreach ($had in @($env:HTTPS_PROXY, $env:https_proxy)) {
if ("$had".StartsWith(BEFORE) -and "$had".TrimEnd('/').EndsWith(AFTER)) { $proxy = $had }
}
SETTINGS
}
"""


def script(shell: str, proxy: ProxyUrl, public: str, ca: str) -> str:
    """What `shell` of NAMES evaluates; `public` are the CAs that everybody trusts, and `ca` is the proxy's, PEM.

    Where the shell's own variable names this proxy with a user and a password, it goes on doing so.
    """
    url = proxy.url()
    scheme, _, rest = url.partition("//")
    values = {"PROXY": url, "BEFORE": f"{scheme}//", "AFTER": f"@{rest}"}
    files = {"PEM": ca.strip(), "PUBLIC": public.strip(), "BUNDLE": _BUNDLE, "CA": _CA}
    template, quoted, setting = _SHELLS[shell]
    # paths here are names in the folder, which only the user's machine knows
    variables = environment.for_client("", Path(_BUNDLE), Path(_CA), {})
    filled = {name: quoted(value) for name, value in values.items()}
    filled["SETTINGS"] = "\n".join(setting(name, value) for name, value in variables.items())
    if shell == "powershell":
        filled |= {"NAME": quoted(proxy.folder), "PEM": quoted(files["PEM"]), "PUBLIC": quoted(files["PUBLIC"])}
        filled |= {"BUNDLE": _BUNDLE, "CA": _CA}
    else:
        filled["SCRIPT"] = quoted(_filled(_WRITE, {**files, "NAME": proxy.folder}))
    return _filled(template, filled)


def _filled(template: str, values: Mapping[str, str]) -> str:
    """The template with the values in the places of their names: each whole word in capitals, once."""
    return _WORD.sub(lambda word: values.get(word[0], word[0]), template)


def _posix(name: str, value: str) -> str:
    return f"export {name}={_value(name, value, '"$_gatepass_proxy"', '"$_gatepass_dir/{}"')}"


def _fish(name: str, value: str) -> str:
    return f"set -gx {name} {_value(name, value, '"$_gatepass_proxy"', '"$_gatepass_dir/{}"')}"


def _powershell(name: str, value: str) -> str:
    return f"$env:{name} = {_value(name, value, '$proxy', "file '{}'")}"


def _value(name: str, value: str, proxy: str, place: str) -> str:
    if name in environment.PROXY:
        return proxy
    return f"'{value}'" if name in environment.SWITCHES else place.format(value)


_SHELLS: Final[Mapping[str, tuple[str, Callable[[str], str], Callable[[str, str], str]]]] = {
    "bash": (_POSIX, shlex.quote, _posix),
    "zsh": (_POSIX, shlex.quote, _posix),
    "fish": (_FISH, syntax.fish_quoted, _fish),
    "powershell": (_POWERSHELL, syntax.powershell_quoted, _powershell),
}
NAMES: Final = tuple(_SHELLS)
