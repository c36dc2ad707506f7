"""`gatepass explain`, as its users see it: each thing that can be wrong, before the stand-in."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import gatepass
from gatepass.cli import gatepass as command
from gatepass.demo.standin import DEFAULT_TOKEN, GITHUB, App, Asset, Fault, Release, Repository, StandIn, Token
from gatepass.trust import certificates
from gitrepos import bare
from harness import BIN, ROOT, Client, free_port, mitmdump, strays
from road import road

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from conftest import Publish
    from harness import Proxy

GATEPASS = BIN / "gatepass"
BUILT_IN = ROOT / "rules.yaml"


@dataclass(frozen=True)
class Told:
    """What `--json` told: the exit code, the document, and its steps by name."""

    code: int
    document: dict[str, Any]

    def __getitem__(self, name: str) -> dict[str, Any]:
        (step,) = [step for step in self.document["steps"] if step["name"] == name]
        assert isinstance(step, dict)
        return step

    def state(self, name: str) -> str:
        return str(self[name]["state"])

    @property
    def failed(self) -> list[str]:
        return [step["name"] for step in self.document["steps"] if step["state"] == "fail"]

    @property
    def names(self) -> list[str]:
        return [step["name"] for step in self.document["steps"]]


@dataclass(frozen=True)
class Desk:
    """A developer's shell, in which `gatepass explain` is called; no output of it may hold a secret."""

    home: Path
    env: Mapping[str, str]

    def call(self, *arguments: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(part) for part in (GATEPASS, *arguments)],
            env={**self.env, **extra},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        _assert_no_secret(said, extra)
        return done

    def explain(self, *arguments: str | Path, **extra: str) -> Told:
        """The same command in this process, which saves its start."""
        env: dict[str, str | None] = {**dict.fromkeys(os.environ), **self.env, **extra}
        with contextlib.chdir(self.home):
            result = CliRunner().invoke(command, ["explain", "--json", *map(str, arguments)], env=env)
        assert isinstance(result.exception, SystemExit | None), result.exception
        _assert_no_secret(result.output, extra)
        return Told(result.exit_code, json.loads(result.stdout))


def _assert_no_secret(said: str, extra: Mapping[str, str]) -> None:
    for secret in (DEFAULT_TOKEN, DEFAULT_TOKEN[4:12], "X-Amz-Signature", "sig=", extra.get("STANDIN_TOKEN")):
        assert not secret or secret not in said, said


@pytest.fixture
def desk(github: StandIn, rules: Path, tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "rules.yaml").write_text(rules.read_text())
    variables = {"SSL_CERT_FILE": str(github.ca_file), "STANDIN_TOKEN": DEFAULT_TOKEN, "GATEPASS_RULES": "rules.yaml"}
    yield Desk(tmp_path, Client(tmp_path, variables).env)
    assert strays(github, DEFAULT_TOKEN) == []


