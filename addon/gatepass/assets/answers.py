"""The answers that a client gets: made here, or an upstream's, cleared of what is not its business.

Pure: from facts to an `Answer`, or to the fields of one that passes through; how it is written is for `gatepass.proxy`.
"""

from __future__ import annotations

import hashlib
import html
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from gatepass.assets.check import repr_digest
from gatepass.errors import printable_json
from gatepass.problems import catalogue
from gatepass.problems.problem import CONTENT_TYPE, Problem, Unresolvable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gatepass.forge.hosts import Host
    from gatepass.forge.signed import SignedUrl
    from gatepass.forge.sources import GitRef
    from gatepass.github.client import Excerpt
    from gatepass.http.fields import Field

# What belongs to the asset. The rest tells of the token (scopes, expiry, budget), sets cookies, or is the host's own.
_ASSET_HEADERS: Final = frozenset({
    "accept-ranges", "age", "cache-control", "content-disposition", "content-encoding", "content-length",
    "content-range", "content-type", "date", "etag", "expires", "last-modified",
})  # fmt: skip
# What mitmproxy needs of an answer that it passes on: how the body is framed, and whether the connection goes on.
_FRAMING: Final = frozenset({"connection", "transfer-encoding"})
# What a 304 repeats of the whole answer's headers (RFC 9110, section 15.4.5).
_VALIDATORS: Final = ("cache-control", "date", "etag", "expires", "last-modified")
# Whole, part, unchanged, precondition failed, no such range: what an asset itself can answer (RFC 9110, section 15).
ASSET_STATUS: Final = frozenset({200, 206, 304, 412, 416})
_LFS: Final = "application/vnd.git-lfs+json"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_TOTAL: Final = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, with all headers that it is to have; `reason` is the phrase that HTTP/1.1 shows, if not usual."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""
    reason: str = ""


def refusal(
    problem: Problem,
    method: str,
    challenge: Mapping[str, str] | None = None,
    git: GitRef | None = None,
    *,
    is_index: bool = False,
    is_api: bool = False,
) -> Answer:
    """The answer for a request that cannot be served; `challenge` asks who asks, `git` tells that it is git that does.

    A HEAD gets 404 with the same reason phrase: uv then asks again by GET and shows the details, whereas other
    statuses of a HEAD are final or retried for nothing (FACTS.md). Where the client is to say who it is it has to see
    that; and of an index 404 means that there is no such package.
    """
    headers = {"Cache-Control": "no-store", **(challenge or {})}
    if method == "HEAD":
        return _counted(problem.status if challenge or is_index else 404, headers, reason=problem.reason)
    if git is not None:
        return _told_git(problem, git, headers, is_asked=challenge is not None)
    headers["Content-Type"] = CONTENT_TYPE
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return _counted(problem.status, headers, problem.body(for_api=is_api), problem.reason)


def _told_git(problem: Problem, git: GitRef, headers: Mapping[str, str], *, is_asked: bool) -> Answer:
    """A refusal as git shows it, each line after `remote:`, when it is `text/plain`; or as git-lfs does.

    A 401 that is none of the proxy's own questions would have git ask its user for a password, and to no end.
    """
    status = 403 if problem.status == 401 and not is_asked else problem.status
    lines = (f"gatepass: {problem.title}", problem.detail, f"hint: {problem.hint}")
    if git.is_lfs:
        content = msgspec.json.encode({"message": "; ".join(lines)})
        return _counted(status, {**headers, "Content-Type": _LFS}, printable_json(content), problem.reason)
    content = "".join(f"{line}\n" for line in lines).encode()
    return _counted(status, {**headers, "Content-Type": "text/plain"}, content, problem.reason)


def redirect(signed: SignedUrl) -> Answer:
    """A redirect to the asset host. It must not be kept: the URL lives for minutes."""
    return _counted(302, {"Location": signed.url, "Cache-Control": "no-store"})


def page(url: str) -> Answer:
    """A redirect to a page of the web host, as that would give it to who may see it."""
    return _counted(302, {"Location": url, "Cache-Control": "no-store"})


def listing(files: Mapping[str, tuple[str, str | None]]) -> Answer:
    """The list of a release's assets, which `pip -f` and uv's flat index read; by name, the path and the digest.

    The fragment is what both hold a download against (PEP 503).
    """
    links = []
    for name, (path, digest) in files.items():
        algorithm, _, value = (digest or "").partition(":")
        fragment = f"#sha256={value}" if algorithm == "sha256" and _SHA256.fullmatch(value) else ""
        links.append(f'<li><a href="{html.escape(path + fragment)}">{html.escape(name)}</a></li>')
    content = "\n".join(["<!DOCTYPE html>", "<html><body><ul>", *links, "</ul></body></html>", ""]).encode()
    headers = {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "private, no-cache",
        "etag": f'"{hashlib.sha256(content).hexdigest()}"',
    }
    return _counted(200, headers, content)


