"""Answers as mitmproxy writes them: made of values, or an upstream's that passes through.

Every answer that a client gets goes through here, and no field of one can end its line: what comes over HTTP/2, or in
the API's JSON, may hold what would be a header of its own in HTTP/1.1 (RFC 9112, section 11.1: response splitting).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mitmproxy.http import Headers, Response
from mitmproxy.net.http import status_codes

from gatepass.assets import answers
from gatepass.errors import printable
from gatepass.forge import api
from gatepass.forge.sources import parse_git
from gatepass.http.fields import harmless, is_harmless
from gatepass.proxy import facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mitmproxy.http import HTTPFlow

    from gatepass.assets.answers import Answer
    from gatepass.assets.check import Check
    from gatepass.http.fields import Field
    from gatepass.problems.problem import Problem


def written(answer: Answer) -> Response:
    """A whole response, with the answer's own headers and no others."""
    fields = [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in answer.headers.items()]
    reason = printable(answer.reason or status_codes.RESPONSES.get(answer.status, "")).encode("ascii", "replace")
    now = time.time()
    return Response(b"HTTP/1.1", answer.status, reason, _harmless(fields), answer.content, None, now, now)


def refusal(flow: HTTPFlow, problem: Problem, challenge: Mapping[str, str] | None = None) -> Response:
    """The problem as the client of that flow gets it; `challenge` asks who asks."""
    git = parse_git(flow.request.method, flow.request.path)
    is_index = facts.is_for_index(flow)
    is_api = api.may_be(facts.server(flow).name, flow.request.path)
    return written(answers.refusal(problem, flow.request.method, challenge, git, is_index=is_index, is_api=is_api))


def streamed(response: Response) -> Response:
    """The response as it is, passed on as it arrives and never held whole, unless it is sure to be small."""
    response.stream = not facts.is_small(response)
    if not all(is_harmless(value) for _, value in response.headers.fields):  # seldom so, and many to make anew
        response.headers = _harmless(response.headers.fields)
    response.data.reason = _phrase(response.data.reason)
    return response


def relayed(response: Response, fields: Iterable[Field], check: Check | None = None) -> Response:
    """The response with these fields alone, its body passed on as it arrives, and held against what is known of it."""
    data = response.data
    kept = _harmless(fields)
    copy = Response(
        data.http_version, data.status_code, _phrase(data.reason), kept, None, None, data.timestamp_start, None
    )
    copy.stream = True if check is None else check
    return copy


def _phrase(reason: bytes) -> bytes:
    """A reason phrase as `curl -i` and wget may show it."""
    return printable(reason.decode(errors="replace")).encode()


def _harmless(fields: Iterable[Field]) -> Headers:
    return Headers((name, harmless(value)) for name, value in fields)
