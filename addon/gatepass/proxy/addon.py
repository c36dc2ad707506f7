"""The addon: mitmproxy's events in, decisions out, what was decided done to the flow.

Decides nothing about a request itself, and does no I/O of its own.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import secrets
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakKeyDictionary

from mitmproxy import ctx, exceptions
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.layers import TCPLayer

from gatepass.assets import answers, delivery
from gatepass.assets.delivery import Answer, Rewrite, Serve
from gatepass.assets.resolver import Resolver
from gatepass.cache import Cache
from gatepass.credentials.store import Credentials
from gatepass.decision import Inject, Pass, Refuse, Request, Resolve, decide
from gatepass.errors import GatepassError
from gatepass.forge.hosts import Host
from gatepass.github import refusals
from gatepass.github.client import API_VERSION, OCTET_STREAM, TOTAL_SECONDS, GitHub, signed_url, silence_libraries
from gatepass.github.statistics import Statistics
from gatepass.problems import catalogue
from gatepass.problems.problem import Problem, Unresolvable
from gatepass.proxy import detour, modes, upstream
from gatepass.rules import locate
from gatepass.rules.model import ResolveRelease
from gatepass.secret import Audience
from gatepass.shell import inherited

if TYPE_CHECKING:
    from mitmproxy.addonmanager import Loader
    from mitmproxy.connection import Client
    from mitmproxy.http import HTTPFlow, Response
    from mitmproxy.proxy.layer import NextLayer
    from mitmproxy.tls import ClientHelloData, TlsData

    from gatepass.assets.resolver import Source
    from gatepass.decision import Decision
    from gatepass.forge.urls import AssetRef
    from gatepass.proxy.detour import Errand
    from gatepass.rules.model import Rules
    from gatepass.rules.values import Template
    from gatepass.secret import Secret

logger: Final = logging.getLogger("gatepass")

# How the flow list shows what was done (mitmproxy's names of emoji).
_DONE: Final = ":white_check_mark:"
_REFUSED: Final = ":x:"

# What the user did not set is set here, and said once: no connection to a web host that is not going to be asked.
_DEFAULTS: Final = {"connection_strategy": "lazy"}


class _Asking(NamedTuple):
    """What asks the network, and remembers what it learnt."""

    github: GitHub
    credentials: Credentials
    resolver: Resolver


class Gatepass:
    """The addon."""

    name = "gatepass"

    def __init__(self) -> None:
        self.statistics = Statistics()
        self._rules: Rules | None = None
        self._asking: _Asking | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._errands: WeakKeyDictionary[HTTPFlow, Errand] = WeakKeyDictionary()
        self._noticed: Cache[str, bool] = Cache(100, time.monotonic)
        self._running = False
        # so that the fingerprint of a secret is worth nothing outside this process
        self._salt = secrets.token_bytes(32)

    # ------------------------------------------------------------------ life

    def load(self, loader: Loader) -> None:
        loader.add_option(
            "gatepass_rules",
            str,
            "",
            "The rules file; else $GATEPASS_RULES, ./rules.yaml, the user's config folder, and the built-in rules.",
        )
        silence_libraries()

    def configure(self, updated: set[str]) -> None:
        try:
            if "gatepass_rules" in updated:
                self._rules = locate.load(ctx.options.gatepass_rules or None, os.environ, Path.cwd())
                self._forget()
            if updated & upstream.OPTIONS:
                upstream.trust(ctx.options)  # says now what is wrong with them, not at the first request
                self._forget()
        except GatepassError as error:
            if self._running:
                raise exceptions.OptionsError(str(error)) from None
            # an error in the log ends mitmproxy's start as an exception does, but without a traceback
            logger.error("gatepass: %s", error)  # noqa: TRY400

    def running(self) -> None:
        self._running = True
        if self._rules is None:
            return
        defaults = {name: value for name, value in _DEFAULTS.items() if not ctx.options.has_changed(name)}
        ctx.options.update(**defaults)
        logger.info("gatepass: %s", _summary(self._rules, defaults))
        if not ctx.options.proxyauth and not _is_loopback(ctx.options.listen_host):
            logger.warning(
                "gatepass: listens on %s without `proxyauth`: whoever reaches the port uses the credentials; "
                "hint: `--listen-host 127.0.0.1`",
                ctx.options.listen_host or "every interface",
            )
        for spec in ctx.options.mode:
            for limit in modes.limits(mode_specs.ProxyMode.parse(spec), self._rules):
                logger.warning("gatepass: %s", limit)
        if ctx.options.ssl_insecure:
            logger.warning("gatepass: no credential is sent while `ssl_insecure` is set")

    def done(self) -> None:
        self._forget()

    def _forget(self) -> None:
        """Let go of what was learnt and of the connections that it was learnt over."""
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.credentials.close()
            task = asyncio.get_running_loop().create_task(asking.github.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _ask(self) -> _Asking:
        """What asks and remembers; made when it is first needed, for the options of then.

        No property: mitmproxy reads every attribute of an addon when it looks for commands.
        """
        assert self._rules is not None
        if self._asking is None:
            options = ctx.options
            github = GitHub(
                upstream.trust(options),
                upstream.proxy(options),
                upstream.trust_name(options),
                # as any client of the upstream proxy would, the addon's own calls heed NO_PROXY
                lambda host: inherited.exempting(os.environ, host) is not None,
                self.statistics,
            )
            credentials = Credentials(os.environ, github, notice=self._notice, seen=self._log_secret)
            self._asking = _Asking(github, credentials, Resolver(credentials, github, self._rules))
        return self._asking

    # ----------------------------------------------------------- connections

    def next_layer(self, nextlayer: NextLayer) -> None:
        """Tunnel what no rule names, whatever it speaks, where the client has told the host: before TLS is looked at.

        The bytes then pass through one layer. `tls_clienthello` is for the modes in which its SNI tells the host.
        """
        context = nextlayer.context
        address = context.server.address
        if address is None or not isinstance(context.client.proxy_mode, modes.EXPLICIT):
            return
        if not self._is_ours(context.client, address):
            nextlayer.layer = TCPLayer(context, ignore=True)

    def tls_clienthello(self, data: ClientHelloData) -> None:
        """Decrypt what a rule names; tunnel everything else."""
        client, address = data.context.client, data.context.server.address
        data.ignore_connection = (
            address is None or _is_fronted(client, address[0]) or not self._is_ours(client, address)
        )

    def _is_ours(self, client: Client, address: tuple[str, int]) -> bool:
        """Whether a rule names the server that the connection goes to."""
        return self._rules is not None and self._rules.names(_destination(client, address))

    def tls_start_client(self, data: TlsData) -> None:
        """Speak HTTP/1.1 with the client.

        mitmproxy moves four times as many bytes over an intercepted HTTP/1.1 connection, clients show the reason
        phrases of HTTP/1.1 alone (FACTS.md), and sealed headers are made for it.
        """
        if data.conn.alpn_offers:
            data.conn.alpn = b"http/1.1"

    def tls_start_server(self, data: TlsData) -> None:
        """Speak HTTP/1.1 upstream for the same reasons."""
        data.conn.alpn_offers = [b"http/1.1"]

    def client_disconnected(self, client: Client) -> None:
        """Close what mitmproxy leaves open: a connection that is ended while its client goes on sending.

        Its handler is cancelled where it does not expect that (`ConnectionHandler.handle_connection`, 12.3): the client
        would wait for ever, and the socket stay.
        """
        server = ctx.master.addons.get("proxyserver")
        for handler in server.connections.values() if isinstance(server, Proxyserver) else ():
            left = handler.transports.get(client) if handler.client is client else None
            if left is not None and left.writer is not None:
                left.writer.close()

    # -------------------------------------------------------------- requests

    async def requestheaders(self, flow: HTTPFlow) -> None:
        if self._rules is None or flow.response or flow.error:
            return
        host = _destination(flow.client_conn, (flow.request.host, flow.request.port))
        request = Request(
            flow.request.scheme,
            host,
            flow.request.method,
            flow.request.path,
            not ctx.options.ssl_insecure,
            flow.request.headers,
        )
        settled = False
        try:
            flow.response = await self._settle(flow, decide(request, self._rules))
            settled = True
        except Unresolvable as unresolvable:
            flow.response = self._refusal(flow, unresolvable.problem)
            settled = True
        except GatepassError as error:  # a file of CAs that has gone since the start
            flow.response = self._refusal(flow, catalogue.MISCONFIGURED(message=error.message, hint=error.hint))
            settled = True
        finally:
            if not settled:  # what nobody foresaw is logged by mitmproxy, which then would go on with the flow
                flow.response = answers.refusal(catalogue.INTERNAL(), flow.request.method)
            if flow.response is not None and not detour.is_short(flow.request):
                flow.kill()  # mitmproxy would hold all of the body before it looks at the answer

    async def _settle(self, flow: HTTPFlow, decision: Decision) -> Response | None:
        """Do to the flow what was decided; the response, where it is known already."""
        match decision:
            case Pass(ref):
                self._errands[flow] = detour.pass_on(flow, partial(self._uncovered, ref) if ref else None)
                return None
            case Refuse(problem):
                return self._refusal(flow, problem)
            case Inject():
                self._errands[flow] = await self._inject(flow, decision)
                return None
            case Resolve() if detour.has_body(flow.request):
                return self._refusal(flow, catalogue.UNEXPECTED_BODY())
            case Resolve():
                try:
                    async with asyncio.timeout(TOTAL_SECONDS):
                        return await self._resolve(flow, decision)
                except TimeoutError:
                    problem = catalogue.TIMED_OUT(host=decision.forge.api_host, seconds=TOTAL_SECONDS)
                except Unresolvable as unresolvable:
                    problem = unresolvable.problem
                except GatepassError as error:  # a file of CAs that has gone since the start
                    problem = catalogue.MISCONFIGURED(message=error.message, hint=error.hint)
                ref = decision.ref
                return self._refusal(
                    flow,
                    problem.about(owner=ref.repository.owner, repo=ref.repository.name, tag=ref.tag, asset=ref.name),
                )

    def _uncovered(self, ref: AssetRef, response: Response) -> Response:
        """A 404 for an asset that no rule covers is explained: GitHub says it for what is private, too."""
        if response.status_code != 404:
            return detour.streamed(response)
        assert self._rules is not None
        patterns = [str(rule.match) for rule in self._rules.rules if isinstance(rule.action, ResolveRelease)]
        raise Unresolvable(
            catalogue.NOT_IN_RULES(ref=ref, names=patterns).about(
                owner=ref.repository.owner, repo=ref.repository.name, tag=ref.tag, asset=ref.name
            )
        )

    async def _inject(self, flow: HTTPFlow, decision: Inject) -> Errand:
        """Set the headers; a secret that the server refuses is asked for anew the next time."""
        host, secret = decision.rule.match.host, None
        credentials = self._ask().credentials
        if decision.credential is not None:
            secret = await credentials.secret(decision.credential, Audience(host, decision.forge))
        flow.comment = f"gatepass: {decision.rule.name}"
        flow.marked = _DONE

        def finish(response: Response) -> Response:
            if response.status_code == 401 and secret is not None:
                credentials.reject(secret)
            for name in decision.dropped:
                response.headers.pop(name, None)
            return detour.streamed(response)

        sealed = {name: partial(_rendered, template, secret) for name, template in decision.headers}
        return detour.seal(flow, host, sealed, finish)

    async def _resolve(self, flow: HTTPFlow, decision: Resolve) -> Response | None:
        resolver = self._ask().resolver
        source = await resolver.resolve(decision)
        if source is None:
            self._errands[flow] = detour.pass_on(flow)
            return None
        asset = f"asset {source.asset.id}" if source.asset else "public asset"
        by = f", with `{source.credential}`" if source.credential and len(decision.credentials) > 1 else ""
        flow.comment = f"gatepass: {decision.rule.name}: {asset}{', known' if source.reused else ''}{by}"
        flow.marked = _DONE
        self.statistics.served += flow.request.method == "GET"
        logger.debug("gatepass: %s %s: %s%s", flow.request.method, _shown(flow), asset, by)
        for notice in source.notices:
            self._notice(notice)
        match await delivery.plan(resolver, source, flow.request.method, flow.request.headers):
            case Answer(response):
                return response
            case Serve(source):
                self._errands[flow] = _serve(flow, resolver, source)
            case Rewrite(source):
                self._errands[flow] = _rewrite(flow, resolver, source)
        return None

    def _log_secret(self, name: str, secret: Secret) -> None:
        """Which secret a credential has now: by a keyed hash, so that a rotation can be followed in the log."""
        shown = f"{secret.kind}, fingerprint {secret.fingerprint(self._salt)}"
        logger.info("gatepass: credential `%s` from %s: %s", name, secret.source, shown)

    def _notice(self, text: str) -> None:
        """Say it once an hour: it is true for every request."""
        if self._noticed.get(text) is None:
            self._noticed.put(text, True, 3600)
            logger.warning("gatepass: %s", text)

    def _refusal(self, flow: HTTPFlow, problem: Problem) -> Response:
        flow.comment = f"gatepass: {problem}"
        flow.marked = _REFUSED
        self.statistics.refused += flow.request.method == "GET"
        logger.warning("gatepass: %s %s: %s", flow.request.method, _shown(flow), problem)
        return answers.refusal(problem, flow.request.method)

    # ------------------------------------------------------------- responses

    def responseheaders(self, flow: HTTPFlow) -> None:
        errand = self._errands.get(flow)
        if errand is None or flow.response is None:
            return
        upstream, response = flow.response, None
        errand.restore(flow)
        try:
            response = errand.finish(upstream)
        except Unresolvable as unresolvable:
            response = self._refusal(flow, unresolvable.problem)
        finally:
            if response is None:  # as in `requestheaders`
                response = answers.refusal(catalogue.INTERNAL(), flow.request.method)
            if response is upstream or response.stream:
                flow.response = response
            else:
                errand.replace(flow, response)

    def request(self, flow: HTTPFlow) -> None:
        """A body that came though none was announced goes nowhere: see `detour.send`."""
        errand = self._errands.get(flow)
        if errand is None or errand.original is None or not flow.request.raw_content:
            return
        if not detour.has_body(errand.original):
            # there will be no answer of an upstream for the errand to look at
            self._errands.pop(flow).restore(flow)
            flow.response = self._refusal(flow, catalogue.UNEXPECTED_BODY())

    def response(self, flow: HTTPFlow) -> None:
        errand = self._errands.pop(flow, None)
        if errand is not None and errand.body is not None and flow.response is not None:
            # for the record, and for an upstream answer that had no body to replace
            flow.response.content = errand.body

    def websocket_message(self, flow: HTTPFlow) -> None:
        """Forget what has gone through a WebSocket: mitmproxy would hold all of it until its end."""
        assert flow.websocket is not None
        del flow.websocket.messages[:-1]  # the last is what other addons look at

    def error(self, flow: HTTPFlow) -> None:
        errand = self._errands.pop(flow, None)
        if errand is None:
            return
        errand.restore(flow)
        if flow.error is not None and flow.error.msg != flow.error.KILLED_MESSAGE:
            # mitmproxy answers for it, with a page of its own
            logger.warning("gatepass: %s %s: %s", flow.request.method, _shown(flow), flow.error.msg)


def _serve(flow: HTTPFlow, resolver: Resolver, source: Source) -> Errand:
    """Send the flow to the asset host, without a credential."""
    signed, url = source.signed, _url(flow)
    assert signed is not None

    def finish(response: Response) -> Response:
        if response.status_code in (401, 403) and source.reused:
            resolver.forget(source)
            return answers.again(url)
        return answers.from_asset_host(response, signed.host)

    return detour.send(flow, signed.host, signed.target, finish)


def _rewrite(flow: HTTPFlow, resolver: Resolver, source: Source) -> Errand:
    """Send the flow to the asset endpoint of the API, with the credential."""
    secret, forge, url = source.secret, source.forge, _url(flow)
    assert secret is not None

    def finish(response: Response) -> Response:
        if response.status_code in answers.ASSET_STATUS:
            return answers.from_asset_host(response, forge.api_host)
        resolver.forget(source)
        if (response.status_code == 404 and source.reused) or (response.status_code == 401 and resolver.reject(source)):
            return answers.again(url)
        location = response.headers.get("location")
        if location is None or not 300 <= response.status_code < 400:
            raise Unresolvable(refusals.refusal(forge, secret, response.status_code, response.headers, b""))
        signed = signed_url(location, source.api_url, forge)
        if signed is None:
            raise Unresolvable(
                catalogue.MALFORMED_ANSWER(host=forge.api_host, what="a redirect that leads to no asset host")
            )
        resolver.learn(source, signed)
        return answers.redirect(signed)

    return detour.send(
        flow,
        forge.api_host,
        source.api_url.removeprefix(f"https://{forge.api_host}"),
        finish,
        {"Accept": OCTET_STREAM, "X-GitHub-Api-Version": API_VERSION},
        {"Authorization": lambda: f"Bearer {secret.reveal()}"},
    )


def _url(flow: HTTPFlow) -> str:
    """The request's URL by its server's name, where mitmproxy may know an address alone."""
    host = _destination(flow.client_conn, (flow.request.host, flow.request.port))
    authority = str(host) if flow.request.scheme == "https" else f"{host.name}:{host.port}"
    return f"{flow.request.scheme}://{authority}{flow.request.path}"


def _shown(flow: HTTPFlow) -> str:
    """The same without its query, for the log."""
    return _url(flow).partition("?")[0]


def _rendered(template: Template, secret: Secret | None) -> str:
    return template.render("" if secret is None else secret.reveal())


def _destination(client: Client, address: tuple[str, int]) -> Host:
    """The server that a connection really goes to: the CONNECT authority, or the SNI that upstream TLS verifies."""
    name, port = address
    if isinstance(client.proxy_mode, modes.TRANSPARENT):
        name = client.sni or ""
    return Host(name.lower(), port)


def _is_fronted(client: Client, name: str) -> bool:
    """Whether the client asked the proxy for one server, and asks another by its SNI."""
    explicit = isinstance(client.proxy_mode, modes.EXPLICIT)
    return explicit and client.sni is not None and client.sni.lower() != name.lower()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _summary(rules: Rules, defaults: dict[str, str]) -> str:
    """What the addon will do, in one line."""
    hosts = ", ".join(str(host) for host in sorted(rules.hosts))
    named = "1 rule" if len(rules.rules) == 1 else f"{len(rules.rules)} rules"
    credentials = "; ".join(
        f"credential `{credential.name}` from {', '.join(map(str, credential.sources))} serves "
        f"{', '.join(str(host) for host in sorted(credential.hosts))}"
        for credential in rules.credentials
    )
    line = f"{named} of {rules.source} for {hosts}, all else is tunnelled; {credentials}"
    if defaults:
        line += f"; set {', '.join(f'{name}={value}' for name, value in defaults.items())}"
    return line
