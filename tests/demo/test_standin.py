"""The stand-in GitHub keeps to what is known of the real one; asked over real TLS, with the standard library alone."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import os
import re
import socket
import ssl
import stat
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest

from direct import OCTETS, api, ask, connect
from gatepass.demo.standin import GITHUB, TENANT, Asset, Fault, Release, Repository, StandIn, Token, Zeros
from gatepass.demo.standin.model import BLOCK
from harness import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from direct import Reply
    from gatepass.demo.standin import Names

WHEEL = b"wheel bytes, " * 1000
REAL_NAMES = (
    "github.com",
    "api.github.com",
    "objects.githubusercontent.com",
    "release-assets.githubusercontent.com",
    "uploads.github.com",
    "codeload.github.com",
    "acme.ghe.com",
    "api.acme.ghe.com",
    "objects.acme.ghe.com",
    "release-assets.acme.ghe.com",
    "uploads.acme.ghe.com",
    "codeload.acme.ghe.com",
)


def signed(github: StandIn, asset: Asset, token: str | None = "") -> Reply:
    """The 302 of the API for an asset of acme/private."""
    repository = "public" if token is None else "private"
    return api(github, f"/repos/acme/{repository}/releases/assets/{asset.id}", token=token, **OCTETS)


@pytest.fixture
def wheel() -> Asset:
    return Asset("pkg-1.0-py3-none-any.whl", WHEEL, "application/zip")


@pytest.fixture
def open_wheel() -> Asset:
    return Asset("open-1.0-py3-none-any.whl", WHEEL)


@pytest.fixture
def private(wheel: Asset) -> Repository:
    return Repository("acme", "private", releases=[Release("v1.0", [wheel])])


@pytest.fixture
def public(open_wheel: Asset) -> Repository:
    return Repository("acme", "public", private=False, releases=[Release("v1.0", [open_wheel])])


@pytest.fixture
def github(private: Repository, public: Repository) -> Iterator[StandIn]:
    with StandIn([private, public]) as standin:
        yield standin


class TestWeb:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("token", [True, False])
    def test_private_is_404_to_everyone(self, github: StandIn, wheel: Asset, method: str, token: bool) -> None:
        """A private asset's browser URL answers 404, and a valid token there does not help."""
        headers = {"authorization": f"Bearer {github.token}"} if token else {}
        reply = ask(github, github.download_url("acme/private", "v1.0", wheel.name), method, headers)
        assert reply.status == 404
        assert reply.headers["content-type"].startswith("text/html")
        assert (b"Not Found" in reply.body) is (method == "GET")

    @pytest.mark.parametrize("path", ["/no/such", "/acme", "/acme/public/no", "/acme/public/releases/download/v9/x"])
    def test_absent_is_404(self, github: StandIn, path: str) -> None:
        """What is not there is told apart from a private repository by nobody."""
        assert ask(github, f"https://{github.web}{path}").status == 404

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_public_redirects_to_a_sas_url(self, github: StandIn, open_wheel: Asset, method: str) -> None:
        """A public asset is a 302 to a SAS-like URL whose `jwt` lives for 300 s, and which allows GET and HEAD."""
        reply = ask(github, github.download_url("acme/public", "v1.0", open_wheel.name), method)
        assert reply.status == 302
        assert {"se", "sig", "jwt"} <= reply.query.keys()
        payload = reply.query["jwt"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        assert claims["exp"] - claims["nbf"] == 300
        assert urlsplit(reply.location).netloc == github.asset_host
        assert ask(github, reply.location).body == WHEEL
        head = ask(github, reply.location, "HEAD")
        assert (head.status, head.headers["content-length"], head.body) == (200, str(len(WHEEL)), b"")

    @pytest.mark.parametrize("tag", ["release/2.0+build.7", "100%", "a b", "pkg-a/v1.2.3", "größe", "%2F", "a?b#c"])
    def test_tags_are_decoded_once(self, github: StandIn, public: Repository, tag: str) -> None:
        """Any tag is found under its browser URL, its slashes raw or encoded; the file is the last segment."""
        public.releases.append(Release(tag, [Asset("näme+1.whl", b"x")]))
        url = github.download_url("acme/public", tag, "näme+1.whl")
        assert ask(github, url).status == 302
        encoded = f"https://{github.web}/acme/public/releases/download/{quote(tag, safe='')}/{quote('näme+1.whl')}"
        assert ask(github, encoded).status == 302
        assert ask(github, ask(github, url).location).body == b"x"

    def test_latest_download(self, github: StandIn, public: Repository, open_wheel: Asset) -> None:
        """`latest/download` redirects to the download of the latest tag, and is 404 for a private repository."""
        reply = ask(github, f"https://{github.web}/acme/public/releases/latest/download/{open_wheel.name}")
        assert (reply.status, reply.location) == (302, github.download_url("acme/public", "v1.0", open_wheel.name))
        assert ask(github, f"https://{github.web}/acme/private/releases/latest/download/x").status == 404
        public.releases.clear()
        assert ask(github, f"https://{github.web}/acme/public/releases/latest/download/x").status == 404

    def test_expanded_assets(self, github: StandIn, public: Repository) -> None:
        """A public release's assets are listed as HTML links that download; a private one's are not."""
        public.releases[0].assets += [Asset("a+b.whl", b"ab"), Asset("half.whl", state="starter")]
        reply = ask(github, f"https://{github.web}/acme/public/releases/expanded_assets/v1.0")
        links = re.findall(r'href="([^"]+)"', reply.body.decode())
        assert len(links) == 2
        assert [ask(github, f"https://{github.web}{link}").status for link in links] == [302, 302]
        assert ask(github, f"https://{github.web}/acme/private/releases/expanded_assets/v1.0").status == 404
        assert ask(github, f"https://{github.web}/acme/public/releases/expanded_assets/v9").status == 404

    def test_drafts_and_unfinished_uploads_are_404(self, github: StandIn, public: Repository) -> None:
        """A draft has no browser URL by its tag; an asset that is not uploaded yet cannot be downloaded."""
        public.releases += [Release("v2", [Asset("a")], draft=True), Release("v3", [Asset("a", state="open")])]
        assert [ask(github, github.download_url("acme/public", tag, "a")).status for tag in ("v2", "v3")] == [404, 404]

    def test_rename(self, github: StandIn, public: Repository, private: Repository, open_wheel: Asset) -> None:
        """A renamed public repository is 301 to its new name; a private one stays 404."""
        old = github.download_url("acme/public", "v1.0", open_wheel.name)
        public.rename("acme/new")
        reply = ask(github, old)
        assert (reply.status, reply.location) == (301, github.download_url("acme/new", "v1.0", open_wheel.name))
        assert ask(github, f"https://{github.web}/acme/public").location == f"https://{github.web}/acme/new"
        private.rename("acme/hidden")
        assert ask(github, github.download_url("acme/private", "v1.0", "x")).status == 404

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    def test_other_methods_are_echoed(self, github: StandIn, method: str) -> None:
        """Any other method on the web is answered 200 with the length of what came."""
        reply = ask(github, f"https://{github.web}/acme/private/releases/download/v1/x", method, body=b"x" * 300_000)
        assert (reply.status, reply.body) == (200, f"{method} of 300000 bytes\n".encode())
        assert github.calls("web", method)[0].bytes_received == 300_000

    def test_chunked_bodies_are_read(self, github: StandIn) -> None:
        """A body in chunks is counted, and the connection is good for another request."""
        connection = connect(github, github.web)
        chunks = iter([b"ab", b"c" * 100_000])
        connection.request("POST", "/x", chunks, {"transfer-encoding": "chunked"}, encode_chunked=True)
        assert connection.getresponse().read() == b"POST of 100002 bytes\n"
        connection.request("GET", "/acme/public")
        answer = connection.getresponse()
        assert (answer.status, b"acme/public" in answer.read()) == (200, True)
        connection.close()

    def test_git_answers_something(self, github: StandIn) -> None:
        """A clone's first request gets a fixed answer, for the tests of what passes through."""
        reply = ask(github, f"https://{github.web}/acme/private.git/info/refs?service=git-upload-pack")
        assert (reply.status, reply.headers["content-type"]) == (200, "application/x-git-upload-pack-advertisement")


class TestApi:
    def test_release_by_tag(self, github: StandIn, private: Repository, wheel: Asset) -> None:
        """A release has the documented fields, and its asset those that a resolver needs."""
        release = api(github, "/repos/acme/private/releases/tags/v1.0").json
        assert (release["id"], release["tag_name"]) == (private.releases[0].id, "v1.0")
        assert (release["draft"], release["prerelease"]) == (False, False)
        [asset] = release["assets"]
        url = f"{github.api}/repos/acme/private/releases/assets/{wheel.id}"
        assert asset["url"] == url
        assert asset["browser_download_url"] == github.download_url("acme/private", "v1.0", wheel.name)
        assert (asset["name"], asset["size"], asset["state"]) == (wheel.name, len(WHEEL), "uploaded")
        assert asset["content_type"] == "application/zip"
        assert asset["digest"] == f"sha256:{hashlib.sha256(WHEEL).hexdigest()}"
        assert datetime.fromisoformat(asset["updated_at"]).tzinfo == UTC
        assert api(github, f"/repos/acme/private/releases/assets/{wheel.id}").json == asset
        assert api(github, f"/repos/acme/private/releases/{release['id']}").json == release
        assert api(github, "/repos/acme/private/releases").json == [release]
        assert api(github, f"/repositories/{private.id}/releases/tags/v1.0").json == release
        assert api(github, f"/repositories/{private.id}/releases/assets/{wheel.id}").json == asset

    def test_names_ignore_case(self, github: StandIn) -> None:
        """Owner and repository are found in any case, a tag only in its own."""
        assert api(github, "/repos/ACME/Private/releases/tags/v1.0").status == 200
        assert api(github, "/repos/acme/private/releases/tags/V1.0").status == 404

    @pytest.mark.parametrize("tag", ["release/2.0+build.7", "100%", "a b", "größe", "%2F"])
    def test_tags_raw_or_encoded(self, github: StandIn, private: Repository, tag: str) -> None:
        """A tag is found with its slashes raw or encoded, decoded once."""
        private.releases.append(Release(tag))
        for encoded in (quote(tag), quote(tag, safe="")):
            assert api(github, f"/repos/acme/private/releases/tags/{encoded}").json["tag_name"] == tag

    def test_repository_and_user(self, github: StandIn, private: Repository) -> None:
        """`/repos/O/R` and `/user` answer as they should, and `/user` asks for a token."""
        assert api(github, "/repos/acme/private").json["id"] == private.id
        assert api(github, "/user").json["login"] == "monalisa"
        assert api(github, "/user", token=None).status == 401
        github.tokens.append(Token("ghs_app", kind="installation"))
        assert api(github, "/user", token="ghs_app").status == 403

    @pytest.mark.parametrize(
        "path",
        [
            "/nonsense",
            "/repos/acme/nothing",
            "/repos/acme/private/nothing",
            "/repos/acme/private/releases/tags/v9",
            "/repos/acme/private/releases/1",
            "/repos/acme/private/releases/x/assets",
            "/repos/acme/private/releases/assets/1",
            "/repositories/1/releases",
        ],
    )
    def test_absent_is_404(self, github: StandIn, path: str) -> None:
        """No such repository, tag, release or asset: one and the same 404 in JSON."""
        reply = api(github, path)
        assert (reply.status, reply.json["message"], reply.json["status"]) == (404, "Not Found", "404")

    def test_writing_is_404(self, github: StandIn) -> None:
        """The API is for reading: it refuses other methods."""
        assert api(github, "/repos/acme/private", "DELETE").status == 404

    def test_user_agent_is_required(self, github: StandIn) -> None:
        """Without a User-Agent the API answers 403 in plain text."""
        reply = api(github, "/repos/acme/public", user_agent="")
        assert reply.status == 403
        assert b"User-Agent" in reply.body

    def test_latest(self, github: StandIn, private: Repository) -> None:
        """Latest is the newest by commit date that is neither draft nor prerelease; without any it is 404."""
        new = datetime(2030, 1, 1, tzinfo=UTC)
        private.releases = [
            Release("middle", created_at=new - timedelta(days=2)),
            Release("newest", created_at=new - timedelta(days=1)),
            Release("oldest", created_at=new - timedelta(days=9)),
            Release("draft", draft=True, created_at=new),
            Release("pre", prerelease=True, created_at=new),
        ]
        assert api(github, "/repos/acme/private/releases/latest").json["tag_name"] == "newest"
        del private.releases[:3]
        assert api(github, "/repos/acme/private/releases/latest").status == 404

    def test_drafts(self, github: StandIn, private: Repository) -> None:
        """A draft is not found by its tag, and exists in lists only for a token that may push."""
        asset = Asset("a")
        draft = Release("draft", [asset], draft=True)
        private.releases.append(draft)
        github.tokens.append(Token("pusher", push=True))
        paths = [
            f"/repos/acme/private/releases/{draft.id}",
            f"/repos/acme/private/releases/{draft.id}/assets",
            f"/repos/acme/private/releases/assets/{asset.id}",
        ]
        assert [api(github, path).status for path in paths] == [404, 404, 404]
        assert [api(github, path, token="pusher").status for path in paths] == [200, 200, 200]
        assert len(api(github, "/repos/acme/private/releases").json) == 1
        assert len(api(github, "/repos/acme/private/releases", token="pusher").json) == 2
        assert api(github, "/repos/acme/private/releases/tags/draft", token="pusher").status == 404

    def test_embedded_assets_are_cut(self, github: StandIn, private: Repository) -> None:
        """A release's JSON embeds a limited number of assets; all are found by paging."""
        release = private.releases[0]
        release.assets = [Asset(f"a{n}") for n in range(250)]
        assert len(api(github, "/repos/acme/private/releases/tags/v1.0").json["assets"]) == 54
        github.embedded_assets = 3
        assert len(api(github, "/repos/acme/private/releases").json[0]["assets"]) == 3
        path = f"/repos/acme/private/releases/{release.id}/assets"
        assert len(api(github, path).json) == 30
        names: list[str] = []
        url: str | None = f"{path}?per_page=100"
        relations = []
        while url:
            reply = api(github, url)
            names += [asset["name"] for asset in reply.json]
            links = {rel: link for link, rel in re.findall(r'<([^>]+)>; rel="(\w+)"', reply.headers["link"])}
            relations.append(set(links))
            assert all(link.startswith(f"{github.api}/repositories/{private.id}/") for link in links.values())
            url = links["next"].removeprefix(github.api) if "next" in links else None
        assert names == [f"a{n}" for n in range(250)]
        assert relations == [{"next", "last"}, {"prev", "next", "first", "last"}, {"prev", "first"}]

    def test_one_page_has_no_link(self, github: StandIn, private: Repository) -> None:
        """What fits one page has no Link header, a page past the end is empty, and `per_page` is 100 at most."""
        path = f"/repos/acme/private/releases/{private.releases[0].id}/assets"
        assert "link" not in api(github, path).headers
        assert api(github, f"{path}?page=9").json == []
        private.releases[0].assets = [Asset(f"a{n}") for n in range(101)]
        assert len(api(github, f"{path}?per_page=1000").json) == 100
        assert len(api(github, f"{path}?per_page=nonsense&page=-1").json) == 30

    def test_rename(self, github: StandIn, private: Repository, wheel: Asset) -> None:
        """A renamed repository is 301 to `/repositories/ID/…` with the rest unchanged, for those who may know."""
        private.rename("new-owner/new")
        reply = api(github, "/repos/acme/private/releases/tags/a%2Fb?x=1")
        base = f"{github.api}/repositories/{private.id}"
        assert (reply.status, reply.location) == (301, f"{base}/releases/tags/a%2Fb?x=1")
        location = api(github, "/repos/acme/private/releases/tags/v1.0").location
        release = api(github, location.removeprefix(github.api)).json
        assert release["assets"][0]["url"] == f"{github.api}/repos/new-owner/new/releases/assets/{wheel.id}"
        assert api(github, "/repos/acme/private", token=None).status == 404

    def test_etag(self, github: StandIn, private: Repository) -> None:
        """A matching If-None-Match is 304 without a body, until something changes."""
        path = "/repos/acme/private/releases/tags/v1.0"
        etag = api(github, path).headers["etag"]
        for condition in (etag, etag.removeprefix("W/"), f'"other", {etag}', "*"):
            reply = api(github, path, if_none_match=condition)
            assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", etag)
        assert api(github, path, if_none_match='"other"').status == 200
        private.releases[0].assets.append(Asset("new"))
        assert api(github, path, if_none_match=etag).status == 200

    def test_head_has_no_body(self, github: StandIn) -> None:
        """HEAD has GET's headers and no body."""
        head = api(github, "/repos/acme/private", "HEAD")
        get = api(github, "/repos/acme/private")
        assert (head.status, head.body, head.headers["etag"]) == (200, b"", get.headers["etag"])
        assert head.headers["content-length"] == str(len(get.body))


class TestCredentials:
    @pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "token {}", "Basic"])
    def test_forms(self, github: StandIn, form: str) -> None:
        """The token is taken as `Bearer`, as `token`, or as the password of Basic."""
        basic = "Basic " + base64.b64encode(f"anyone:{github.token}".encode()).decode()
        header = basic if form == "Basic" else form.format(github.token)
        assert ask(github, f"{github.api}/repos/acme/private", headers={"authorization": header}).status == 200

    @pytest.mark.parametrize("header", ["Bearer wrong", "Bearer", "", "Basic wrong!", "Basic /w==", "Bearer  "])
    def test_bad_credentials(self, github: StandIn, header: str) -> None:
        """Anything else is 401, even for what everybody may read."""
        reply = ask(github, f"{github.api}/repos/acme/public", headers={"authorization": header})
        assert (reply.status, reply.json["message"]) == (401, "Bad credentials")

    def test_no_token(self, github: StandIn) -> None:
        """Without a token a private repository is 404, and a public one is there."""
        assert api(github, "/repos/acme/private", token=None).status == 404
        assert api(github, "/repos/acme/public", token=None).status == 200

    @pytest.mark.parametrize(
        "token", [Token("t", {"acme/other"}), Token("t", set(), kind="fine-grained"), Token("t", scopes=("gist",))]
    )
    def test_no_access(self, github: StandIn, wheel: Asset, token: Token) -> None:
        """A token without the repository, or without the scope, gets 404 for release and asset."""
        github.tokens.append(token)
        assert api(github, "/repos/acme/private/releases/tags/v1.0", token="t").status == 404
        assert signed(github, wheel, "t").status == 404
        assert api(github, "/repos/acme/public", token="t").status == 200

    def test_access_by_name(self, github: StandIn, private: Repository) -> None:
        """A token for one repository reads it in any case, and after a rename."""
        github.tokens.append(Token("t", {"Acme/Private"}, kind="fine-grained"))
        assert api(github, "/repos/acme/private", token="t").status == 200
        private.rename("acme/new")
        assert api(github, "/repos/acme/new", token="t").status == 200

    def test_missing_permission(self, github: StandIn) -> None:
        """Without `contents: read` a private repository is 403, and the header says what would be accepted."""
        github.tokens += [
            Token("f", kind="fine-grained", contents=False),
            Token("i", kind="installation", contents=False),
        ]
        for token, what in (("f", "personal access token"), ("i", "integration")):
            reply = api(github, "/repos/acme/private", token=token)
            assert (reply.status, reply.json["message"]) == (403, f"Resource not accessible by {what}")
            assert reply.headers["x-accepted-github-permissions"] == "contents=read"

    def test_lockout(self, private: Repository) -> None:
        """After several bad tokens every login is 403 for a while, the good one too; nobody else is."""
        now = time.time()
        with StandIn([private], max_bad_logins=3, clock=lambda: now) as github:
            assert [api(github, "/user", token="bad").status for _ in range(5)] == [401, 401, 401, 403, 403]
            reply = api(github, "/user")
            assert (reply.status, "login attempts exceeded" in reply.json["message"]) == (403, True)
            assert api(github, "/rate_limit", token=None).status == 200
            now += 301
            assert api(github, "/user").status == 200

    def test_expiry(self, github: StandIn) -> None:
        """An expired token is a bad one; one that will expire says when, in either form of the date."""
        soon = datetime(2099, 8, 1, 12, tzinfo=UTC)
        summer = timezone(timedelta(hours=2))
        github.tokens += [
            Token("old", expires=datetime(2020, 1, 1, tzinfo=UTC)),
            Token("utc", expires=soon),
            Token("offset", expires=soon.astimezone(summer)),
        ]
        name = "github-authentication-token-expiration"
        assert api(github, "/user", token="old").status == 401
        assert api(github, "/user", token="utc").headers[name] == "2099-08-01 12:00:00 UTC"
        assert api(github, "/user", token="offset").headers[name] == "2099-08-01 14:00:00 +0200"
        assert name not in api(github, "/user").headers

    def test_sso(self, github: StandIn) -> None:
        """A token that the organisation has not authorised is 403 with the address that authorises it."""
        github.tokens.append(Token("t", sso="https://github.com/orgs/acme/sso?authorization_request=A"))
        reply = api(github, "/repos/acme/private/releases/tags/v1.0", token="t")
        assert reply.status == 403
        assert reply.headers["x-github-sso"] == "required; url=https://github.com/orgs/acme/sso?authorization_request=A"

    def test_ip_allow_list(self, github: StandIn) -> None:
        """Outside the organisation's IP allow list the answer is 403 with GitHub's message."""
        github.tokens.append(Token("t", ip_allowed=False))
        reply = api(github, "/repos/acme/private", token="t")
        assert (reply.status, "`acme` organization has an IP allow list" in reply.json["message"]) == (403, True)

    def test_identity_headers(self, github: StandIn) -> None:
        """An answer to a classic token has its scopes; one to nobody has neither scopes nor permissions."""
        headers = api(github, "/repos/acme/private").headers
        assert headers["x-oauth-scopes"] == "repo"
        assert headers["x-accepted-github-permissions"] == "contents=read"
        assert {"x-github-request-id", "x-github-media-type", "x-github-api-version-selected"} <= headers.keys()
        nobody = api(github, "/repos/acme/public", token=None).headers
        assert not {"x-oauth-scopes", "x-accepted-github-permissions"} & nobody.keys()


