"""What an API's refusal, or a fault of the network, means: pure, so proved for whatever may be answered."""

from __future__ import annotations

import json
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatepass.forge.hosts import Forge, Host
from gatepass.github import refusals
from gatepass.secret import Secret

FORGE = Forge(Host("ghe.example.com"), "https://ghe.example.com/api/v3")
SECRET = Secret("ghp_OpenSesameOpenSesameOpenSesame", "env:TOKEN")
HOST = Host("api.github.com")
SSO = "https://github.com/orgs/acme/sso?authorization_request=A1"


def said(message: str) -> bytes:
    """The body of an error answer."""
    return json.dumps({"message": message, "status": "403"}).encode()


# -------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("status", "headers", "message", "kind", "after"),
    [
        (401, {}, "Bad credentials", "bad-credential", None),
        (403, {"x-github-sso": f"required; url={SSO}"}, "", "sso-required", None),
        (403, {"retry-after": "30"}, "", "secondary-rate-limited", 30),
        (429, {"retry-after": "0"}, "", "secondary-rate-limited", 0),
        (429, {"retry-after": "Thu, 01 Jan 2026 00:00:00 GMT"}, "", "secondary-rate-limited", 0),
        (429, {"retry-after": "Thu, 01 Jan 99999999999999999999 00:00:00 GMT"}, "", "secondary-rate-limited", 60),
        (429, {"retry-after": "Thu, 01 Jan 2026 00:00:00 +99999999999999999999"}, "", "secondary-rate-limited", 60),
        (403, {"retry-after": "soon"}, "You have exceeded a secondary rate limit", "secondary-rate-limited", 60),
        (429, {}, "", "secondary-rate-limited", 60),
        (403, {}, "the `acme` organization has an IP allow list enabled", "address-not-allowed", None),
        (403, {}, "Maximum number of login attempts exceeded.", "locked-out", None),
        (403, {}, "Resource not accessible by integration", "forbidden", None),
        (403, {"x-ratelimit-remaining": "1"}, "", "forbidden", None),
        (500, {"retry-after": "30"}, "rate limit", "upstream-failed", None),
        (302, {}, "", "upstream-failed", None),
        (451, {}, "", "taken-down", None),
        (403, {}, "`acme` forbids access via a personal access token (classic).", "token-forbidden", None),
        (403, {}, "forbids access via a fine-grained personal access tokens if", "token-forbidden", None),
    ],
)
def test_each_refusal_by_name(status: int, headers: dict[str, str], message: str, kind: str, after: int | None) -> None:
    """Each way in which GitHub says no is a problem of its own, with the seconds to wait where it told them."""
    problem = refusals.refusal(FORGE, SECRET, status, headers, said(message))
    assert (problem.kind, problem.retry_after) == (kind, after)


def test_the_plainest_sign_decides() -> None:
    """Where several signs stand together, what a person can mend comes first, then what the forge says of waiting."""
    signs = {"x-github-sso": "required", "retry-after": "5", "x-ratelimit-remaining": "0"}
    kinds = []
    for name in list(signs):
        kinds.append(refusals.refusal(FORGE, SECRET, 403, signs, said("IP allow list")).kind)
        del signs[name]
    kinds.append(refusals.refusal(FORGE, SECRET, 403, signs, said("IP allow list")).kind)
    assert kinds == ["sso-required", "secondary-rate-limited", "rate-limited", "address-not-allowed"]


def test_a_wait_until_a_date() -> None:
    """A wait may be told by its end."""
    end = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    problem = refusals.refusal(FORGE, SECRET, 403, {"retry-after": end}, b"")
    assert problem.retry_after in range(95, 101)


@pytest.mark.parametrize(("reset", "least", "most"), [(1000, 990, 1000), (-1000, 1, 1), (None, 60, 60)])
def test_a_spent_budget_tells_when_it_is_full(reset: int | None, least: int, most: int) -> None:
    """Who has no budget left waits until it is full again: a second at the least, and a minute if nothing is told."""
    headers = {"x-ratelimit-remaining": "0"}
    headers |= {} if reset is None else {"x-ratelimit-reset": str(int(time.time()) + reset)}
    problem = refusals.refusal(FORGE, SECRET, 403, headers, b"")
    assert problem.kind == "rate-limited"
    assert problem.retry_after is not None
    assert least <= problem.retry_after <= most


