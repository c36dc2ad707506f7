"""The debug bundle: it tells all, and no secret."""

from __future__ import annotations

import base64
import re
import stat
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepass.demo.standin import DEFAULT_TOKEN, Fault
from gatepass.errors import GatepassError
from gatepass.explain import report
from gatepass.redaction import redact
from harness import BIN, Client

if TYPE_CHECKING:
    from pathlib import Path

    from gatepass.demo.standin import StandIn
    from harness import Proxy

OPAQUE = 'correct/horse+battery"staple='
"""A secret of no known form, with characters that encodings change."""

SECRETS = {
    "classic": "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "fine-grained": "github_pat_11ABCDEFG0abcdefghijkl_ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "oauth": "gho_0123456789abcdefghijABCDEFGHIJ012345",
    "app": "ghs_0123456789abcdefghijABCDEFGHIJ012345",
    "basic": base64.b64encode(b"x-access-token:hunter2hunter2").decode(),
    "bearer": "opaque-bearer-value.0123456789",
    "cookie": "cookievalue0123456789",
    "set-cookie": "setcookievalue0123456789",
    "amz signature": "deadbeef" * 8,
    "amz credential": "AKIASTANDINX",
    "sas": "c2lnbmF0dXJlc2lnbmF0dXJl",
    "jwt": "eyJ0eXAiOiJKV1Qi.eyJpc3MiOiJnaXRodWIi.c2lnbmF0dXJl",
    "proxy password": "swordfish-swordfish",
    "opaque": OPAQUE,
}

SEEDED = f"""\
authorization: Bearer {SECRETS["bearer"]}
Authorization: Basic {SECRETS["basic"]}
proxy-authorization: Basic {SECRETS["basic"]}
cookie: user_session={SECRETS["cookie"]}; logged_in=yes
set-cookie: _gh_sess={SECRETS["set-cookie"]}; path=/; secure
{{"Authorization": "Bearer {SECRETS["bearer"]}", "cookie": "a={SECRETS["cookie"]}"}}
location: https://o.example/p/1?X-Amz-Credential={SECRETS["amz credential"]}%2F2026&x=1
location: https://o.example/p/1?response=a&X-Amz-Signature={SECRETS["amz signature"]}
link: <https://o.example/p/1?page=2&sig={SECRETS["sas"]}>; rel="next"
the token was {SECRETS["classic"]}, then {SECRETS["fine-grained"]}, then ({SECRETS["oauth"]})
GH_TOKEN={SECRETS["app"]}
https://r.example/a?se=2026&jwt={SECRETS["jwt"]}#x
nested=https%3A%2F%2Fr.example%2Fa%3Fsig%3D{SECRETS["sas"]}
jwt={SECRETS["jwt"]} and alone {SECRETS["jwt"]}
HTTPS_PROXY=http://me:{SECRETS["proxy password"]}@proxy.example:3128
https_proxy=me:{SECRETS["proxy password"]}@proxy.example:3128
X-Secret-Header: {SECRETS["opaque"]}
match: a.example/{SECRETS["opaque"]}/{quote(OPAQUE)}/{quote(OPAQUE, safe="")}/{quote(OPAQUE, safe="").lower()}
x: {base64.b64encode(OPAQUE.encode()).decode()} {OPAQUE.encode().hex()}
y: {base64.urlsafe_b64encode(f"u:{OPAQUE}:x".encode()).decode()}
"""


def forms(secret: str) -> set[str]:
    """What of a secret must not be seen: itself, and its encodings."""
    raw = secret.encode()
    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        raw.hex(),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }


@pytest.mark.parametrize("kind", SECRETS)
def test_redact(kind: str) -> None:
    """A secret of any known shape is gone from headers, URLs, rules and environment, and so is one that is named."""
    cleared = redact(SEEDED, [OPAQUE])
    for form in forms(SECRETS[kind]):
        assert form not in cleared


def test_redact_leaves_the_rest() -> None:
    """What is no secret stays: names of headers and parameters, hosts, paths, pages, prose."""
    cleared = redact(SEEDED, [OPAQUE])
    for part in (
        "https://o.example/p/1?X-Amz-Credential=[removed]",
        "page=2",
        "authorization: [removed]",
        'rel="next"',
        "HTTPS_PROXY=http://[removed]@proxy.example:3128",
        "the token was [removed], then [removed]",
    ):
        assert part in cleared
    plain = (
        "ok    credential  `github` from env:GH_TOKEN: classic personal access token, fingerprint 1baf6a28\n"
        "GET https://api.github.com/repos/O/R/releases/1/assets?per_page=100&page=1\n"
        'etag: W/"0123456789abcdef"\nbad credential: api.github.com does not accept the token from `env:GH_TOKEN`\n'
    )
    assert redact(plain) == plain