class TestBudget:
    def test_each_call_costs_one(self, github: StandIn, wheel: Asset) -> None:
        """A lookup costs one, an asset's 302 costs one, a 404 costs one, and asking for the budget costs nothing."""
        before = int(api(github, "/rate_limit").headers["x-ratelimit-remaining"])
        api(github, "/repos/acme/private/releases/tags/v1.0")
        signed(github, wheel)
        api(github, "/repos/acme/nothing")
        api(github, "/rate_limit", if_none_match="*")
        reply = api(github, "/rate_limit")
        assert before - int(reply.headers["x-ratelimit-remaining"]) == 3
        assert reply.headers["x-ratelimit-limit"] == "5000"
        assert reply.headers["x-ratelimit-resource"] == "core"
        assert reply.json["resources"]["core"]["used"] == int(reply.headers["x-ratelimit-used"]) == 3
        assert int(reply.headers["x-ratelimit-reset"]) > time.time()

    def test_304_is_free_when_authorised(self, github: StandIn) -> None:
        """A 304 costs an authorised client nothing, and an anonymous one a unit."""
        etag = api(github, "/repos/acme/public").headers["etag"]
        api(github, "/repos/acme/public", token=None)
        for token, cost in (("", 0), (None, 1)):
            before = int(api(github, "/rate_limit", token=token).headers["x-ratelimit-used"])
            assert api(github, "/repos/acme/public", token=token, if_none_match="*").status == 304
            assert int(api(github, "/rate_limit", token=token).headers["x-ratelimit-used"]) - before == cost
        assert etag.startswith("W/")

    @pytest.mark.parametrize("status", [403, 429])
    def test_over_the_budget(self, private: Repository, status: Any) -> None:
        """Over the budget: 403, or 429, with nothing remaining; other tokens are not touched; an hour mends it."""
        now = time.time()
        tokens = [Token("spent", limit=2), Token("fresh")]
        with StandIn([private], tokens, over_limit_status=status, clock=lambda: now) as github:
            assert [api(github, "/user").status for _ in range(3)] == [200, 200, status]
            reply = api(github, "/user")
            assert (reply.status, reply.headers["x-ratelimit-remaining"]) == (status, "0")
            assert "rate limit exceeded" in reply.json["message"]
            assert int(reply.headers["x-ratelimit-reset"]) == int(now) + 3600
            assert api(github, "/user", token="fresh").status == 200
            assert api(github, "/rate_limit").status == 200
            now += 3600
            assert api(github, "/user").headers["x-ratelimit-remaining"] == "1"

    def test_exhausted_by_a_test(self, github: StandIn) -> None:
        """`used` may be set by hand, of a token as of everybody without one, whose budget is 60."""
        github.tokens[0].used = github.tokens[0].limit
        assert api(github, "/repos/acme/private").status == 403
        assert api(github, "/repos/acme/public", token=None).headers["x-ratelimit-limit"] == "60"
        github.anonymous.used = 60
        assert api(github, "/repos/acme/public", token=None).status == 403

    @pytest.mark.parametrize("status", [403, 429])
    def test_secondary_limit(self, github: StandIn, status: int) -> None:
        """The secondary limit says how long to wait."""
        github.faults.append(Fault.secondary_limit(seconds=7, status=status))
        reply = api(github, "/repos/acme/private")
        assert (reply.status, reply.headers["retry-after"]) == (status, "7")
        assert "secondary rate limit" in reply.json["message"]

    def test_no_unit_is_lost_between_threads(self, github: StandIn) -> None:
        """Concurrent calls are all charged, and none is over-charged."""
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda _: api(github, "/user"), range(60)))
        assert github.tokens[0].used == 60