def test_the_tree_under_test_is_run(desk: Desk) -> None:
    """The command is the one of this source tree."""
    code = "import gatepass; print(gatepass.__file__)"
    told = subprocess.run([sys.executable, "-c", code], env=desk.env, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == gatepass.__file__


# ------------------------------------------------------------------ all is well


def test_the_whole_way(desk: Desk, wheel_url: str, repository: Repository) -> None:
    """Each step of the way is told, with what it found; the exit code is 0, and the advice is how to go there."""
    told = desk.explain(wheel_url)
    assert told.code == 0
    assert told.names == [
        "trust", "rules", "url", "rule", "credential", "account", "rights", "expiry", "sso", "budget", "repository",
        "release", "asset", "signed-url", "head", "range", "get", "proxy",
    ]  # fmt: skip
    assert told.failed == []
    findings = {step["name"]: step["finding"] for step in told.document["steps"]}
    asset = repository.releases[0].assets[0]
    for name, part in {
        "rules": "rules.yaml: 3 rules",
        "url": f"asset `{asset.name}` of release `v1.0` of {repository.full_name}",
        "credential": "`standin` from env:STANDIN_TOKEN: classic token, fingerprint ",
        "account": "monalisa",
        "rights": "scopes: repo",
        "budget": "of 5000 API calls left",
        "repository": f"{repository.full_name}: private",
        "release": "`v1.0`",
        "asset": f"{asset.size} bytes, {asset.digest}, ",
        "signed-url": " s",
        "head": f"200, {asset.size} bytes",
        "range": "206, 16 bytes",
        "get": "redirected to localhost:",
    }.items():
        assert part in findings[name]
    assert told.state("proxy") == "skip"
    assert "gatepass run" in told.document["advice"]
    assert set(told.document) == {"ok", "url", "steps", "verdict", "advice"}
    assert set(told["asset"]) == {"name", "state", "finding", "hint"}


def test_a_few_bytes_are_enough(desk: Desk, publish: Publish, github: StandIn) -> None:
    """The asset is tried for real, but not downloaded: a GET is given up after its first bytes."""
    url = publish(bytes(64 * 1024 * 1024), name="big.bin")
    assert desk.explain(url).code == 0
    asked = [(call.method, call.headers.get("range")) for call in github.calls("asset")]
    assert asked == [("GET", "bytes=0-0"), ("GET", "bytes=0-15"), ("GET", None)]
    assert sum(call.bytes_sent for call in github.calls("asset")) < 32 * 1024 * 1024


def test_for_people(desk: Desk, wheel_url: str) -> None:
    """In a pipe each line begins with its state in a word, without symbols and colours; the verdict comes last."""
    done = desk.call("explain", wheel_url)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == wheel_url
    assert lines[2].startswith("ok    rules       rules.yaml")
    assert lines[-2:] == [
        "it can be fetched through Gatepass",
        "to do: `gatepass run -- COMMAND` sets what a client needs",
    ]
    assert not set("\x1b✓✗") & set(done.stdout)


@pytest.mark.parametrize("no_color", ["", "1"])
def test_on_a_terminal(desk: Desk, wheel_url: str, no_color: str) -> None:
    """On a terminal symbols stand beside the words, and colours unless NO_COLOR is set."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [GATEPASS, "explain", wheel_url.replace("v1.0", "v2.0")],
        env={**desk.env, "NO_COLOR": no_color, "TERM": "xterm"},
        cwd=desk.home,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # EIO: the other side is closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    assert process.wait(60) == 1
    assert "✗ FAIL" in shown.decode()
    assert "✓ ok" in shown.decode()
    assert (b"\x1b[" in shown) == (no_color == "")


# ------------------------------------------------------------------- the rules


def test_no_rule(desk: Desk, github: StandIn) -> None:
    """A URL that no rule matches is told with the rule that comes closest, and where it differs."""
    told = desk.explain(github.download_url("other/tool", "v1.0", "a.whl"))
    assert (told.code, told.failed) == (1, ["rule"])
    assert "its owner is `acme`, not `other`" in told["rule"]["finding"]
    assert "rules.yaml" in told.document["advice"]
    assert github.calls("api") == []


def test_no_rule_for_the_host(desk: Desk) -> None:
    """A host that no rule names is told as such, and not asked."""
    told = desk.explain("https://ghe.example.com/acme/tool/releases/download/v1.0/a.whl")
    assert (told.code, told.failed) == (1, ["rule"])
    assert "not `ghe.example.com`" in told["rule"]["finding"]


def test_no_rule_for_a_public_asset(desk: Desk, github: StandIn) -> None:
    """A public asset that no rule matches can be fetched all the same: it passes unchanged."""
    github.repositories.append(Repository("free", "tool", False, [Release("v1", [Asset("a.whl", b"x" * 99)])]))
    told = desk.explain(github.download_url("free/tool", "v1", "a.whl"), STANDIN_TOKEN="")
    assert (told.code, told.failed, told.state("rule")) == (0, [], "warn")
    assert told["head"]["finding"] == "200, 99 bytes"
    assert "redirected (302)" in told["range"]["finding"], "as a client sees it through a proxy"
    assert told.document["verdict"] == "it can be fetched by anybody, with Gatepass or without"
    assert told.document["advice"] is None


@pytest.mark.parametrize("is_public", [True, False])
def test_anonymously_first(desk: Desk, github: StandIn, rules: Path, is_public: bool) -> None:
    """A rule that leaves the owner open needs no credential for a public asset, and one for a private."""
    (desk.home / "open.yaml").write_text(rules.read_text().replace("/acme/*/releases/download", "/*/releases/download"))
    github.repositories.append(Repository("free", "tool", not is_public, [Release("v1", [Asset("a.whl", b"x" * 99)])]))
    url = github.download_url("free/tool", "v1", "a.whl")
    told = desk.explain(url, "--rules", "open.yaml", STANDIN_TOKEN="")
    assert told.state("public") == "ok"
    assert told.code == (0 if is_public else 1)
    assert told.state("credential") == ("skip" if is_public else "fail")
    if is_public:
        assert told["range"]["finding"] == "206, 16 bytes"
        assert told.document["verdict"] == "it can be fetched by anybody, with Gatepass or without"
    needing = desk.explain(url, "--rules", "open.yaml")
    assert needing.code == 0
    assert ("anybody" in needing.document["verdict"]) == is_public


def test_a_rule_for_some_clients(desk: Desk, rules: Path, wheel_url: str) -> None:
    """A rule that is for some clients alone is told as that, and the way is walked that one of them has."""
    resolve = "    resolve: github-release\n"
    text = rules.read_text().replace(resolve, f"{resolve}    clients: [ci, office]\n")
    clients = "clients:\n  ci: {networks: [127.0.0.0/8]}\n  office: {networks: [10.0.0.0/8]}\n"
    (desk.home / "some.yaml").write_text(f"{text}{clients}")
    told = desk.explain(wheel_url, "--rules", "some.yaml")
    assert (told.code, told.failed) == (0, [])
    assert (told.state("client"), told.state("asset")) == ("warn", "ok")
    assert told["client"]["finding"] == "the rule is for ci and office alone: this is the way of ci"


def test_wrong_rules(desk: Desk, wheel_url: str) -> None:
    """Rules that cannot be read are a finding like any other, with its place."""
    (desk.home / "rules.yaml").write_text("version: 2\n")
    told = desk.explain(wheel_url)
    assert (told.code, told.failed) == (1, ["rules"])
    assert told["rules"]["finding"].startswith("rules.yaml:1:")


def test_a_header_rule(desk: Desk, github: StandIn) -> None:
    """A URL of a header rule is explained as far as it can be without sending the secret to a server of any kind."""
    told = desk.explain(f"https://{github.web}/injected/simple/index.html")
    assert told.code == 0
    assert "X-Token" in told["headers"]["finding"]
    assert told.state("get") == "skip"
    assert told.document["verdict"] == "nothing is in its way so far, but nobody has asked for it"
    assert "--proxy" in told.document["advice"]
    assert github.calls() == []


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/acme/tool/releases/tag/v1.0", "page of a release"),
        ("/acme/tool/blob/main/README.md", "a browser downloads"),
        ("/acme/tool", "a browser downloads"),
    ],
)
def test_no_download_url(desk: Desk, github: StandIn, path: str, hint: str) -> None:
    """A URL that is no download is told what was expected."""
    told = desk.explain(f"https://{github.web}{path}")
    assert (told.code, told.failed) == (1, ["url"])
    assert "/releases/download/TAG/FILE, got " in told["url"]["finding"]
    assert hint in told["url"]["hint"]


def test_the_page_of_the_latest_release(desk: Desk, github: StandIn, repository: Repository) -> None:
    """The page of the latest release is told with where it leads, or why it leads nowhere."""
    rules = desk.home / "rules.yaml"
    rules.write_text(rules.read_text().replace("/releases/latest/download/*", "/releases/latest*"))
    url = f"https://{github.web}/{repository.full_name}/releases/latest"
    told = desk.explain(url)
    assert told.code == 0
    assert f"it leads to https://{github.web}/{repository.full_name}/releases/tag/v1.0" in str(told)
    repository.releases.clear()
    assert desk.explain(url).code == 1


def test_a_url_of_another_scheme(desk: Desk) -> None:
    """Only https is served; a password in the URL is not repeated."""
    told = desk.explain("http://me:hunter2hunter2@github.com/a/b/releases/download/v1/f")
    assert (told.code, told.failed) == (1, ["url"])
    assert "hunter2" not in json.dumps(told.document)


@pytest.mark.parametrize(
    "arguments",
    [
        ["github.com/acme/tool"],
        ["nonsense"],
        [],
        ["--file", "missing.lock"],
        ["--proxy", "socks5://user:hunter2@localhost:1", "https://github.com/"],
        ["--file", "rules.yaml", "https://github.com/"],
    ],
)
def test_wrong_usage(desk: Desk, arguments: list[str]) -> None:
    """What cannot be understood is wrong usage: exit code 2, and what was expected."""
    done = desk.call("explain", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "hunter2" not in done.stderr


# -------------------------------------------------------------- the credential


def test_no_credential(desk: Desk, wheel_url: str, github: StandIn) -> None:
    """Without a credential it is told which sources were tried, and what a client gets."""
    told = desk.explain(wheel_url, STANDIN_TOKEN="")
    assert (told.code, told.failed) == (1, ["credential", "client"])
    assert "env:STANDIN_TOKEN" in told["credential"]["finding"]
    assert "a GET 401" in told["client"]["finding"]
    assert github.calls("api") == []


def test_a_bad_token(desk: Desk, wheel_url: str, github: StandIn) -> None:
    """A token that the API does not know is tried once: more would lock the account out."""
    told = desk.explain(wheel_url, STANDIN_TOKEN="github_pat_wrongwrongwrong")
    assert (told.code, told.failed) == (1, ["account", "client"])
    assert "fine-grained" in told["credential"]["finding"]
    assert len(github.calls("api")) == 1


def test_lockout(desk: Desk, wheel_url: str, github: StandIn) -> None:
    """A lockout after bad tokens is told in GitHub's own words, not as a bad token."""
    github.bad_logins, github.locked_until = 99, github.clock() + 300
    told = desk.explain(wheel_url)
    assert (told.code, told.failed) == (1, ["account", "client"])
    assert "too many bad credentials" in told["account"]["finding"]


def test_single_sign_on(desk: Desk, wheel_url: str, github: StandIn) -> None:
    """A token that an organisation wants authorised comes with the address to do so."""
    github.tokens[:] = [Token(DEFAULT_TOKEN, sso="https://github.com/orgs/acme/sso?authorization_request=ABC")]
    told = desk.explain(wheel_url)
    assert told.code == 1
    assert told.failed == ["sso", "client"]
    assert told.document["advice"].endswith("https://github.com/orgs/acme/sso?authorization_request=ABC")


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2))])
def test_a_token_that_ends_soon(desk: Desk, wheel_url: str, github: StandIn, zone: timezone) -> None:
    """An end within a week is warned of, in both forms that GitHub writes it; the asset can be fetched."""
    github.tokens[:] = [Token(DEFAULT_TOKEN, expires=datetime.now(zone) + timedelta(days=3, hours=1))]
    told = desk.explain(wheel_url)
    assert (told.code, told.state("expiry")) == (0, "warn")
    assert "expires in 3 days" in told["expiry"]["finding"]