@settings(deadline=None)  # the first of all calls compiles patterns
@given(
    secret=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=60),
    before=st.binary(max_size=5),
    after=st.binary(max_size=5),
)
def test_redact_finds_a_known_secret(secret: str, before: bytes, after: bytes) -> None:
    """A secret that is known is found as it is, percent-encoded, and in base64 wherever it begins."""
    hidden = f"~{secret}~{quote(secret, safe='')}~"
    assert redact(f"<{hidden}>", [secret]).count("[removed]") >= 1
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(before + secret.encode() + after).decode()
        cleared = redact(f"<{encoded}>", [secret])
        start = -(-len(before) * 8 // 6)
        assert encoded[start : start + len(secret)] not in cleared
    assert quote(secret, safe="") not in redact(hidden, [secret]).replace("[removed]", "")


@given(st.text())
def test_redact_is_idempotent(text: str) -> None:
    """What is cleared stays as it is."""
    once = redact(text)
    assert redact(once) == once


# ---------------------------------------------------------------------- the file


@pytest.fixture
def home(tmp_path: Path, rules: Path) -> Path:
    # a literal secret in a header, which the rules allow and nobody should write
    text = rules.read_text().replace('X-Token: "token', f'X-Other: "{SECRETS["bearer"]}"\n      X-Token: "token')
    (tmp_path / "rules.yaml").write_text(text)
    return tmp_path


def explain(
    home: Path, github: StandIn, *arguments: str, token: str = DEFAULT_TOKEN, **extra: str
) -> subprocess.CompletedProcess[str]:
    variables = {"SSL_CERT_FILE": str(github.ca_file), "STANDIN_TOKEN": token, "GATEPASS_RULES": "rules.yaml"}
    env = Client(home, variables).env | extra
    return subprocess.run(
        [BIN / "gatepass", "explain", *arguments], env=env, cwd=home, capture_output=True, text=True, check=False
    )


def test_report(home: Path, github: StandIn, wheel_url: str, proxy: Proxy) -> None:
    """A report holds versions, rules, steps and exchanges; its owner alone may read it; no secret is in it."""
    done = explain(home, github, "--report", "report.md", wheel_url, **proxy.variables())
    assert done.returncode == 0, done.stderr
    file = home / "report.md"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text(encoding="utf-8")
    for part in ("# Gatepass report", "gatepass 0.", "mitmproxy 12", "httpx2 ", "Python 3.", "## Rules", "sets X-Other",
                 "ok    rule", "GET https://", "authorization: [removed]", "X-Amz-Signature=[removed]",
                 "x-ratelimit-remaining: ", "HEAD https://"):  # fmt: skip
        assert part in text
    assert DEFAULT_TOKEN not in text
    assert SECRETS["bearer"] not in text
    assert not re.search(r"X-Amz-Signature=(?!\[removed\])", text)


def test_report_holds_no_secret(home: Path, github: StandIn, wheel_url: str) -> None:
    """Secrets of a dozen shapes in answers, URL, rules and environment: none is in the file or the output."""
    headers = {
        "location": f"https://o.example/p?X-Amz-Credential={SECRETS['amz credential']}"
        f"&X-Amz-Signature={SECRETS['amz signature']}&sig={SECRETS['sas']}&jwt={SECRETS['jwt']}",
        "set-cookie": f"_gh_sess={SECRETS['set-cookie']}; path=/",
        "cookie": SECRETS["cookie"],
        "authorization": f"Bearer {SECRETS['bearer']}",
        "proxy-authorization": f"Basic {SECRETS['basic']}",
        "x-echo": f"{SECRETS['classic']} {SECRETS['fine-grained']} {SECRETS['oauth']} {SECRETS['app']}",
        "x-mirror": f"{OPAQUE} {quote(OPAQUE, safe='')} {base64.b64encode(OPAQUE.encode()).decode()}",
    }
    github.faults.append(Fault("api", status=500, headers=headers, times=99))
    url = wheel_url.replace("https://", f"https://me:{SECRETS['bearer']}@") + f"?sig={SECRETS['sas']}"
    done = explain(
        home,
        github,
        "--report",
        "report.md",
        url,
        token=OPAQUE,
        HTTPS_PROXY=f"http://me:{SECRETS['proxy password']}@127.0.0.1:9",
        NO_PROXY=f"a.example,{SECRETS['classic']}",
    )
    assert done.returncode == 1, done.stderr
    text = (home / "report.md").read_text(encoding="utf-8")
    assert "x-echo: [removed]" in text
    for kind, secret in SECRETS.items():
        for form in forms(secret):
            assert form not in text, kind
        assert secret not in done.stdout + done.stderr, kind


def test_report_knows_the_secrets_that_were_got(home: Path, github: StandIn, wheel_url: str) -> None:
    """A secret that no variable holds, but a command printed, is removed where an answer repeats it."""
    rules = (home / "rules.yaml").read_text().replace("from: [env:STANDIN_TOKEN]", "from: [{command: [cat, secret]}]")
    (home / "rules.yaml").write_text(rules)
    (home / "secret").write_text(OPAQUE)
    mirror = f"{OPAQUE} {quote(OPAQUE, safe='')} {base64.b64encode(OPAQUE.encode()).decode()}"
    github.faults.append(Fault("api", status=500, headers={"x-mirror": mirror}, times=99))
    done = explain(home, github, "--report", "report.md", wheel_url, token="")
    assert done.returncode == 1, done.stderr
    text = (home / "report.md").read_text(encoding="utf-8")
    assert "x-mirror: [removed] [removed] [removed]" in text
    for form in forms(OPAQUE):
        assert form not in text


def test_a_report_replaces_a_report_alone(tmp_path: Path) -> None:
    """A former report is replaced; any other file is left alone, and the report refused."""
    file = tmp_path / "report.md"
    report.write(file, "# Gatepass report\n\none\n")
    report.write(file, "# Gatepass report\n\ntwo\n")
    assert file.read_text() == "# Gatepass report\n\ntwo\n"
    mine = tmp_path / "mine.md"
    mine.write_text("# My notes\n")
    link = tmp_path / "link.md"
    link.symlink_to(file)
    for path in (mine, link, tmp_path, tmp_path / "no" / "such.md"):
        with pytest.raises(GatepassError, match="--report: expected"):
            report.write(path, "# Gatepass report\n")
    assert mine.read_text() == "# My notes\n"


def test_a_report_is_refused_before_anything_is_asked(home: Path, github: StandIn, wheel_url: str) -> None:
    """A file that may not be replaced is told at once."""
    (home / "notes.md").write_text("mine")
    done = explain(home, github, "--report", "notes.md", wheel_url)
    assert done.returncode == 1
    assert "hint: name another file" in done.stderr
    assert github.calls() == []
