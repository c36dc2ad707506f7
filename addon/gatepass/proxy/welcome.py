"""http://gatepass.internal/: what people behind the proxy need, told by the proxy itself, before they trust it.

Answers in plain http, without a password and without rules, and holds no secret; and keeps the name from leaving. What
comes by https is for the package indexes, and for those who are let in: it goes on.
"""

from __future__ import annotations

import html
import re
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from mitmproxy import ctx, exceptions
from mitmproxy.net.dns import response_codes

from gatepass.assets.answers import Answer
from gatepass.errors import GatepassError, printable
from gatepass.forge.hosts import OWN
from gatepass.problems import catalogue
from gatepass.proxy import facts, modes, undialled, wire
from gatepass.shell import joining, syntax
from gatepass.shell.elsewhere import ProxyUrl
from gatepass.trust import bundles

if TYPE_CHECKING:
    from mitmproxy.addonmanager import Loader
    from mitmproxy.connection import Client
    from mitmproxy.dns import DNSFlow
    from mitmproxy.http import HTTPFlow
    from mitmproxy.proxy.server_hooks import ServerConnectionHookData

    from gatepass.problems.problem import Problem
    from gatepass.proxy.authorities import Authorities
    from gatepass.proxy.record import Record
    from gatepass.trust.authority import Authority

_TEXT: Final = "text/plain; charset=utf-8"
_STYLE: Final = """
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 45rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font-family: ui-monospace, monospace; overflow-wrap: anywhere }
pre { padding: .75rem; border: 1px solid; border-radius: .3rem; white-space: pre-wrap }
"""
_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Gatepass</title>
<style>{style}</style>
<h1>This is a Gatepass proxy</h1>
<p>It lets any tool download private release assets of GitHub by their ordinary URL, and sets headers where its rules
say so. To do that it decrypts connections to the hosts that its rules name, and to no others: all else is tunnelled,
untouched. Clients of those hosts have to trust its CA.</p>
<p>The proxy: <code>{proxy}</code></p>
<h2>Its CA</h2>
{authorities}
<p><a href="/ca.pem">ca.pem</a></p>
<p>This page came unencrypted: before you trust the fingerprint, compare it with what whoever runs the proxy tells
you.</p>
<h2>Set up a shell</h2>
<p>With Gatepass installed, which asks before it trusts the CA; your user goes before the host, as
<code>USER@</code>:</p>
<pre>eval "$(gatepass env --proxy {proxy})"</pre>
<p>Without it, in bash or zsh, and in fish; where <code>HTTPS_PROXY</code> names this proxy already, with your user
and password, it stays so:</p>
<pre>eval "$(curl -fsS -x {proxy} 'http://{host}/env?shell=bash')"</pre>
<pre>curl -fsS -x {proxy} 'http://{host}/env?shell=fish' | source</pre>
<p>The scripts: {scripts}</p>
</html>
"""


_ONE: Final = """\
<p>SHA-256 <code>{fingerprint}</code><br>
{name}, until {end:%Y-%m-%d}; it may vouch for {permitted}.</p>
"""
_BESIDE: Final = "<p>Beside it, so that one can take the other's place without a gap, this one is to be trusted:</p>\n"


class Welcome:
    """An addon that answers to the proxy's own name. It comes before those that ask who a client is, or decide."""

    def __init__(self, record: Record, authorities: Authorities) -> None:
        self._record = record
        self._authorities = authorities

    def load(self, loader: Loader) -> None:
        loader.add_option(
            "gatepass_public_url",
            str,
            "",
            "How clients name this proxy, on http://gatepass.internal/; else by the address that they reached.",
        )

    def configure(self, updated: set[str]) -> None:
        if "gatepass_public_url" in updated and ctx.options.gatepass_public_url:
            try:
                ProxyUrl.parse(ctx.options.gatepass_public_url, "gatepass_public_url")
            except GatepassError as error:
                raise exceptions.OptionsError(str(error)) from None

    def client_connected(self, client: Client) -> None:
        undialled.mind(client)

    def http_connect(self, flow: HTTPFlow) -> None:
        """The package indexes are to be had so, and nothing else, by whom the CA can show that it is this proxy."""
        if not facts.is_own_name(flow.request.host):
            return
        if not facts.is_index((flow.request.host, flow.request.port)):
            self._refuse(flow, catalogue.OWN_NAME(name=f"{flow.request.host}:{flow.request.port}"))
        elif flow.response is None and not (ca := self._authorities.in_use).vouches_for_indexes:
            self._refuse(flow, catalogue.NOT_VOUCHED_FOR(name=OWN.name, names=ca.permitted or ()))

    def requestheaders(self, flow: HTTPFlow) -> None:
        request = flow.request
        # where addresses alone are known, the client's word is good enough for a page that anybody may see
        is_transparent = isinstance(flow.client_conn.proxy_mode, modes.TRANSPARENT)
        said = re.sub(r":\d*$", "", request.host_header or "") if is_transparent else ""
        if flow.is_replay or not (facts.is_own_name(request.host) or facts.is_own_name(said)):
            return
        if facts.is_for_index(flow):  # which is for those alone who are let in
            return
        # what mitmproxy's own answer may have been, such as 407, is not for this name
        request.headers.pop("Proxy-Authorization", None)
        if request.scheme == "http":
            flow.response = wire.written(self._answer(flow))
        else:
            self._refuse(flow, catalogue.OWN_NAME(name=f"{request.host}:{request.port}"))

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """The last word, for those who ask in another way (SOCKS)."""
        if data.server.address and facts.is_own_name(data.server.address[0]):
            data.server.error = "that is the proxy's own name"

    def dns_request(self, flow: DNSFlow) -> None:
        if any(facts.is_own_name(question.name) for question in flow.request.questions):
            flow.response = flow.request.fail(response_codes.NXDOMAIN)

    def _refuse(self, flow: HTTPFlow, problem: Problem) -> None:
        self._record.refused(flow, problem)
        flow.response = wire.refusal(flow, problem)

    def _answer(self, flow: HTTPFlow) -> Answer:
        if flow.request.method not in ("GET", "HEAD"):
            return _written(405, _TEXT, "only GET and HEAD are answered here\n", {"Allow": "GET, HEAD"})
        answer = self._page(flow)
        if flow.request.method == "HEAD":
            return Answer(answer.status, answer.headers)
        return answer

    def _page(self, flow: HTTPFlow) -> Answer:
        path, _, query = flow.request.path.partition("?")
        proxy = _proxy(flow)
        if path == "/":
            return _written(200, "text/html; charset=utf-8", _home(proxy, self._authorities.trusted()))
        if path == "/ca.pem":
            name = {"Content-Disposition": 'attachment; filename="gatepass-ca.pem"'}
            return _written(200, "application/x-pem-file", self._authorities.pem(), name)
        if path == "/env":
            asked = parse_qs(query, max_num_fields=8).get("shell", ["bash"])[-1] if query.count("&") < 8 else ""
            shell = "bash" if asked == "sh" else syntax.canonical(asked)
            if shell in joining.NAMES:
                return _written(200, _TEXT, joining.script(shell, proxy, _public(), self._authorities.pem()))
            names = ", ".join(joining.NAMES)
            return _written(400, _TEXT, f"shell: expected one of {names}, got {printable(asked[:40])}\n")
        if "/simple" in path:  # 404 would have uv go on to another index
            return _written(403, _TEXT, f"package indexes are at https://{OWN}/, with https\n")
        return _written(404, _TEXT, "there are /, /ca.pem and /env?shell=bash\n")