def test_an_app_token(desk: Desk, wheel_url: str, github: StandIn) -> None:
    """An installation's token has no account behind it, and is told by the repositories that it is for."""
    secret = "ghs_AppAppAppAppAppApp"
    github.tokens[:] = [Token(secret, kind="installation", repositories={github.repositories[0].full_name})]
    told = desk.explain(wheel_url, STANDIN_TOKEN=secret)
    assert (told.code, told.state("account")) == (0, "ok")
    assert "an installation's, for 1 repository, says" in told["account"]["finding"]
    assert "contents=read" in told["rights"]["finding"]


SEVERAL = """\
version: 1
forges: [{{web: "{web}"}}]
credentials:
  app: {{from: [{{github-app: {{id: {app}, key: 'file:{key}'}}}}], hosts: ["{web}"]}}
  ours: {{from: [env:STANDIN_TOKEN], hosts: ["{web}"]}}
  none: {{from: [env:NONE], hosts: ["{web}"]}}
rules: [{{match: "{web}/*", resolve: github-release, when: always, credential: [none, app, ours]}}]
"""


@pytest.fixture
def several(desk: Desk, github: StandIn, app: App, app_key_file: Path) -> Desk:
    """Rules that list credentials: one that has no value, an App's, and a token."""
    rules = SEVERAL.format(web=github.web, app=app.client_id, key=app_key_file)
    (desk.home / "several.yaml").write_text(rules)
    return desk