def again(url: str) -> Answer:
    """A redirect of a request to itself: what was known of the asset was wrong, and is asked for anew the next time."""
    return _counted(307, {"Location": url, "Cache-Control": "no-store"})


def description(first: Excerpt, host: Host, size: int | None, content_type: str) -> Answer:
    """The answer for a HEAD, from what the first byte told; `size` and `content_type` as the API knows them.

    Raises:
        Unresolvable: the host did not give the first byte.
    """
    headers = _asset_headers(first)
    headers.pop("content-range", None)
    match first.status:
        case 206 | 416:
            total = _TOTAL.fullmatch(first.headers.get("content-range", ""))
            if total is None or (first.status == 416 and total[1] != "0"):
                raise Unresolvable(catalogue.MALFORMED_ANSWER(host=host, what="a range without its total size"))
            headers["content-length"], headers["accept-ranges"] = total[1], "bytes"
            if first.status == 416:  # an empty asset has no first byte, and the refusal describes itself
                headers["content-type"] = content_type
        case 200:
            if size is not None:
                headers.setdefault("content-length", str(size))
        case status:
            raise Unresolvable(catalogue.SIGNED_URL_REFUSED(host=host, status=status))
    # the length is that of the body that a GET would get, which is not here
    return Answer(200, headers)


def unmodified(first: Excerpt | Answer) -> Answer:
    """The answer for a client that has what there is."""
    headers = _asset_headers(first)
    return Answer(304, {name: headers[name] for name in _VALIDATORS if name in headers})


def typed(answer: Answer, content_type: str | None) -> Answer:
    """The same with that Content-Type, where it is known better than the answer says."""
    if content_type is None or "content-type" not in answer.headers:
        return answer
    return replace(answer, headers={**answer.headers, "content-type": content_type})


def excerpt(part: Excerpt, host: Host, content_type: str | None = None) -> Answer:
    """The answer for a small range; `content_type` as in `from_asset_host`.

    Raises:
        Unresolvable: the host refused the URL, or failed.
    """
    if part.status not in ASSET_STATUS:
        raise Unresolvable(catalogue.SIGNED_URL_REFUSED(host=host, status=part.status))
    return typed(_counted(part.status, _asset_headers(part), part.content), content_type)


def digested(status: int, fields: tuple[Field, ...], digest: str | None) -> tuple[Field, ...]:
    """The fields of an answer of an asset of that digest, with Repr-Digest (RFC 9530).

    It is of the whole, of which the answer may be a part, or may say that it has not changed.
    """
    value = repr_digest(digest)
    is_encoded = any(name.lower() == b"content-encoding" for name, _ in fields)
    if value is None or is_encoded or status not in (200, 206, 304):
        return fields
    return (*fields, (b"repr-digest", value.encode()))


def with_digest(answer: Answer, digest: str | None) -> Answer:
    """The same of an answer that is made here."""
    names = tuple((name.encode(), b"") for name in answer.headers)
    if digested(answer.status, names, digest) == names:
        return answer
    return replace(answer, headers={**answer.headers, "repr-digest": repr_digest(digest) or ""})


def from_asset_host(
    status: int, fields: Iterable[Field], host: Host, content_type: str | None = None
) -> tuple[Field, ...]:
    """What a client sees of the fields of an answer whose body passes through: the asset's own alone.

    `content_type` is what it is, where the host says something else.

    Raises:
        Unresolvable: the host refused the URL, or failed.
    """
    if status not in ASSET_STATUS:
        raise Unresolvable(catalogue.SIGNED_URL_REFUSED(host=host, status=status))
    kept = _ASSET_HEADERS | _FRAMING
    own = ((name, value) for name, value in fields if name.lower().decode("latin-1") in kept)
    if content_type is None:
        return tuple(own)
    return tuple((name, content_type.encode() if name.lower() == b"content-type" else value) for name, value in own)


def _asset_headers(part: Excerpt | Answer) -> dict[str, str]:
    return {name.lower(): value for name, value in part.headers.items() if name.lower() in _ASSET_HEADERS}


def _counted(status: int, headers: Mapping[str, str], content: bytes = b"", reason: str = "") -> Answer:
    """An answer whose content is all of its body, whatever an upstream's headers said of the length."""
    kept = {name: value for name, value in headers.items() if name != "content-length"}
    return Answer(status, {**kept, "content-length": str(len(content))}, content, reason)
