"""The proxy that a shell has already: how it is read, and what need not go there."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.proxy import mode_specs

from gatepass.errors import GatepassError
from gatepass.forge.hosts import Host
from gatepass.shell import inherited
from gatepass.shell.inherited import Upstream

# ------------------------------------------------------------------- the proxy


@pytest.mark.parametrize(
    ("text", "url", "auth"),
    [
        ("http://proxy.test:3128", "http://proxy.test:3128", None),
        ("https://proxy.test:3129/", "https://proxy.test:3129", None),
        ("HTTP://Proxy.Test", "http://proxy.test:80", None),
        ("https://proxy.test", "https://proxy.test:443", None),
        ("proxy.test:3128", "http://proxy.test:3128", None),
        ("me:secret@proxy.test:3128", "http://proxy.test:3128", "me:secret"),
        ("http://me@proxy.test:3128", "http://proxy.test:3128", "me:"),
        ("http://10.0.0.1:3128", "http://10.0.0.1:3128", None),
        ("http://me:a%40b%3Ac@[::1]:3128", "http://[::1]:3128", "me:a@b:c"),
    ],
)
def test_upstream(text: str, url: str, auth: str | None) -> None:
    """Every form in which a shell names a proxy is understood."""
    assert inherited.upstream({"HTTPS_PROXY": text}) == Upstream(url, auth)


@pytest.mark.parametrize(
    "text",
    [
        "socks5://me:S3CR3T@p:1",
        "ftp://p:1",
        "http://",
        "http://me:S3CR3T@:80",
        "http://p:99999",
        "http://p:x",
        "http://[",
        "http://a..test:80",
        f"http://{'a' * 64}.test:80",
        "http://me:S3CR3T@p%41:80",
        "http://xn--a:80",
    ],
)
def test_upstream_that_is_none(text: str) -> None:
    """What mitmproxy cannot go through is refused, with the variable's name and without the password."""
    with pytest.raises(GatepassError, match=r"^\$all_proxy: expected the URL of an http or https proxy") as error:
        inherited.upstream({"all_proxy": text})
    assert "S3CR3T" not in str(error.value)


@pytest.mark.parametrize("user", [":S3CR3T", ":", "%0A:S3CR3T", "me\udcff:S3CR3T", "me:S3CR3T\udcff"])
def test_upstream_with_a_user_that_is_none(user: str) -> None:
    """A user whom mitmproxy could not tell to the proxy is refused: it would end the command in a traceback."""
    with pytest.raises(GatepassError, match=r"^\$all_proxy: expected a user and a password in UTF-8") as error:
        inherited.upstream({"all_proxy": f"http://{user}@proxy.test:1"})
    assert "S3CR3T" not in str(error.value)


def test_upstream_of_several() -> None:
    """The variable for https wins over that for all, and lower case over upper, as in curl; empty ones are none."""
    names = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    environ = {name: f"http://{number}.test:1" for number, name in enumerate(names)}
    for number, name in enumerate(names):
        assert inherited.upstream(environ) == Upstream(f"http://{number}.test:1", None)
        environ[name] = ""
    assert inherited.upstream(environ) is None
    assert inherited.upstream({"HTTP_PROXY": "http://plain.test:1"}) is None


# mitmproxy takes none with an end of line before the colon, and what it does not take is refused before: see below
users = st.text(st.characters(exclude_characters=":\n", exclude_categories=["Cs"]), min_size=1)
passwords = st.text(st.characters(exclude_categories=["Cs"]))


@given(users, passwords, st.from_regex(r"[a-z][a-z0-9]{0,9}\.test", fullmatch=True), st.integers(1, 65535))
def test_upstream_as_mitmproxy_reads_it(user: str, password: str, name: str, port: int) -> None:
    """Whatever the password, it comes through whole and is in no repr, and mitmproxy's mode knows the proxy."""
    text = f"http://{quote(user, safe='')}:{quote(password, safe='')}@{name}:{port}"
    upstream = inherited.upstream({"HTTPS_PROXY": text})
    assert upstream
    assert upstream.auth == f"{user}:{password}"
    assert repr(upstream) == f"<Upstream http://{name}:{port}>"
    mode = mode_specs.ProxyMode.parse(f"upstream:{upstream.url}")
    assert isinstance(mode, mode_specs.UpstreamMode)
    assert mode.address == (name, port)