def test_several_credentials(several: Desk, github: StandIn, app: App, wheel_url: str) -> None:
    """Of several credentials it is told which one may see the repository, and the way is walked with it."""
    told = several.explain("--rules", "several.yaml", wheel_url)
    assert told.code == 0
    assert "`none`, then `app`, then `ours`: `app` may see the repository" in told["credentials"]["finding"]
    assert f"`app` from github-app:{app.client_id}" in told["credential"]["finding"]
    app.installations.clear()
    told = several.explain("--rules", "several.yaml", wheel_url)
    assert told.code == 0
    assert "`ours` may see the repository" in told["credentials"]["finding"]
    assert "env:STANDIN_TOKEN" in told["credential"]["finding"]
    assert github.bad_logins == 0


def test_none_of_several_credentials(several: Desk, app: App, github: StandIn, wheel_url: str) -> None:
    """When none may, the way is walked with the one whose failure tells most."""
    app.installations.clear()
    github.tokens[:] = [Token(DEFAULT_TOKEN, sso="https://github.com/orgs/acme/sso")]
    told = several.explain("--rules", "several.yaml", wheel_url)
    assert (told.code, told.failed) == (1, ["sso", "client"])
    assert "none may have it, as follows for `ours`" in told["credentials"]["finding"]


def test_a_missing_scope(desk: Desk, wheel_url: str, github: StandIn) -> None:
    """A classic token without `repo` sees no private repository: scopes and remedy are told."""
    github.tokens[:] = [Token(DEFAULT_TOKEN, scopes=("gist",))]
    told = desk.explain(wheel_url)
    assert (told.code, told.failed) == (1, ["repository", "client"])
    assert told.state("rights") == "warn"
    assert "scope `repo`" in told.document["advice"]


def test_a_missing_permission(desk: Desk, wheel_url: str, github: StandIn) -> None:
    """A fine-grained token without `Contents: read` is refused in GitHub's words."""
    github.tokens[:] = [Token(DEFAULT_TOKEN, kind="fine-grained", contents=False)]
    told = desk.explain(wheel_url)
    assert told.code == 1
    assert "Resource not accessible by personal access token" in told["repository"]["finding"]


def test_the_budget_is_spent(desk: Desk, wheel_url: str, github: StandIn) -> None:
    """A rate limit is told as such, and not as a refusal of the token."""
    github.tokens[:] = [Token(DEFAULT_TOKEN, used=5000)]
    told = desk.explain(wheel_url)
    assert (told.code, told.failed) == (1, ["budget", "client"])
    assert "a GET 429" in told["client"]["finding"]


# ------------------------------------------------------------------- the asset


def test_an_invisible_repository(desk: Desk, wheel_url: str, github: StandIn) -> None:
    """GitHub does not tell a missing repository from a hidden one: both are said, with source, kind and remedy."""
    github.tokens[:] = [Token(DEFAULT_TOKEN, repositories=set())]
    told = desk.explain(wheel_url)
    assert (told.code, told.failed) == (1, ["repository", "client"])
    for part in ("does not exist on", "classic token", "env:STANDIN_TOKEN"):
        assert part in told["repository"]["finding"]


def test_a_renamed_repository(desk: Desk, wheel_url: str, repository: Repository) -> None:
    """A repository that was renamed is found, and its new name told."""
    repository.rename(f"acme/new-{repository.name}")
    told = desk.explain(wheel_url)
    assert (told.code, told.state("repository")) == (0, "warn")
    assert f"was renamed to {repository.full_name}" in told["repository"]["finding"]


def test_a_missing_tag(desk: Desk, wheel_url: str) -> None:
    """A missing release is told at the release, when the repository is seen."""
    told = desk.explain(wheel_url.replace("v1.0", "v9.9"))
    assert (told.code, told.failed) == (1, ["release", "client"])
    assert "v9.9" in told["release"]["finding"]


def test_a_missing_asset(desk: Desk, wheel_url: str) -> None:
    """A missing asset is told at the asset, when the release is there."""
    told = desk.explain(wheel_url.replace("1.0-py3", "1.1-py3"))
    assert (told.code, told.failed) == (1, ["asset", "client"])


def test_a_forge_that_streams(desk: Desk, wheel_url: str, github: StandIn) -> None:
    """Where the API sends the bytes itself there is no signed URL, and a range may get the whole: told, no fault."""
    github.stream_assets = True
    told = desk.explain(wheel_url)
    assert told.code == 0
    assert (told.state("signed-url"), told.state("range"), told.state("get")) == ("ok", "warn", "ok")


def test_an_asset_host_that_fails(desk: Desk, wheel_url: str, github: StandIn) -> None:
    """An asset that is found and cannot be had is not called fetchable."""
    github.faults.append(Fault("asset", status=503, times=99))
    told = desk.explain(wheel_url)
    assert (told.code, told.failed) == (1, ["head"])


def test_a_forge_does_not_steer_the_terminal(desk: Desk, wheel_url: str, github: StandIn) -> None:
    """Control characters of an answer are not printed."""
    github.faults.append(Fault("api", "/user", status=200, body=b'{"login": "\\u001b[2Jmona\\nok    get  fine"}'))
    done = desk.call("explain", wheel_url)
    assert "\x1b" not in done.stdout
    assert "ok    account      [2Jmona ok" in done.stdout