class TestSignedUrls:
    def test_302_to_a_sigv4_url(self, github: StandIn, wheel: Asset) -> None:
        """With credentials an asset is a 302 to a SigV4-like URL at the asset host, good for 300 s."""
        reply = signed(github, wheel)
        assert reply.status == 302
        assert urlsplit(reply.location).netloc == github.asset_host
        assert reply.query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
        assert reply.query["X-Amz-Expires"] == "300"
        assert reply.query["X-Amz-SignedHeaders"] == "host"
        assert {"X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature"} <= reply.query.keys()
        assert reply.query["response-content-disposition"] == f"attachment; filename={wheel.name}"
        assert reply.query["response-content-type"] == "application/zip"
        download = ask(github, reply.location)
        assert (download.status, download.body) == (200, WHEEL)
        assert download.headers["content-type"] == "application/zip"
        assert download.headers["content-disposition"] == f"attachment; filename={wheel.name}"

    def test_302_without_credentials_is_sas(self, github: StandIn, open_wheel: Asset) -> None:
        """Without credentials the API too gives the SAS-like URL."""
        reply = signed(github, open_wheel, None)
        assert "jwt" in reply.query
        assert ask(github, reply.location, "HEAD").status == 200

    def test_accept_decides(self, github: StandIn, wheel: Asset) -> None:
        """Without `Accept: application/octet-stream` the asset's URL gives JSON."""
        reply = api(github, f"/repos/acme/private/releases/assets/{wheel.id}", accept="application/json")
        assert (reply.status, reply.json["id"]) == (200, wheel.id)

    def test_head_trap(self, github: StandIn, wheel: Asset) -> None:
        """The API's 302 answers HEAD too, but HEAD on the SigV4-like URL is 401, for it signs GET."""
        path = f"/repos/acme/private/releases/assets/{wheel.id}"
        location = api(github, path, "HEAD", **OCTETS).location
        assert ask(github, location, "HEAD").status == 401
        assert ask(github, location, headers={"range": "bytes=0-0"}).status == 206

    @pytest.mark.parametrize("token", ["", None])
    def test_authorization_is_refused(
        self, github: StandIn, wheel: Asset, open_wheel: Asset, token: str | None
    ) -> None:
        """An Authorization header on a signed URL of either kind is 400, on GET and on HEAD."""
        location = signed(github, open_wheel if token is None else wheel, token).location
        for method in ("GET", "HEAD"):
            reply = ask(github, location, method, {"authorization": f"Bearer {github.token}"})
            assert reply.status == 400
        assert b"Only one auth mechanism allowed" in ask(github, location, headers={"authorization": "x"}).body

    @pytest.mark.parametrize("token", ["", None])
    def test_tampering(self, github: StandIn, wheel: Asset, open_wheel: Asset, token: str | None) -> None:
        """A signed URL of which anything was changed is 403, and so is one without a signature."""
        asset = open_wheel if token is None else wheel
        url = signed(github, asset, token).location
        name = "sig" if token is None else "X-Amz-Signature"
        bent = [
            re.sub(rf"{name}=..", f"{name}=zz", url),
            re.sub(rf"{name}=[^&]+", f"{name}=", url),
            url + "&extra=1",
            url.replace("attachment", "inline"),
            url.replace("0000-", "0001-", 1),
            re.sub(r"(X-Amz-Date|se)=2", r"\1=3", url),
            url.split("?")[0],
        ]
        assert [ask(github, changed).status for changed in bent] == [403] * len(bent)
        assert ask(github, url).status == 200

    def test_the_host_is_signed(self, github: StandIn, wheel: Asset) -> None:
        """A signed URL is good for the host that it names."""
        reply = ask(github, signed(github, wheel).location, headers={"host": "elsewhere.test"})
        assert (reply.status, b"SignatureDoesNotMatch" in reply.body) == (403, True)

    def test_reencoding_keeps_the_signature(self, github: StandIn, wheel: Asset) -> None:
        """A client that encodes the same query another way has the same URL."""
        assert (
            ask(github, signed(github, wheel).location.replace("%20", "+").replace("-Amz-", "%2DAmz%2D")).status == 200
        )

    @pytest.mark.parametrize("token", ["", None])
    def test_lifetime(self, private: Repository, public: Repository, token: str | None) -> None:
        """A signed URL lives for the configured seconds by the stand-in's clock, then is 403."""
        now = float(int(time.time()))
        with StandIn([private, public], clock=lambda: now, signed_lifetime=10) as github:
            url = signed(github, (public if token is None else private).releases[0].assets[0], token).location
            now += 9
            assert ask(github, url).status == 200
            now += 1
            reply = ask(github, url)
            assert (reply.status, b"expired" in reply.body) == (403, True)

    @pytest.mark.parametrize("token", ["", None])
    def test_expire_signed_urls(self, github: StandIn, wheel: Asset, open_wheel: Asset, token: str | None) -> None:
        """What was given out before `expire_signed_urls` is 403; what is given out after it is good."""
        asset = open_wheel if token is None else wheel
        old = signed(github, asset, token).location
        github.expire_signed_urls()
        assert ask(github, old).status == 403
        assert ask(github, signed(github, asset, token).location).status == 200

    def test_deleted_assets(self, github: StandIn, private: Repository, wheel: Asset) -> None:
        """The signed URL of a deleted asset is 404."""
        url = signed(github, wheel).location
        private.releases[0].assets.clear()
        assert ask(github, url).status == 404

    def test_writing_is_refused(self, github: StandIn, open_wheel: Asset) -> None:
        """A SAS-like URL is for reading."""
        assert ask(github, signed(github, open_wheel, None).location, "PUT", body=b"x").status == 405

    @pytest.mark.parametrize("state", ["starter", "open"])
    def test_unfinished_uploads(self, github: StandIn, private: Repository, state: Any) -> None:
        """An asset that is not uploaded yet is listed with its state and cannot be downloaded."""
        asset = Asset("half.whl", state=state)
        private.releases[0].assets.append(asset)
        listed = api(github, "/repos/acme/private/releases/tags/v1.0").json["assets"][1]
        assert listed["state"] == state
        assert signed(github, asset).status == 404

    @pytest.mark.parametrize("ranges", [True, False])
    def test_streaming_api(self, github: StandIn, wheel: Asset, ranges: bool) -> None:
        """`stream_assets` answers 200 with the bytes in place, and honours ranges only when told to."""
        github.stream_assets, github.stream_ranges = True, ranges
        reply = signed(github, wheel)
        assert (reply.status, reply.body) == (200, WHEEL)
        path = f"/repos/acme/private/releases/assets/{wheel.id}"
        part = api(github, path, range="bytes=0-3", **OCTETS)
        assert (part.status, part.body) == ((206, WHEEL[:4]) if ranges else (200, WHEEL))
        assert ("accept-ranges" in part.headers) is ranges


