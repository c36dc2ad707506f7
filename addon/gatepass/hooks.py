"""The addon: mitmproxy's events in, decisions out, what was decided done to the flow.

Decides nothing about a request itself, and does no I/O of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from mitmproxy import ctx, exceptions
from mitmproxy.proxy import mode_specs

from . import answers, config, errands, problems, upstream
from .credentials import Credentials
from .decision import PARTIAL, Describe, Inject, Pass, Refuse, Request, Resolve, Rewrite, Serve, decide, want
from .errors import GatepassError
from .forges import Host
from .github import API_VERSION, OCTET_STREAM, TOTAL_SECONDS, GitHub
from .problems import Problem, Unresolvable
from .resolver import Resolver

if TYPE_CHECKING:
    from mitmproxy.addonmanager import Loader
    from mitmproxy.connection import Client
    from mitmproxy.http import HTTPFlow, Response
    from mitmproxy.tls import ClientHelloData, TlsData

    from .credentials import Secret
    from .errands import Errand
    from .resolver import Resolution
    from .rules import Rules, Template

logger: Final = logging.getLogger("gatepass")

# Where the address of a connection is an IP, and the client's SNI names the server that upstream TLS verifies.
_TRANSPARENT: Final = (mode_specs.TransparentMode, mode_specs.LocalMode, mode_specs.WireGuardMode)

# What the user did not set is set here, and said once: no connection to a web host that is not going to be asked, and
# no body held whole because nothing said that it should be streamed.
_DEFAULTS: Final = {"connection_strategy": "lazy", "stream_large_bodies": "1m"}


class Gatepass:
    """The addon."""

    name = "gatepass"

    def __init__(self) -> None:
        self._rules: Rules | None = None
        self._credentials = Credentials(os.environ)
        self._github: GitHub | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._errands: WeakKeyDictionary[HTTPFlow, Errand] = WeakKeyDictionary()
        self._running = False

    # ------------------------------------------------------------------ life

    def load(self, loader: Loader) -> None:
        loader.add_option(
            "gatepass_rules",
            str,
            "",
            "The rules file; else $GATEPASS_RULES, ./rules.yaml, the user's config folder, and the built-in rules.",
        )
        # these write URLs with their signatures at INFO, and headers at DEBUG
        for library in ("httpx2", "httpcore2"):
            logging.getLogger(library).setLevel(logging.WARNING)

    def configure(self, updated: set[str]) -> None:
        try:
            if "gatepass_rules" in updated:
                self._rules = config.load(ctx.options.gatepass_rules or None, os.environ, Path.cwd())
            if updated & upstream.OPTIONS:
                upstream.trust(ctx.options)  # says now what is wrong with them, not at the first request
                self._close()
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
        if ctx.options.ssl_insecure:
            logger.warning("gatepass: no credential is sent while `ssl_insecure` is set")

    def done(self) -> None:
        self._close()

    def _close(self) -> None:
        """Let go of the API client; the next request makes a new one."""
        github, self._github = self._github, None
        if github is not None:
            task = asyncio.get_running_loop().create_task(github.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    @property
    def _client(self) -> GitHub:
        if self._github is None:
            self._github = GitHub(upstream.trust(ctx.options), upstream.proxy(ctx.options))
        return self._github

    # ----------------------------------------------------------- connections

    def tls_clienthello(self, data: ClientHelloData) -> None:
        """Decrypt what a rule names; tunnel everything else."""
        client, address = data.context.client, data.context.server.address
        data.ignore_connection = (
            self._rules is None
            or address is None
            or _is_fronted(client, address[0])
            or not self._rules.names(_destination(client, address))
        )

    def tls_start_client(self, data: TlsData) -> None:
        """Speak HTTP/1.1 with the client.

        mitmproxy moves four times as many bytes over an intercepted HTTP/1.1 connection, clients show the reason
        phrases of HTTP/1.1 alone (FACTS.md), and sealed headers are made for it.
        """
        if b"http/1.1" in data.conn.alpn_offers:
            data.conn.alpn = b"http/1.1"

    def tls_start_server(self, data: TlsData) -> None:
        """Speak HTTP/1.1 upstream for the same reasons."""
        data.conn.alpn_offers = [b"http/1.1"]

    # -------------------------------------------------------------- requests

    async def requestheaders(self, flow: HTTPFlow) -> None:
        if self._rules is None or flow.response or flow.error:
            return
        host = _destination(flow.client_conn, (flow.request.host, flow.request.port))
        request = Request(
            flow.request.scheme, host, flow.request.method, flow.request.path, not ctx.options.ssl_insecure
        )
        try:
            match decide(request, self._rules):
                case Pass():
                    if self._rules.names(host):
                        self._errands[flow] = errands.pass_on(flow)
                case Refuse(problem):
                    flow.response = self._refusal(flow, problem)
                case Inject() as decision:
                    self._inject(flow, decision)
                case Resolve() as decision:
                    async with asyncio.timeout(TOTAL_SECONDS):
                        await self._resolve(flow, decision)
        except Unresolvable as unresolvable:
            flow.response = self._refusal(flow, unresolvable.problem)
        except TimeoutError:
            flow.response = self._refusal(flow, problems.timed_out(host, TOTAL_SECONDS))

    def _inject(self, flow: HTTPFlow, decision: Inject) -> None:
        secret = self._credentials.secret(decision.credential)
        self._errands[flow] = errands.seal(
            flow,
            {name: partial(_rendered, template, secret) for name, template in decision.action.headers},
        )
        flow.comment = f"gatepass: {decision.rule.name}"

    async def _resolve(self, flow: HTTPFlow, decision: Resolve) -> None:
        resolver = Resolver(self._credentials, self._client)
        resolution = await resolver.resolve(decision, want(flow.request.method, flow.request.headers))
        match resolution.plan:
            case Rewrite(api_url):
                self._errands[flow] = self._rewrite(flow, decision, resolution, api_url)
            case Serve(signed):
                finish = partial(answers.from_asset_host, host=signed.host)
                self._errands[flow] = errands.send(flow, signed.host, signed.target, finish)
            case Describe(source):
                flow.response = await self._describe(flow, decision, resolution, source)
        flow.comment = f"gatepass: {decision.rule.name}: asset {resolution.asset.id}"

    @staticmethod
    def _rewrite(flow: HTTPFlow, decision: Resolve, resolution: Resolution, api_url: str) -> Errand:
        secret, forge = resolution.secret, decision.forge
        return errands.send(
            flow,
            forge.api_host,
            api_url.removeprefix(f"https://{forge.api_host}"),
            partial(answers.from_api, forge=forge, api_url=api_url, source=secret.source),
            {"Accept": OCTET_STREAM, "X-GitHub-Api-Version": API_VERSION},
            {"Authorization": lambda: f"Bearer {secret.reveal()}"},
        )

    async def _describe(
        self, flow: HTTPFlow, decision: Resolve, resolution: Resolution, source: Rewrite | Serve
    ) -> Response:
        headers = {name: flow.request.headers[name] for name in PARTIAL if name in flow.request.headers}
        match source:
            case Serve(signed):
                probe = await self._client.probe_signed(signed, headers)
                return answers.description(probe, resolution.asset, signed.host)
            case Rewrite(api_url):
                probe = await self._client.probe_api(decision.forge, api_url, resolution.secret, headers)
                return answers.description(probe, resolution.asset, decision.forge.api_host)

    def _refusal(self, flow: HTTPFlow, problem: Problem) -> Response:
        flow.comment = f"gatepass: {problem.title}"
        logger.warning("gatepass: %s %s: %s", flow.request.method, flow.request.url.partition("?")[0], problem)
        return answers.refusal(problem, flow.request.method)

    # ------------------------------------------------------------- responses

    def responseheaders(self, flow: HTTPFlow) -> None:
        errand = self._errands.get(flow)
        if errand is None or flow.response is None:
            return
        errand.restore(flow)
        try:
            response = errand.finish(flow.response)
        except Unresolvable as unresolvable:
            response = self._refusal(flow, unresolvable.problem)
        if response.stream:
            flow.response = response
        else:
            errand.replace(flow, response)

    def response(self, flow: HTTPFlow) -> None:
        errand = self._errands.pop(flow, None)
        if errand is not None and errand.body is not None and flow.response is not None:
            # for the record, and for an upstream answer that had no body to replace
            flow.response.content = errand.body

    def error(self, flow: HTTPFlow) -> None:
        errand = self._errands.pop(flow, None)
        if errand is not None:
            errand.restore(flow)


def _rendered(template: Template, secret: Secret) -> str:
    return template.render(secret.reveal())


def _destination(client: Client, address: tuple[str, int]) -> Host:
    """The server that a connection really goes to: the CONNECT authority, or the SNI that upstream TLS verifies."""
    name, port = address
    if isinstance(client.proxy_mode, _TRANSPARENT):
        name = client.sni or ""
    return Host(name.lower(), port)


def _is_fronted(client: Client, name: str) -> bool:
    """Whether the client asked the proxy for one server, and asks another by its SNI."""
    explicit = isinstance(client.proxy_mode, mode_specs.RegularMode | mode_specs.UpstreamMode | mode_specs.Socks5Mode)
    return explicit and client.sni is not None and client.sni.lower() != name.lower()


def _summary(rules: Rules, defaults: dict[str, str]) -> str:
    """What the addon will do, in one line."""
    hosts = ", ".join(str(host) for host in sorted(rules.hosts))
    named = "1 rule" if len(rules.rules) == 1 else f"{len(rules.rules)} rules"
    credentials = "; ".join(
        f"credential `{credential.name}` from {', '.join(credential.sources)} serves "
        f"{', '.join(str(host) for host in sorted(credential.hosts))}"
        for credential in rules.credentials
    )
    line = f"{named} of {rules.source} for {hosts}, all else is tunnelled; {credentials}"
    if defaults:
        line += f"; set {', '.join(f'{name}={value}' for name, value in defaults.items())}"
    return line