def test_malformed_json(desk: Desk, wheel_url: str, github: StandIn) -> None:
    """An answer that is none is a finding, no crash."""
    github.faults.append(Fault.malformed_json("/user"))
    assert desk.explain(wheel_url).failed == ["account", "client"]


def test_an_unreachable_api(desk: Desk, wheel_url: str, github: StandIn) -> None:
    """An API that nobody reaches is told with the host and the reason."""
    api = f"https://localhost:{free_port()}"
    (desk.home / "rules.yaml").write_text((desk.home / "rules.yaml").read_text().replace(github.api, api))
    told = desk.explain(wheel_url)
    assert (told.code, told.failed) == (1, ["account", "client"])
    assert api.removeprefix("https://") in told["account"]["finding"]


# ------------------------------------------------------------------- the shell


@pytest.fixture
def foreign_ca(tmp_path: Path) -> Path:
    path = tmp_path / "foreign.pem"
    path.write_text(certificates.issue(["elsewhere.example"]).ca)
    return path


def test_an_untrusted_forge(desk: Desk, wheel_url: str, foreign_ca: Path) -> None:
    """A forge whose certificate this shell does not trust is told, and no token is sent."""
    told = desk.explain(wheel_url, SSL_CERT_FILE=str(foreign_ca))
    assert (told.code, told.failed) == (1, ["account", "client"])
    assert "was checked against" in told["account"]["finding"]


@pytest.mark.parametrize(
    ("content", "said"), [(None, "does not exist"), ("no certificate", "no certificate in PEM"), ("broken", "broken")]
)
def test_a_wrong_bundle(desk: Desk, wheel_url: str, content: str | None, said: str) -> None:
    """SSL_CERT_FILE must name a file of certificates; what else it names comes first, for all else follows from it."""
    path = desk.home / "bundle.pem"
    if content is not None:
        path.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----" if said == content else content)
    told = desk.explain(wheel_url, SSL_CERT_FILE=str(path))
    assert (told.code, told.failed[0]) == (1, "trust")
    assert said in told["trust"]["finding"]
    assert "SSL_CERT_FILE" in told.document["advice"]


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_dead_proxy(desk: Desk, wheel_url: str, variable: str) -> None:
    """A proxy that nobody listens at is told with the variable that names it, and without its password."""
    told = desk.explain(wheel_url, **{variable: f"http://me:hunter2hunter2@127.0.0.1:{free_port()}"})
    assert (told.code, told.failed) == (1, ["proxy"])
    assert told["proxy"]["finding"].startswith(f"{variable}: no answer through http://127.0.0.1:")
    assert told["proxy"]["finding"].endswith("connection refused")
    assert "hunter2" not in json.dumps(told.document)


@pytest.mark.parametrize("value", ["localhost", "example.com,localhost", ".localhost", "*"])
def test_no_proxy(desk: Desk, wheel_url: str, proxy: Proxy, value: str) -> None:
    """A NO_PROXY that keeps the host from the proxy is told, with the entry that does."""
    told = desk.explain(wheel_url, **proxy.variables(), NO_PROXY=value)
    assert (told.code, told.failed) == (1, ["no-proxy"])


def test_a_bundle_without_the_proxys_ca(desk: Desk, wheel_url: str, proxy: Proxy) -> None:
    """A shell that does not trust the proxy's CA is told so, and where to get a bundle that holds it."""
    told = desk.explain(wheel_url, HTTPS_PROXY=proxy.url)
    assert (told.code, told.failed) == (1, ["certificate"])
    assert "gatepass serve" in told.document["advice"]


def test_a_tool_that_is_told_otherwise(desk: Desk, wheel_url: str, proxy: Proxy) -> None:
    """A tool whose settings name another proxy than the shell is told by file and line, with what to do."""
    npmrc = desk.home / ".npmrc"
    npmrc.write_text("; mine\nhttps-proxy=http://me:hunter2hunter2@elsewhere.test:3128\n")
    (desk.home / ".curlrc").write_text(f"proxy={proxy.url}\n")
    told = desk.explain(wheel_url, **proxy.variables())
    assert (told.code, told.state("settings")) == (0, "warn")
    assert told["settings"]["finding"] == f"{npmrc}:2 sends npm to a proxy of its own, past HTTPS_PROXY"
    assert "`gatepass run`" in told["settings"]["hint"]
    assert "hunter2" not in json.dumps(told.document)
    npmrc.unlink()
    assert "settings" not in desk.explain(wheel_url, **proxy.variables()).names


def test_a_proxy_that_is_another(desk: Desk, wheel_url: str, github: StandIn, tmp_path: Path) -> None:
    """A proxy that tunnels the host, as any other proxy does, serves nothing: told by what a client gets."""
    rules = tmp_path / "other.yaml"
    rules.write_text(
        "version: 1\ncredentials: {c: {from: [env:C], hosts: [a.example]}}\n"
        "rules: [{match: a.example/*, headers: {A: '{credential}'}, credential: c}]\n"
    )
    with mitmdump(tmp_path, rules, github.ca_file) as other:
        told = desk.explain(wheel_url, **other.variables())
    assert (told.code, told.failed, told.state("certificate")) == (1, ["through"], "warn")
    assert "404" in told["through"]["finding"]