class TestContent:
    @pytest.fixture
    def url(self, github: StandIn, wheel: Asset) -> str:
        return signed(github, wheel).location

    @pytest.mark.parametrize(
        ("asked", "span"),
        [
            ("bytes=0-0", (0, 1)),
            ("bytes=10-19", (10, 20)),
            ("bytes=12990-", (12990, 13000)),
            ("bytes=-5", (12995, 13000)),
            ("bytes=-99999", (0, 13000)),
            ("bytes=0-99999", (0, 13000)),
        ],
    )
    def test_ranges(self, github: StandIn, url: str, asked: str, span: tuple[int, int]) -> None:
        """A range is a 206 with just those bytes, and the log counts just those."""
        start, stop = span
        reply = ask(github, url, headers={"range": asked})
        assert (reply.status, reply.body) == (206, WHEEL[start:stop])
        assert reply.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(WHEEL)}"
        assert reply.headers["content-length"] == str(stop - start)
        assert github.calls("asset")[-1].bytes_sent == stop - start

    @pytest.mark.parametrize("asked", ["bytes=13000-", "bytes=99999-999999", "bytes=-0"])
    def test_unsatisfiable_ranges(self, github: StandIn, url: str, asked: str) -> None:
        """A range past the end is 416 with the true size."""
        reply = ask(github, url, headers={"range": asked})
        assert (reply.status, reply.headers["content-range"]) == (416, f"bytes */{len(WHEEL)}")

    @pytest.mark.parametrize("asked", ["bytes=0-1,4-5", "lines=0-1", "bytes=x-y", "bytes=-", "bytes=5-2"])
    def test_ignored_ranges(self, github: StandIn, url: str, asked: str) -> None:
        """Several ranges, unknown units and malformed ranges give the whole file."""
        reply = ask(github, url, headers={"range": asked})
        assert (reply.status, reply.body) == (200, WHEEL)

    def test_head_ignores_range(self, github: StandIn, open_wheel: Asset) -> None:
        """Range is defined for GET: HEAD gives the whole size."""
        reply = ask(github, signed(github, open_wheel, None).location, "HEAD", {"range": "bytes=0-0"})
        assert (reply.status, reply.headers["content-length"]) == (200, str(len(WHEEL)))

    def test_validators_agree(self, github: StandIn, url: str, open_wheel: Asset) -> None:
        """Full answer and range carry the same strong ETag and Last-Modified, and HEAD those of its GET."""
        full, part = ask(github, url), ask(github, url, headers={"range": "bytes=0-0"})
        for name in ("etag", "last-modified", "accept-ranges", "content-type"):
            assert full.headers[name] == part.headers[name]
        assert full.headers["etag"].startswith('"')
        assert full.headers["accept-ranges"] == "bytes"
        sas = signed(github, open_wheel, None).location
        assert ask(github, sas).headers["etag"] == ask(github, sas, "HEAD").headers["etag"]

    def test_conditions(self, github: StandIn, url: str) -> None:
        """If-None-Match and If-Modified-Since give 304; the first outranks the second."""
        full = ask(github, url).headers
        etag, date = full["etag"], full["last-modified"]
        old = "Thu, 01 Jan 2015 00:00:00 GMT"
        conditions: list[tuple[dict[str, str], int]] = [
            ({"if-none-match": etag}, 304),
            ({"if-none-match": f"W/{etag}"}, 304),
            ({"if-none-match": "*"}, 304),
            ({"if-none-match": '"other"'}, 200),
            ({"if-modified-since": date}, 304),
            ({"if-modified-since": date.replace("GMT", "-0000")}, 304),
            ({"if-modified-since": old}, 200),
            ({"if-modified-since": "nonsense"}, 200),
            ({"if-modified-since": date, "if-none-match": '"other"'}, 200),
            ({"if-modified-since": old, "if-none-match": etag}, 304),
        ]
        for headers, status in conditions:
            reply = ask(github, url, headers=headers)
            assert (headers, reply.status, reply.body) == (headers, status, WHEEL if status == 200 else b"")

    def test_if_range(self, github: StandIn, url: str) -> None:
        """A range applies while If-Range's validator is strong and current; otherwise the whole file comes."""
        full = ask(github, url).headers
        for condition, status in (
            (full["etag"], 206),
            (full["last-modified"], 206),
            (f"W/{full['etag']}", 200),
            ('"other"', 200),
            ("Thu, 01 Jan 2015 00:00:00 GMT", 200),
        ):
            assert ask(github, url, headers={"range": "bytes=0-0", "if-range": condition}).status == status

    def test_reuploads_have_other_validators(self, github: StandIn, private: Repository, url: str) -> None:
        """An asset that replaces another of the same name and bytes has another ETag; the old URL is 404."""
        etag = ask(github, url).headers["etag"]
        private.releases[0].assets[0] = Asset("pkg-1.0-py3-none-any.whl", WHEEL)
        new = signed(github, private.releases[0].assets[0]).location
        assert ask(github, new).headers["etag"] != etag
        assert ask(github, url).status == 404

    def test_files(self, github: StandIn, private: Repository, tmp_path: Path) -> None:
        """A `Path` is served from disk, whole and in part, with its digest."""
        content = os.urandom(600_000)
        (tmp_path / "f").write_bytes(content)
        asset = Asset("f", tmp_path / "f")
        private.releases[0].assets.append(asset)
        url = signed(github, asset).location
        assert ask(github, url).body == content
        assert ask(github, url, headers={"range": "bytes=299999-599998"}).body == content[299_999:599_999]
        assert asset.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"

    def test_empty_assets(self, github: StandIn, private: Repository) -> None:
        """An empty asset is an empty 200, and no range of it can be had."""
        asset = Asset("empty")
        private.releases[0].assets.append(asset)
        url = signed(github, asset).location
        assert (ask(github, url).status, ask(github, url).body) == (200, b"")
        assert ask(github, url, headers={"range": "bytes=0-"}).status == 416

    @pytest.mark.parametrize("where", ["asset", "web"])
    def test_gigabytes_take_no_memory(self, github: StandIn, private: Repository, where: str) -> None:
        """A synthetic body is streamed: its size is not seen in the memory, and every byte is counted."""
        size = 300_000_001
        asset = Asset("big", Zeros(size))
        private.releases[0].assets.append(asset)
        url = signed(github, asset).location if where == "asset" else f"https://{github.web}/any/page/big/{size}"
        parts = urlsplit(url)
        connection = connect(github, parts.netloc)
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        buffer = bytearray(1 << 20)
        received = 0
        tracemalloc.start()
        while count := answer.readinto(buffer):
            received += count
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        connection.close()
        assert (received, github.requests[-1].bytes_sent) == (size, size)
        assert peak < 4_000_000
        assert asset.digest is None