def test_a_token_that_is_refused() -> None:
    """A refused token is a bad one: that it came to its end the resolver knows, if an earlier answer told it."""
    assert refusals.refusal(FORGE, SECRET, 401, {}, b"").kind == "bad-credential"


def blocked(**block: object) -> bytes:
    return json.dumps({"message": "Repository access blocked", "block": block}).encode()


@pytest.mark.parametrize("status", [403, 451])
def test_a_repository_that_is_blocked(status: int) -> None:
    """A takedown is final, and told with its reason and where its notice stands; whatever else it says is harmless."""
    notice = "https://github.com/github/dmca/blob/master/2026/01/x.md"
    problem = refusals.refusal(FORGE, SECRET, status, {}, blocked(reason="dmca", html_url=notice, created_at="x"))
    assert (problem.kind, problem.status, problem.retry_after) == ("taken-down", 451, None)
    assert "`dmca`" in problem.detail
    assert notice in problem.hint
    assert problem.members["notice"] == notice
    other = refusals.refusal(FORGE, SECRET, status, {}, blocked(reason="\x1b[2J" * 99, html_url="javascript:x"))
    assert str(other).isprintable()
    assert "notice" not in other.members
    assert "no retry helps" in other.hint
    assert refusals.refusal(FORGE, SECRET, status, {}, blocked(html_url=None)).kind == "taken-down"


@pytest.mark.parametrize(
    ("token", "message", "hint"),
    [
        ("ghp_x", "`acme` forbids access via a personal access token (classic). Please use …", "a fine-grained token"),
        (
            "github_pat_x",
            "The `acme` organization forbids access via a fine-grained personal access tokens if its lifetime is …",
            "let it end sooner",
        ),
        ("github_pat_x", "`acme` forbids access via a fine-grained personal access token.", "use a GitHub App"),
    ],
)
def test_a_sort_of_token_that_is_forbidden(token: str, message: str, hint: str) -> None:
    """An organisation's policy about tokens is told as such: the remedy is another sort, not a permission."""
    problem = refusals.refusal(FORGE, Secret(token, "env:TOKEN"), 403, {}, said(message))
    assert problem.kind == "token-forbidden"
    assert hint in problem.hint
    assert "GitHub App" in problem.hint
    assert "Contents: read` for" not in problem.hint
    assert message in problem.detail


@pytest.mark.parametrize(
    "header",
    [
        "partial-results; organizations=1,2",
        "required; url=http://github.com/orgs/acme/sso",
        "required; url=javascript:alert(1)",
        "required; url=https://github.com/a b",
        "required; url=https://github.com/\x1b[2J",
        f"required; url=https://github.com/{'a' * 2001}",
    ],
)
def test_only_an_address_is_shown_as_one(header: str) -> None:
    """Where to authorise a token is told as the forge says it, if that is an https URL of plain characters."""
    good = refusals.refusal(FORGE, SECRET, 403, {"x-github-sso": f"required; url={SSO}"}, b"")
    assert good.members["authorise-at"] == SSO
    assert SSO in good.hint
    other = refusals.refusal(FORGE, SECRET, 403, {"x-github-sso": header}, b"")
    assert other.kind == "sso-required"
    assert "authorise-at" not in other.members
    assert other.hint == "authorise it in the token settings of ghe.example.com"


def test_what_support_asks_for() -> None:
    """The id that GitHub gave the request stands in the problem, whatever the problem is."""
    for status in (401, 403, 429, 500):
        problem = refusals.refusal(FORGE, SECRET, status, {"x-github-request-id": "C0DE:1"}, b"")
        assert problem.members["request-id"] == "C0DE:1"
        assert "request-id" not in refusals.refusal(FORGE, SECRET, status, {}, b"").members


names = ("x-github-sso", "retry-after", "x-ratelimit-remaining", "x-ratelimit-reset", "x-github-request-id")