def test_under_run(desk: Desk, wheel_url: str) -> None:
    """Under `gatepass run` the shell's variables lead to the proxy, which serves the URL."""
    done = desk.call("run", "--", GATEPASS, "explain", "--json", wheel_url)
    told = Told(done.returncode, json.loads(done.stdout))
    assert told.code == 0
    assert {told.state(name) for name in ("trust", "no-proxy", "proxy", "certificate", "through")} == {"ok"}
    assert told.document["verdict"] == "it can be fetched"
    assert "`Gatepass`" in told["certificate"]["finding"]


def test_a_client_of_an_egress_proxy(desk: Desk, wheel_url: str, proxy: Proxy) -> None:
    """A shell without a credential whose proxy has one is well: its clients get the asset."""
    told = desk.explain(wheel_url, **proxy.variables(), STANDIN_TOKEN="")
    assert (told.code, told.state("credential"), told.state("through")) == (0, "skip", "ok")


# ------------------------------------------------------------------- `--proxy`


def test_through_a_proxy(desk: Desk, wheel_url: str, proxy: Proxy, github: StandIn) -> None:
    """With `--proxy` a client's eyes are used: no credential and no rule of this shell."""
    (desk.home / "rules.yaml").unlink()
    told = desk.explain("--proxy", proxy.url, wheel_url, SSL_CERT_FILE=str(proxy.bundle), STANDIN_TOKEN="")
    assert told.code == 0
    assert told.names == ["trust", "proxy", "certificate", "head", "range", "get"]
    assert told["range"]["finding"] == "206, 16 bytes"
    assert github.calls("web") == []


def test_what_the_proxy_refuses(desk: Desk, wheel_url: str, proxy: Proxy) -> None:
    """What the proxy answers instead is shown: title, detail and hint of its problem details."""
    url = wheel_url.replace("1.0-py3", "1.1-py3")
    told = desk.explain("--proxy", proxy.url, url, SSL_CERT_FILE=str(proxy.bundle))
    assert (told.code, told.failed) == (1, ["head", "range", "get"])
    assert told["get"]["finding"].startswith("404 asset not found: ")
    assert told["get"]["hint"]
    assert told.document["advice"] == told["get"]["hint"]


def test_a_tunnel_that_is_refused(desk: Desk, wheel_url: str, rules: Path, github: StandIn, tmp_path: Path) -> None:
    """Why a proxy opens no tunnel is told in its own words, with what to do; also by one that gives no reason."""
    with mitmdump(tmp_path, rules, github.ca_file, "--set", "proxyauth=me:hunter2") as asking:
        place = asking.url.removeprefix("http://")
        told = desk.explain("--proxy", asking.url, wheel_url, SSL_CERT_FILE=str(asking.bundle))
        assert (told.code, told.failed) == (1, ["proxy"])
        assert "407 Proxy Authentication Required" in told["proxy"]["finding"]
        assert "USER:PASSWORD" in told["proxy"]["hint"]

        itself = f"https://localhost:{place.rpartition(':')[2]}/a/b/releases/download/v1/c"
        told = desk.explain("--proxy", f"http://me:hunter2@{place}", itself, SSL_CERT_FILE=str(asking.bundle))
        assert (told.code, told.failed) == (1, ["proxy"])
        assert f"http://{place} opens no way to localhost:" in told["proxy"]["finding"]
        assert "403 that is the proxy itself: " in told["proxy"]["finding"]
        assert "NO_PROXY" in told["proxy"]["hint"]
        assert "hunter2" not in json.dumps(told.document)


def test_a_public_asset_through_a_proxy(desk: Desk, proxy: Proxy, github: StandIn) -> None:
    """What the proxy passes unchanged is seen as a client sees it: a range is redirected, which uv does not follow."""
    github.repositories.append(Repository("free", "tool", False, [Release("v1", [Asset("a.whl", b"x" * 99)])]))
    url = github.download_url("free/tool", "v1", "a.whl")
    told = desk.explain("--proxy", proxy.url, url, SSL_CERT_FILE=str(proxy.bundle))
    assert (told.code, told.state("range")) == (0, "warn")
    assert "redirected (302)" in told["range"]["finding"]
    assert "redirected to localhost:" in told["get"]["finding"]


@pytest.mark.parametrize(("is_alive", "failed"), [(False, "proxy"), (True, "certificate")])
def test_a_proxy_that_cannot_be_used(desk: Desk, wheel_url: str, proxy: Proxy, is_alive: bool, failed: str) -> None:
    """A dead proxy and an untrusted one are told apart."""
    url = proxy.url if is_alive else f"127.0.0.1:{free_port()}"
    assert desk.explain("--proxy", url, wheel_url).failed == [failed]


# ------------------------------------------------------------------ lock files


def test_a_lock_file(desk: Desk, wheel_url: str, sdist_url: str) -> None:
    """Without URL each release asset of the lock file is checked, a line each; then those that fail, in detail."""
    missing = wheel_url.replace("1.0-py3", "1.1-py3")
    (desk.home / "uv.lock").write_text(
        f'[[package]]\nname = "acme"\nsdist = {{ url = "{sdist_url}" }}\n'
        f'wheels = [{{ url = "{wheel_url}" }}, {{ url = "{missing}" }}, {{ url = "{wheel_url}#sha256=0" }}]\n'
        '[[package]]\nwheels = [{ url = "https://files.example.com/a.whl" }]\n'
    )
    done = desk.call("explain")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "uv.lock: 3 release assets"
    assert lines[1:3] == [f"ok    {sdist_url}", f"ok    {wheel_url}"]
    assert lines[3].startswith(f"FAIL  {missing}: asset not found")
    assert lines[5] == missing
    assert "this shell" in lines


