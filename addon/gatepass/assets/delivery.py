"""From an asset's source to what is done for one request: answer it here, or send it on, and where to.

Asks the resolver for a byte where one is needed; knows neither flows nor rules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from gatepass.assets import answers
from gatepass.assets.answers import Answer
from gatepass.decision import MOST_IN_MEMORY, Want, want
from gatepass.forge import urls
from gatepass.forge.urls import AssetRef
from gatepass.github.client import OCTET_STREAM
from gatepass.http.conditions import CONDITIONS, MOST_PARTS, is_unmodified, partial, parts
from gatepass.problems import catalogue
from gatepass.problems.problem import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gatepass.assets.resolver import Resolver
    from gatepass.assets.source import Source
    from gatepass.forge.hosts import Host
    from gatepass.github.client import Excerpt
    from gatepass.secret import Secret


@dataclass(frozen=True, slots=True)
class Serve:
    """The request goes to the asset host, without a credential, and is answered in place."""

    host: Host
    target: str


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The request goes to the asset endpoint of the API, with the credential: the forge streams.

    `may_redirect` tells whether the client may be sent on, should the forge give a signed URL after all. `accept` is
    the media type that is asked for.
    """

    host: Host
    target: str
    secret: Secret
    may_redirect: bool
    accept: str = OCTET_STREAM


type Plan = Answer | Serve | Rewrite


async def plan(resolver: Resolver, source: Source, method: str, headers: Mapping[str, str]) -> Plan:
    """How this client gets what it wants of the asset.

    Raises:
        Unresolvable: the asset host does not give it, or it is too much at once.
    """
    if source.page:
        return answers.page(source.page)
    if source.listed is not None:
        return _listed(source, method, headers)
    # what a client is told to send, it sends to where a redirect leads, too, and a signed URL suffers no credentials
    may_redirect = "authorization" not in headers
    conditions = partial(headers)
    wanted = want(method, conditions)
    match wanted:
        case Want.WHOLE:
            return _whole(source, may_redirect=may_redirect)
        case Want.NEWER | Want.HEADERS:
            first = await resolver.first_byte(source)
            if any(name in conditions for name in CONDITIONS):
                unmodified = is_unmodified(conditions, first.headers.get("etag"), first.headers.get("last-modified"))
                if unmodified:
                    return answers.with_digest(answers.unmodified(first), _digest(source))
            return _described(source, first) if method == "HEAD" else _whole(source, may_redirect=may_redirect)
        case Want.EXCERPT:
            part = await resolver.excerpt(source, conditions, MOST_IN_MEMORY)
            # a host that gives the whole where a part was asked for is followed, but not into memory
            if part.status == 200:
                return _part(source, may_redirect=may_redirect)
            return answers.with_digest(answers.excerpt(part, source.host, source.content_type), _digest(source))
        case Want.PART:
            if (count := parts(conditions.get("range", ""))) > MOST_PARTS:
                raise Unresolvable(catalogue.TOO_MANY_RANGES(more=count))
            return _part(source, may_redirect=may_redirect)
    assert_never(wanted)


def _listed(source: Source, method: str, headers: Mapping[str, str]) -> Answer:
    """The list of a release's assets, as the web host has it; each link tells its file's hash besides."""
    assert isinstance(source.ref, AssetRef)
    assert source.listed is not None
    assert source.ref.tag is not None
    paths = {
        asset.name: (urls.download_path(AssetRef(source.ref.repository, source.ref.tag, asset.name)), asset.digest)
        for asset in source.listed
    }
    answer = answers.listing(paths)
    conditions = partial(headers)
    if is_unmodified(conditions, answer.headers["etag"], None):
        return answers.unmodified(answer)
    return replace(answer, content=b"") if method == "HEAD" else answer


def _whole(source: Source, *, may_redirect: bool) -> Plan:
    if source.outage is not None:
        raise Unresolvable(source.outage)
    if source.signed is None or not may_redirect:
        return _part(source, may_redirect=may_redirect)
    return answers.redirect(source.signed)


def _part(source: Source, *, may_redirect: bool) -> Plan:
    if source.outage is not None:
        raise Unresolvable(source.outage)
    if source.signed is not None:
        return Serve(source.signed.host, source.signed.target)
    assert source.secret is not None
    host = source.forge.api_host
    target = source.api_url.removeprefix(f"https://{host}")
    return Rewrite(host, target, source.secret, may_redirect, source.accept)


def _described(source: Source, first: Excerpt) -> Answer:
    asset = source.asset
    told = answers.description(
        first, source.host, asset.size if asset else None, asset.content_type if asset else OCTET_STREAM
    )
    return answers.with_digest(answers.typed(told, source.content_type), _digest(source))


def _digest(source: Source) -> str | None:
    return None if source.asset is None else source.asset.digest