class TestRealNames:
    def test_certificate(self, github: StandIn) -> None:
        """The certificate is good for all the real names, for no other, and only to who trusts the CA."""
        port = int(github.web.rpartition(":")[2])
        for context, name, good in [
            *((ssl.create_default_context(cadata=github.ca_pem), name, True) for name in REAL_NAMES),
            (ssl.create_default_context(cadata=github.ca_pem), "127.0.0.1", True),
            (ssl.create_default_context(cadata=github.ca_pem), "evil.test", False),
            (ssl.create_default_context(cadata=github.ca_pem), "other.ghe.com", False),
            (ssl.create_default_context(), "github.com", False),
        ]:
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            context.set_alpn_protocols(["h2", "http/1.1"])
            with socket.create_connection(("127.0.0.1", port)) as raw:
                if good:
                    with context.wrap_socket(raw, server_hostname=name) as connection:
                        assert connection.selected_alpn_protocol() == "http/1.1"
                else:
                    with pytest.raises(ssl.SSLCertVerificationError):
                        context.wrap_socket(raw, server_hostname=name)

    @pytest.mark.parametrize(("web", "host"), [("github.com", "api.github.com"), ("acme.ghe.com", "api.acme.ghe.com")])
    def test_host_header(self, github: StandIn, private: Repository, wheel: Asset, web: str, host: str) -> None:
        """Under an API's own name it has no prefix, and its URLs are of that name's family."""
        headers = {"host": host, "authorization": f"Bearer {github.token}"}
        release = ask(github, f"https://{github.web}/repos/acme/private/releases/tags/v1.0", headers=headers).json
        [asset] = release["assets"]
        assert asset["url"] == f"https://{host}/repos/acme/private/releases/assets/{wheel.id}"
        assert asset["browser_download_url"].startswith(f"https://{web}/acme/private/releases/download/")
        assert ask(github, f"{github.api}/repos/acme/private", headers=headers).status == 404
        private.rename("acme/new")
        moved = ask(github, f"https://{github.web}/repos/acme/private", headers=headers)
        assert moved.location == f"https://{host}/repositories/{private.id}"
        assert github.calls("api")[0].host == host

    @pytest.mark.parametrize("host", ["github.com", "acme.ghe.com"])
    def test_web_names(self, github: StandIn, host: str) -> None:
        """Under a web host's own name the web is the web, also below `/api/v3`, and redirects stay on it."""
        headers = {"host": host}
        latest = ask(github, f"https://{github.web}/acme/public/releases/latest/download/x", headers=headers)
        assert latest.location == f"https://{host}/acme/public/releases/download/v1.0/x"
        assert ask(github, f"{github.api}/repos/acme/public", headers=headers).status == 404
        assert {r.role for r in github.requests} == {"web"}

    @pytest.mark.parametrize("names", [GITHUB, TENANT])
    @pytest.mark.parametrize("token", ["", None])
    def test_signed_urls(
        self, github: StandIn, wheel: Asset, open_wheel: Asset, names: Names, token: str | None
    ) -> None:
        """In each family `objects.` is for credentials and `release-assets.` for nobody; any port serves them."""
        repository, asset = ("public", open_wheel) if token is None else ("private", wheel)
        headers = {"host": names.api, **OCTETS}
        if token is not None:
            headers["authorization"] = f"Bearer {github.token}"
        path = f"/repos/acme/{repository}/releases/assets/{asset.id}"
        parts = urlsplit(ask(github, f"https://{github.web}{path}", headers=headers).location)
        assert parts.netloc == (names.public if token is None else names.signed)
        for port in (github.web, github.asset_host):
            url = parts._replace(netloc=port).geturl()
            assert ask(github, url, headers={"host": parts.netloc}).body == WHEEL
            assert ask(github, url).status in (403, 404)

    @pytest.mark.parametrize("names", [GITHUB, TENANT])
    def test_public_downloads(self, github: StandIn, open_wheel: Asset, names: Names) -> None:
        """A public asset's browser URL in a family redirects to the signed URL of that family."""
        path = urlsplit(github.download_url("acme/public", "v1.0", open_wheel.name)).path
        location = ask(github, f"https://{github.web}{path}", headers={"host": names.web}).location
        assert urlsplit(location).netloc == names.public

    def test_download_url(self) -> None:
        """`names` chooses the family that `download_url` is of; without it the URL is on `localhost`."""
        path = "/acme/public/releases/download/v1/a"
        with StandIn() as github:
            assert github.download_url("acme/public", "v1", "a") == f"https://{github.web}{path}"
            for names, host in ((GITHUB, "github.com"), (TENANT, "acme.ghe.com")):
                github.names = names
                assert github.download_url("acme/public", "v1", "a") == f"https://{host}{path}"