def test_a_lock_file_is_frugal(desk: Desk, wheel_url: str, sdist_url: str, github: StandIn) -> None:
    """What is the same for many URLs is asked for once; `--json` gives one document for all."""
    (desk.home / "requirements.txt").write_text(f"a @ {wheel_url}\nb @ {sdist_url} # comment\n")
    done = desk.call("explain", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert (document["ok"], document["file"]) == (True, "requirements.txt")
    assert [told["url"] for told in document["explanations"]] == [wheel_url, sdist_url]
    assert document["shell"]["ok"]
    asked = [call.path for call in github.calls("api")]
    assert asked.count("/user") == 1


def test_a_lock_file_without_assets(desk: Desk) -> None:
    """A file that names no release asset is said to, and is no failure."""
    (desk.home / "pyproject.toml").write_text('[project]\nname = "a"\ndependencies = ["b>1"]\n')
    done = desk.call("explain")
    assert (done.returncode, done.stdout) == (0, "pyproject.toml: no release asset\n")


def test_a_lock_file_through_a_proxy(desk: Desk, wheel_url: str, proxy: Proxy) -> None:
    """`--proxy` works for a whole file too."""
    (desk.home / "mine.txt").write_text(f"a @ {wheel_url}\n")
    done = desk.call("explain", "--file", "mine.txt", "--proxy", proxy.url, SSL_CERT_FILE=str(proxy.bundle))
    assert (done.returncode, done.stdout) == (0, f"mine.txt: 1 release asset\nok    {wheel_url}\n")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("requirements.txt", "-r /dev/zero\n"),
        ("pyproject.toml", "a = " + "[" * 10_000),
        ("requirements-\x1b[2J.txt", "-r none\x1b]0;owned\x07\n"),
    ],
)
def test_a_hostile_folder(tmp_path: Path, name: str, content: str) -> None:
    """What lies in a folder neither hangs nor steers: one error that says what to do, no traceback, nothing run."""
    (tmp_path / name).write_text(content)
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\ntouch {tmp_path}/owned\n")
    uv.chmod(0o755)
    env = Client(tmp_path, {}).env
    env["PATH"] = f".{os.pathsep}{os.pathsep}{env['PATH']}"
    command = (GATEPASS, "explain", "--report", "report.md")
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "hint: " in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert not (tmp_path / "owned").exists()
    (tmp_path / name).unlink()
    (tmp_path / "requirements.txt").write_text("")
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=20, check=False)
    assert (tmp_path / "report.md").is_file(), done.stderr
    assert not (tmp_path / "owned").exists()


SOURCES = """\
  - match: {web}/acme/*/archive/*
    resolve: github-source
    credential: standin
  - match: {web}/acme/*/tarball*
    resolve: github-source
    credential: standin
  - match: {web}/acme/*/zipball/*
    resolve: github-source
    credential: standin
  - match: {web}/*/raw/*
    resolve: github-source
    credential: standin
  - match: {web}/acme/*/releases/expanded_assets/*
    resolve: github-release
    credential: standin
  - match: {web}/acme/*
    resolve: github-git
    credential: standin
"""


@pytest.fixture
def sourced(desk: Desk, github: StandIn, repository: Repository, tmp_path: Path) -> Repository:
    """The test's repository with git behind it, and rules for its sources."""
    rules = desk.home / "rules.yaml"
    rules.write_text(rules.read_text() + SOURCES.format(web=github.web))
    repository.git = bare(tmp_path / "git", {"README.md": b"hello\n"}, branches=["release/2.0"])
    return repository


@pytest.mark.parametrize(
    ("rest", "described", "step"),
    [
        ("/archive/refs/heads/main.tar.gz", "archive of `refs/heads/main`", "source"),
        ("/raw/release/2.0/branch.txt", "raw file `release/2.0/branch.txt`", "source"),
        ("/releases/expanded_assets/v1.0", "the list of assets of release `v1.0`", "release"),
        (".git", "git of acme/", "git"),
        ("", "git of acme/", "git"),
        ("/info/refs", "git of acme/", "git"),
        (".git/info/refs?service=git-upload-pack", "git of acme/", "git"),
        (".git/git-upload-pack", "git of acme/", "git"),
        ("/archive/refs/heads/main.zip", "archive of `refs/heads/main`", "source"),
        ("/archive/main/tool-main.tar.gz", "archive of `main", "source"),
        ("/tarball/main", "archive of `main`", "source"),
        ("/tarball", "archive of `HEAD`", "source"),
        ("/zipball/release/2.0", "archive of `release/2.0`", "source"),
        (".git/info/lfs", "LFS of acme/", "git"),
        (".git/info/lfs/objects/batch", "LFS of acme/", "git"),
        ("/info/lfs/locks", "LFS of acme/", "git"),
    ],
)
def test_sources(desk: Desk, github: StandIn, sourced: Repository, rest: str, described: str, step: str) -> None:
    """Archives, raw files, a release's list and git's addresses are known, and the way of each is walked."""
    told = desk.explain(f"https://{github.web}/{sourced.full_name}{rest}")
    assert told.code == 0, told.document
    assert described in told["url"]["finding"]
    assert told.state(step) == "ok"
    assert strays(github, github.token) == []


@pytest.mark.parametrize(("rest", "step"), [("/archive/v9.tar.gz", "source"), ("/raw/main/none", "source")])
def test_a_source_that_is_not_there(desk: Desk, github: StandIn, sourced: Repository, rest: str, step: str) -> None:
    """What is not there fails at its own step."""
    told = desk.explain(f"https://{github.web}/{sourced.full_name}{rest}")
    assert (told.code, told.failed[0]) == (1, step)