def _home(proxy: ProxyUrl, trusted: list[Authority]) -> str:
    shells = (f'<a href="/env?shell={name}">{name}</a>' for name in joining.NAMES)
    return _PAGE.format(
        style=_STYLE,
        proxy=html.escape(str(proxy)),
        host=OWN,
        authorities=_BESIDE.join(map(_one, trusted)),
        scripts=", ".join(shells),
    )


def _one(ca: Authority) -> str:
    return _ONE.format(
        fingerprint=ca.fingerprint,
        name=html.escape(ca.name),
        end=ca.certificate.not_valid_after_utc,
        permitted=html.escape("any host" if ca.permitted is None else ", ".join(ca.permitted)),
    )


def _proxy(flow: HTTPFlow) -> ProxyUrl:
    """How the client names this proxy: as its owner says, else by the address that it has reached."""
    if ctx.options.gatepass_public_url:
        return ProxyUrl.parse(ctx.options.gatepass_public_url, "gatepass_public_url")
    client = flow.client_conn
    host, port = client.sockname[:2]
    return ProxyUrl("https" if client.tls else "http", host.partition("%")[0].removeprefix("::ffff:"), port)


@lru_cache(1)
def _public() -> str:
    """Read once: they are some 150 certificates."""
    return bundles.public_bundle()


def _written(status: int, content_type: str, text: str, headers: dict[str, str] | None = None) -> Answer:
    content = text.encode()
    style = b64encode(sha256(_STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Answer(
        status,
        {
            "Content-Type": content_type,
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": policy,
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            **(headers or {}),
        },
        content,
    )