class TestFaults:
    def test_status(self, github: StandIn) -> None:
        """A fault answers in the origin's place so many times as it says, and the log has those requests too."""
        github.faults.append(Fault("api", "/user", status=502, headers={"x-odd": "1"}, body=b"<html>", times=2))
        replies = [api(github, "/user") for _ in range(3)]
        assert [reply.status for reply in replies] == [502, 502, 200]
        assert (replies[0].headers["x-odd"], replies[0].body) == ("1", b"<html>")
        assert [call.status for call in github.calls("api")] == [502, 502, 200]
        assert github.faults == []

    @pytest.mark.parametrize(
        "fault", [Fault("web", status=500), Fault("api", "/users", status=500), Fault(method="HEAD", status=500)]
    )
    def test_no_match(self, github: StandIn, fault: Fault) -> None:
        """A fault of another role, another target or another method hits nothing and stays."""
        github.faults.append(fault)
        assert api(github, "/user").status == 200
        assert github.faults == [fault]

    def test_malformed_json(self, github: StandIn) -> None:
        """A malformed answer says 200 and cannot be decoded."""
        github.faults.append(Fault.malformed_json())
        reply = api(github, "/user")
        assert reply.status == 200
        with pytest.raises(json.JSONDecodeError):
            _ = reply.json

    def test_close(self, github: StandIn) -> None:
        """A closed connection has no answer, and status 0 in the log."""
        github.faults.append(Fault(close=True))
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            api(github, "/user")
        assert [call.status for call in github.requests] == [0]

    def test_cut(self, github: StandIn, wheel: Asset) -> None:
        """A cut answer has its true headers and breaks off in the middle."""
        url = signed(github, wheel).location
        github.faults.append(Fault("asset", cut_after=1000))
        with pytest.raises(http.client.IncompleteRead) as caught:
            ask(github, url)
        assert len(caught.value.partial) == github.requests[-1].bytes_sent == 1000

    def test_hang_and_latency(self, github: StandIn) -> None:
        """A hang delays one true answer, latency every one."""
        github.faults.append(Fault(hang=0.3))
        begun = time.monotonic()
        assert api(github, "/user").status == 200
        assert time.monotonic() - begun >= 0.3
        github.latency = 0.2
        begun = time.monotonic()
        assert api(github, "/user").status == 200
        assert time.monotonic() - begun >= 0.2

    def test_leaving_ends_a_hang(self) -> None:
        """A request that hangs holds up nobody's exit, nor does a connection that never shook hands."""
        begun = time.monotonic()
        with StandIn(faults=[Fault(hang=60)]) as github:
            port = int(github.web.rpartition(":")[2])
            idle = socket.create_connection(("127.0.0.1", port))
            hanging = connect(github, github.web)
            hanging.request("GET", "/")
            while not github.requests:
                time.sleep(0.01)
        hanging.close()
        idle.close()
        assert time.monotonic() - begun < 5