def test_public_sources(desk: Desk, github: StandIn, sourced: Repository) -> None:
    """What anybody may have passes unchanged, and is told so."""
    sourced.private = False
    for rest in ("/raw/main/README.md", ".git"):
        told = desk.explain(f"https://{github.web}/{sourced.full_name}{rest}")
        assert (told.code, told.state("public"), told.state("credential")) == (0, "ok", "skip")


def test_a_source_without_a_rule(desk: Desk, github: StandIn, repository: Repository) -> None:
    """It is told which rule comes closest; of what is public that it passes."""
    url = f"https://{github.web}/{repository.full_name}/archive/main.tar.gz"
    assert desk.explain(url).failed == ["rule"]
    repository.private = False
    assert desk.explain(url).code == 0


def test_git_of_requirements(desk: Desk, github: StandIn, sourced: Repository) -> None:
    """The URL of a requirement is read as it stands there."""
    told = desk.explain(f"git+https://{github.web}/{sourced.full_name}.git@v1.0")
    assert (told.code, told.state("git")) == (0, "ok")


def test_git_without_a_rule(desk: Desk, github: StandIn, repository: Repository, tmp_path: Path) -> None:
    """Git's own address that no rule lets git have is told so, with what to do; of what is public that it passes."""
    repository.git = bare(tmp_path / "git", {"README.md": b"hello\n"})
    url = f"https://{github.web}/{repository.full_name}"
    for each in (f"git+{url}", f"{url}.git", f"{url}/info/refs", f"{url}.git/info/lfs"):
        told = desk.explain(each)
        assert (told.code, told.failed) == (1, ["rule"])
        assert "no rule lets git have it" in told["rule"]["finding"]
        assert "resolve: github-git" in told["rule"]["hint"]
    repository.private = False
    told = desk.explain(f"git+{url}")
    assert (told.code, told.state("rule"), told.state("public")) == (0, "warn", "ok")


def test_a_push(desk: Desk, github: StandIn, sourced: Repository) -> None:
    """What git pushes to is refused with the words that git shows, unless the rule lets it push; LFS's likewise."""
    url = f"https://{github.web}/{sourced.full_name}.git"
    told = desk.explain(f"{url}/git-receive-pack")
    assert (told.code, told.failed) == (1, ["git"])
    assert told["git"]["finding"].startswith("nothing may be pushed: ")
    assert "may upload nothing" in desk.explain(f"{url}/info/lfs")["git"]["finding"]
    rules = desk.home / "rules.yaml"
    rules.write_text(rules.read_text().replace("resolve: github-git", "resolve: github-git\n    push: true"))
    assert "may push" in desk.explain(f"{url}/git-receive-pack")["git"]["finding"]
    assert "and may upload" in desk.explain(f"{url}/info/lfs")["git"]["finding"]


def test_raw_files_have_a_host(desk: Desk, tmp_path: Path) -> None:
    """raw.githubusercontent.com is known for GitHub's, and so are the archives of github.com, by the built-in rules."""
    with StandIn(names=GITHUB) as world, road() as way:
        way.ports = dict.fromkeys(GITHUB.roles(), int(world.web.partition(":")[2]))
        path = bare(tmp_path / "git", {"README.md": b"hello\n"})
        world.repositories.append(Repository("acme", "tool", git=path))
        (desk.home / "rules.yaml").write_text(BUILT_IN.read_text())
        there = {
            "HTTPS_PROXY": way.url,
            "SSL_CERT_FILE": str(world.ca_file),
            "GH_TOKEN": DEFAULT_TOKEN,
            "GATEPASS_RULES": "rules.yaml",
        }
        for url in (
            "https://raw.githubusercontent.com/acme/tool/main/README.md",
            "https://raw.githubusercontent.com/acme/tool/refs/heads/main/README.md",
            "https://github.com/acme/tool/raw/main/README.md",
            "https://github.com/acme/tool/archive/refs/heads/main.tar.gz",
            "https://github.com/acme/tool/zipball/main",
        ):
            told = desk.explain(url, **there)
            assert told.state("source") == "ok", told.document
            assert told.state("get") == "ok", told.document
        assert all(DEFAULT_TOKEN not in str(call.headers) for call in world.calls() if call.role != "api")


def test_a_lock_file_with_sources(desk: Desk, github: StandIn, sourced: Repository, wheel_url: str) -> None:
    """Archives, raw files and git of a lock file are checked beside its assets, and counted."""
    base = f"https://{github.web}/{sourced.full_name}"
    (desk.home / "uv.lock").write_text(
        f'[[package]]\nsource = {{ git = "{base}?rev=main#{"0" * 40}" }}\n'
        f'[[package]]\nsource = {{ url = "{base}/archive/main.tar.gz" }}\nsdist = {{ hash = "sha256:{"0" * 64}" }}\n'
        f'[[package]]\nsource = {{ url = "{base}/raw/main/none" }}\n'
        f'[[package]]\nwheels = [{{ url = "{wheel_url}" }}]\n'
    )
    done = desk.call("explain")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert lines[0] == "uv.lock: 1 release asset, 2 archives and raw files, 1 git repository"
    assert lines[1:3] == [f"ok    {base}", f"ok    {base}/archive/main.tar.gz"]
    assert lines[3].startswith(f"FAIL  {base}/raw/main/none: ")
    assert lines[4] == f"ok    {wheel_url}"