@given(st.integers(100, 599), st.dictionaries(st.sampled_from(names), st.text() | st.integers().map(str)), st.text())
@example(403, {"retry-after": "²"}, "")
@example(403, {"retry-after": "9" * 5000, "x-ratelimit-remaining": "0", "x-ratelimit-reset": "9" * 5000}, "")
def test_any_refusal_is_a_problem(status: int, headers: dict[str, str], message: str) -> None:
    """Whatever an API answers is explained: a failure for the client, without the secret, and no wait is negative."""
    for content in (message.encode("utf-8", "replace"), said(message)):
        problem = refusals.refusal(FORGE, SECRET, status, headers, content)
        assert 400 <= problem.status <= 599
        assert problem.retry_after is None or problem.retry_after >= 0
        assert SECRET.reveal() not in str(problem) + problem.body().decode()


# ------------------------------------------------------- answers that are not GitHub's

PAGE = {"content-type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (403, PAGE, "answered 403 for api.github.com is not GitHub: a page with the title `Blocked & logged`"),
        (200, PAGE, "`Blocked & logged`"),
        (404, PAGE, "`Blocked & logged`"),
        (407, PAGE, "`Blocked & logged`"),
        (511, PAGE, "`Blocked & logged`"),
        (302, {"location": "https://login.corp.test/?to=x"}, "it sends to login.corp.test"),
        (307, {**PAGE, "location": "http://login.corp.test:8080/"}, "it sends to login.corp.test"),
    ],
)
def test_what_stands_between(status: int, headers: dict[str, str], words: str) -> None:
    """A page or a redirect with nothing of GitHub's is told as such, with what it calls itself or where it leads."""
    page = b"<HTML><Head><TITLE lang=en>\n Blocked &amp; \x1b[2Jlogged</title>".replace(b"\x1b[2J", b"")
    problem = refusals.foreign(HOST, status, headers, page)
    assert problem is not None
    assert (problem.kind, problem.status) == ("foreign-answer", 502)
    assert words in problem.detail
    assert refusals.foreign(HOST, status, {**headers, "X-GitHub-Request-Id": "C0DE:1"}, page) is None
    assert refusals.foreign(HOST, status, {**headers, "x-ratelimit-limit": "60"}, page) is None


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (403, {}),
        (403, {"content-type": "application/json"}),
        (302, {"location": "https://api.github.com/repositories/1"}),
        (302, {"location": "/repositories/1"}),
        (302, {"location": "https://[/"}),
        (502, PAGE),
        (503, PAGE),
    ],
)
def test_what_may_be_githubs(status: int, headers: dict[str, str]) -> None:
    """JSON, a redirect on the spot, and the page of an edge that fails may be GitHub's own: nobody else is blamed."""
    assert refusals.foreign(HOST, status, headers, b"<title>x</title>") is None


@pytest.mark.parametrize("status", [200, 206, 304, 404, 412, 416])
def test_what_may_be_an_assets(status: int) -> None:
    """A page may be an asset, or what its host says of one that it lacks."""
    assert refusals.foreign_asset(HOST, status, PAGE) is None
    assert refusals.foreign_asset(HOST, 403, PAGE) is not None


@given(st.binary(max_size=400), st.binary(max_size=400))
@example(b"<title", b"")
@example(b"<title>", b"x" * 400)
@example(b"<title>", b"&#" + b"9" * 5000 + b";")
def test_any_page_has_a_harmless_title(start: bytes, end: bytes) -> None:
    """Whatever stands in a page, its title is one printable line."""
    for page in (start + end, start + b"<title>" + end, start + b"<title>" + end + b"</title>"):
        problem = refusals.foreign(HOST, 403, PAGE, page)
        assert problem is not None
        assert problem.detail.isprintable()
        assert len(problem.detail) < 250


# --------------------------------------------------------------------- a proxy

PROXY = Host("proxy.corp.test", 3128)


@pytest.mark.parametrize(("status", "hint"), [(407, "user and password"), (403, "have it let api.github.com through")])
def test_a_proxy_that_refuses(status: int, hint: str) -> None:
    """A proxy that refuses the way is told by its name, with what it answered and what helps."""
    problem = refusals.fault(HOST, httpx2.ProxyError(f"{status} Forbidden by http://me:pass@x"), "", None, PROXY)
    assert (problem.kind, problem.status) == ("proxy-refused", 502)
    assert f"the proxy at proxy.corp.test:3128 answered {status} when it was asked for api.github.com" in problem.detail
    assert hint in problem.hint
    assert "pass@" not in str(problem)