@given(st.text(), st.sampled_from(["http", "https", "socks5", "", "x"]))
def test_upstream_never_shows_a_password(text: str, scheme: str) -> None:
    """Whatever is wrong with the URL, what stands before its @ is not told."""
    url = f"{scheme}://me:S3CR3T{text}@proxy.test:1"
    try:
        told = repr(inherited.upstream({"HTTPS_PROXY": url}))
    except GatepassError as error:
        told = str(error)
    assert "S3CR3T" not in told


# -------------------------------------------------------------- plain requests

COMPANY = "http://proxy.test:3128"


@pytest.mark.parametrize(
    ("environ", "name", "carried"),
    [
        ({"HTTPS_PROXY": COMPANY}, "a.test", False),
        ({"HTTPS_PROXY": COMPANY, "http_proxy": ""}, "a.test", False),
        ({"HTTPS_PROXY": COMPANY, "http_proxy": COMPANY}, "a.test", True),
        ({"HTTPS_PROXY": COMPANY, "HTTP_PROXY": COMPANY}, "a.test", True),
        ({"ALL_PROXY": COMPANY}, "a.test", True),
        ({"ALL_PROXY": COMPANY, "NO_PROXY": ".test"}, "a.test", False),
        ({"ALL_PROXY": COMPANY, "no_proxy": "10.0.0.0/8"}, "10.1.2.3", False),
        *(({"ALL_PROXY": COMPANY}, name, False) for name in ("localhost", "a.localhost", "127.0.0.1", "127.1", "::1")),
        *(({"ALL_PROXY": COMPANY}, name, False) for name in ("0.0.0.0", "2130706433")),
        ({"ALL_PROXY": COMPANY}, "notlocalhost", True),
        ({"ALL_PROXY": COMPANY}, "128.0.0.1", True),
    ],
)
def test_plain_requests(environ: dict[str, str], name: str, carried: bool) -> None:
    """A proxy that is for https alone carries no plain request, and no proxy one for this machine."""
    assert inherited.carries_plain(environ, Host(name, 8099)) == carried


# -------------------------------------------------------------------- NO_PROXY

API = Host("api.github.com")


@pytest.mark.parametrize(
    ("entry", "host", "exempts"),
    [
        ("*", API, True),
        ("api.github.com", API, True),
        ("API.GitHub.com", API, True),
        ("github.com", API, True),
        (".github.com", API, True),
        ("*.github.com", API, True),
        ("hub.com", API, False),
        ("github.com", Host("notgithub.com"), False),
        ("uploads.github.com", API, False),
        ("api.github.com:443", API, True),
        ("api.github.com:8443", API, False),
        ("api.github.com:8443", Host("api.github.com", 8443), True),
        ("localhost", Host("localhost", 8443), True),
        ("10.0.0.0/8", Host("10.1.2.3"), True),
        ("10.0.0.0/8", Host("11.1.2.3"), False),
        ("10.1.2.3", Host("10.1.2.3"), True),
        ("10.0.0.0/8", API, False),
        ("::1", Host("10.1.2.3"), False),
        (".", API, False),
        ("", API, False),
    ],
)
def test_no_proxy(entry: str, host: Host, exempts: bool) -> None:
    """NO_PROXY means what curl, requests and Go agree on; the entry itself is told."""
    expected = entry if exempts else None
    assert inherited.exempting({"NO_PROXY": f"other.test, {entry} ,third.test"}, host) == expected
    assert inherited.exempting({"no_proxy": entry, "NO_PROXY": "other.test"}, host) == expected


labels = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)


@given(labels, labels, labels)
def test_no_proxy_is_about_whole_labels(one: str, two: str, three: str) -> None:
    """A name exempts itself and what is below it, and never one that merely ends alike."""
    parent = f"{two}.{three}"
    for entry in (parent, f".{parent}"):
        assert inherited.exempting({"NO_PROXY": entry}, Host(f"{one}.{parent}")) == entry
        assert inherited.exempting({"NO_PROXY": entry}, Host(f"{one}{parent}")) is None
    assert inherited.exempting({"NO_PROXY": f"{one}.{parent}"}, Host(parent)) is None