class TestLog:
    def test_records(self, github: StandIn) -> None:
        """The log has host, port, method, raw target, lower-case headers, role, status and size of every request."""
        ask(github, f"https://{github.web}/a%2Fb?c=%20", headers={"X-Odd": "1"})
        api(github, "/user")
        [page] = github.calls("web", "GET")
        assert (page.host, page.target, page.headers["x-odd"]) == (github.web, "/a%2Fb?c=%20", "1")
        assert f"localhost:{page.port}" == github.web
        assert (page.status, page.bytes_sent) == (404, 52)
        assert [call.role for call in github.calls()] == ["web", "api"]
        assert (github.calls(method="POST"), github.calls("asset")) == ([], [])
        github.forget()
        assert github.calls() == github.requests == []

    @pytest.mark.parametrize("chunked", [True, False])
    def test_small_bodies_are_kept(self, github: StandIn, chunked: bool) -> None:
        """A request's body is in the log up to 64 KiB; of a larger one only its length."""
        for size in (0, 1, 64 * 1024, 64 * 1024 + 1, 300_000):
            connection = connect(github, github.web)
            body = b"x" * size
            if chunked:
                blocks = (body[at : at + 1000] for at in range(0, size, 1000))
                connection.request("POST", "/x", blocks, {"transfer-encoding": "chunked"}, encode_chunked=True)
            else:
                connection.request("POST", "/x", body)
            connection.getresponse().read()
            connection.close()
            call = github.calls()[-1]
            assert (call.bytes_received, call.body) == (size, body if size <= 64 * 1024 else b"")

    def test_large_uploads_take_no_memory(self, github: StandIn) -> None:
        """An upload is drained: its size is not seen in the memory."""
        connection = connect(github, github.web)
        block = bytes(1 << 20)
        tracemalloc.start()
        connection.request("POST", "/x", (block for _ in range(30)), {"content-length": str(30 << 20)})
        assert connection.getresponse().read() == b"POST of 31457280 bytes\n"
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        connection.close()
        assert peak < 4_000_000
        assert github.requests[-1].body == b""

    def test_head_and_304_send_no_bytes(self, github: StandIn) -> None:
        """Answers without a body are logged with no bytes."""
        api(github, "/user", "HEAD")
        api(github, "/user", if_none_match="*")
        assert [call.bytes_sent for call in github.requests] == [0, 0]

    def test_a_client_that_leaves(self) -> None:
        """Only what was written is counted when the client goes away in the middle."""
        with StandIn() as github:
            connection = connect(github, github.web)
            connection.request("GET", "/big/1000000000")
            with connection.getresponse() as answer:
                # more than one block, so that the first has been written whole
                answer.read(BLOCK + 1)
            connection.close()
            # it is counted when the server meets the closed connection
            eventually(lambda: github.requests[0].bytes_sent > 0)
        assert github.requests[0].bytes_sent < 500_000_000