def test_a_proxy_that_cannot_be_reached() -> None:
    """Where the proxy itself cannot be connected to, it is not the host behind it that is blamed; TLS is the host's."""
    refused = caused(httpx2.ConnectError("all failed"), OSError(111, "Connection refused"))
    assert "proxy.corp.test:3128: Connection refused" in refusals.fault(HOST, refused, "", None, PROXY).detail
    unknown = caused(httpx2.ConnectError("no"), socket.gaierror(-2, "Name or service not known"))
    assert "proxy.corp.test" in refusals.fault(HOST, unknown, "", None, PROXY).detail
    reason = ssl.SSLCertVerificationError("self-signed")
    reason.verify_message = "self-signed"
    untrusted = caused(httpx2.ConnectError("no"), reason)
    assert "api.github.com" in refusals.fault(HOST, untrusted, "", None, PROXY).title


# ---------------------------------------------------------------- its own words


@given(st.text())
@example("\x1b[2Jall is well\r\n\u2028")
@example("a" * 301)
def test_a_message_is_for_people(text: str) -> None:
    """GitHub's own words are one printable line of 300 characters at the most, which begins as they do."""
    line = refusals.message(said(text))
    assert line.isprintable()
    assert len(line) == min(len(text), 300)
    assert all(shown in (meant, " ") for shown, meant in zip(line, text, strict=False))


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b"null", b'{"message": 5}', b'{"message": "a', b"\xff", b'{"message": "\xff"}']
)
def test_no_message(content: bytes) -> None:
    """What is no error of GitHub's has no words to repeat."""
    assert refusals.message(content) == ""


# ------------------------------------------------------------------ a token's end


@given(
    st.datetimes(min_value=datetime(1000, 1, 1)),  # noqa: DTZ001 — the zone comes below
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_the_end_of_a_token(moment: datetime, minutes: int) -> None:
    """Both formats in which GitHub tells a token's end are read to the second."""
    moment = moment.replace(microsecond=0)
    there = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    name = "github-authentication-token-expiration"
    assert refusals.token_expiry({name: f"{there:%Y-%m-%d %H:%M:%S %z}"}) == there
    assert refusals.token_expiry({name: f" {moment:%Y-%m-%d %H:%M:%S} UTC "}) == moment.replace(tzinfo=UTC)


@given(st.text() | st.from_regex(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (UTC|[+-]\d{4})", fullmatch=True))
@example("2026-02-30 00:00:00 UTC")
@example("2026-01-01 00:00:00 +9999")
def test_an_end_that_cannot_be_read(text: str) -> None:
    """Any other text is no end, and no error; a moment that is read has a zone."""
    end = refusals.token_expiry({"github-authentication-token-expiration": text})
    assert end is None or end.tzinfo is not None
    assert refusals.token_expiry({}) is None


# ------------------------------------------------------------------------ faults


def caused(error: Exception, *causes: BaseException) -> Exception:
    """The error as it is raised from a chain of causes."""
    above: BaseException = error
    for cause in causes:
        above.__cause__ = cause
        above = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (caused(httpx2.ConnectError("all failed"), OSError(111, "Connection refused")), "unreachable", "refused"),
        (
            caused(httpx2.ConnectError("no"), OSError(113, "No route to host"), OSError(111, "Connection refused")),
            "unreachable",
            "Connection refused",
        ),
        (caused(httpx2.ConnectError("no"), socket.gaierror(-2, "Name or service not known")), "name-not-resolved", ""),
        (httpx2.RemoteProtocolError("illegal header line: ghp_secret"), "unreachable", "RemoteProtocolError"),
        (caused(httpx2.ProxyError("no"), OSError("407 of http://me:pass@proxy")), "unreachable", "ProxyError"),
    ],
)
def test_each_fault_by_name(error: Exception, kind: str, words: str) -> None:
    """The deepest cause says what is wrong; where it could quote a header or a URL, the kind of error says it."""
    problem = refusals.fault(HOST, error, "the public CAs", None)
    assert (problem.kind, problem.status) == (kind, 502)
    assert words in problem.detail
    assert "ghp_secret" not in problem.detail
    assert "me:pass" not in problem.detail
    assert not refusals.is_untrusted(error)


def test_causes_come_to_an_end() -> None:
    """A chain of causes that leads back to its beginning is told once."""
    one, two = OSError("one"), OSError("two")
    one.__cause__, two.__context__ = two, one
    assert list(refusals.causes(one)) == [one, two]