class TestServer:
    def test_keep_alive(self, github: StandIn) -> None:
        """One connection serves one request after another, of different kinds."""
        connection = connect(github, github.web)
        for path, status in (("/", 404), ("/acme/public", 200), ("/big/5", 200), ("/api/v3/user", 403)):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
        connection.close()
        assert len({call.port for call in github.requests}) == 1

    def test_a_hundred_clients(self, github: StandIn, wheel: Asset) -> None:
        """A hundred clients at once are all served, while a slow one has not even shaken hands."""
        port = int(github.asset_host.rpartition(":")[2])
        url = signed(github, wheel).location
        with socket.create_connection(("127.0.0.1", port)), ThreadPoolExecutor(100) as pool:
            replies = list(pool.map(lambda _: ask(github, url), range(300)))
        assert all(reply.body == WHEEL for reply in replies)
        assert len(github.calls("asset")) == 300

    def test_strangers_do_no_harm(self, github: StandIn, capfd: pytest.CaptureFixture[str]) -> None:
        """Plain HTTP, or a client that distrusts the certificate, ends its own connection and nothing else."""
        port = int(github.web.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                raw.recv(1000)
        assert api(github, "/user").status == 200
        assert capfd.readouterr().err == ""

    def test_files_are_private_and_go(self) -> None:
        """The CA's certificate lies in a folder for this user alone, no key does, and leaving removes it."""
        with StandIn() as github:
            folder = github.ca_file.parent
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert github.ca_file.read_text() == github.ca_pem
            assert list(folder.iterdir()) == [github.ca_file]
        assert not folder.exists()
        with pytest.raises(ConnectionRefusedError):
            connect(github, github.web).connect()
