"""`gatepass check`, as its users see it."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from gatepass.cli.check import check
from gatepass.demo.standin import DEFAULT_TOKEN, App, Fault, Repository, StandIn, Token
from gatepass.rules.parser import parse
from gatepass.rules.yaml_source import RulesError
from harness import GATEPASS, ROOT, call
from pages import blocks

if TYPE_CHECKING:
    from pathlib import Path

    from harness import Result, Shell

RULES = """\
version: 1
forges:
  - {web: ghe.example.com, api: https://ghe.example.com/api/v3}
credentials:
  work: {from: [env:WORK, env:OTHER], hosts: [store.example.com, ghe.example.com]}
rules:
  - name: company releases
    match: ghe.example.com/*/releases/download/*
    resolve: github-release
    credential: work
  - match: store.example.com:443/private/*
    headers: {PRIVATE-TOKEN: "{credential}", X-Team: do-not-print}
    credential: work
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without rules of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATEPASS_RULES", raising=False)
    monkeypatch.setattr("click.get_app_dir", lambda name: str(tmp_path / "home" / name))
    return tmp_path


def test_good_rules_are_explained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule is a block: what matches, what happens, the sources in order, and where the secret may go; then each
    credential, at each host that it is for.
    """
    (folder / "mine.yaml").write_text(RULES, encoding="utf-8")
    monkeypatch.setenv("WORK", "hunter2")
    result = CliRunner().invoke(check, ["mine.yaml", "--offline"])
    assert result.stderr == ""
    assert result.exit_code == 0
    assert (
        result.stdout
        == """\
mine.yaml: 2 rules; the first that matches is applied
intercepted: ghe.example.com, store.example.com

company releases
  match       ghe.example.com/*/releases/download/*
  action      finds the release asset through the API, and fetches it
  credential  work: env:WORK, then env:OTHER
  sent to     ghe.example.com, and nowhere else
  bound to    ghe.example.com, store.example.com

store.example.com/private/*
  match       store.example.com/private/*
  action      sets PRIVATE-TOKEN, X-Team
  credential  work: env:WORK, then env:OTHER
  sent to     store.example.com, and nowhere else
  bound to    ghe.example.com, store.example.com

credential `work` at ghe.example.com
ok    credential  `work` from env:WORK: token

credential `work` at store.example.com
ok    credential  `work` from env:WORK: token

every rule has a credential that may work
"""
    )


def test_a_secret_is_not_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which source answered is said, of a GitHub token its fingerprint too; the secret itself is not, nor any of it."""
    (folder / "mine.yaml").write_text(RULES, encoding="utf-8")
    monkeypatch.delenv("WORK", raising=False)
    monkeypatch.setenv("OTHER", "hunter2")
    password = CliRunner().invoke(check, ["mine.yaml", "--offline"])
    assert password.exit_code == 0
    assert "`work` from env:OTHER: token\n" in password.output
    monkeypatch.setenv("WORK", "ghp_hunter2hunter2")
    token = CliRunner().invoke(check, ["mine.yaml", "--offline"])
    assert "`work` from env:WORK: classic token, fingerprint " in token.output
    assert "hunter" not in password.output + token.output


def test_a_rule_without_a_credential_that_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential that no source has a value for is told, and which rules have no other; the exit code is 1."""
    (folder / "mine.yaml").write_text(RULES, encoding="utf-8")
    for name in ("WORK", "OTHER"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(check, ["mine.yaml", "--offline"])
    assert result.exit_code == 1
    assert "`env:WORK` is not set, `env:OTHER` is not set" in result.stdout
    assert result.stderr == "\nno credential works for `company releases`, `store.example.com/private/*`\n"


def test_one_of_several_that_works_is_enough(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that lists credentials is served when one of them works."""
    text = RULES.replace("rules:", "  spare: {from: [env:SPARE], hosts: [ghe.example.com]}\nrules:")
    text = text.replace("credential: work\n  - match", "credential: [work, spare]\n  - match")
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("SPARE", "a")
    for name in ("WORK", "OTHER"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(check, ["mine.yaml", "--offline"])
    assert result.stderr == "\nno credential works for `store.example.com/private/*`\n"
    assert "  then        spare: env:SPARE\n" in result.stdout


def test_offline_runs_nothing_that_may_need_a_network(folder: Path, app_key_file: Path) -> None:
    """Commands, git's helpers and Apps may go out: `--offline` asks none of them, and no source after them."""
    sources = {
        "command": f"{{command: [touch, '{folder}/ran']}}",
        "git": "git",
        "github-app": f"{{github-app: {{id: 1, key: 'file:{app_key_file}'}}}}",
    }
    for name, source in sources.items():
        text = RULES.replace("from: [env:WORK, env:OTHER]", f"from: [env:NONE, {source}]")
        text = text.replace("hosts: [store.example.com, ghe", "hosts: [ghe").partition("  - match: store")[0]
        (folder / "mine.yaml").write_text(text, encoding="utf-8")
        result = CliRunner().invoke(check, ["mine.yaml", "--offline"])
        assert result.exit_code == 0, result.output
        assert f"skip  credential  `{name}" in result.stdout
        assert "may need the network, and was not asked" in result.stdout
    assert not (folder / "ran").exists()


def test_without_a_file_the_rules_in_use_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without FILE the rules are those that are in use, and the output says which these are."""
    monkeypatch.setenv("GH_TOKEN", "ghp_a")
    result = CliRunner().invoke(check, ["--offline"])
    assert result.exit_code == 0
    assert result.stdout.startswith("built-in rules: 5 rules;")
    assert "  sent to     api.github.com, and nowhere else\n" in result.stdout


def test_wrong_rules_give_located_errors(folder: Path) -> None:
    """Mistakes go to stderr, all of them, located; nothing goes to stdout, and the exit code is 1."""
    (folder / "rules.yaml").write_text(RULES.replace("env:OTHER", "OTHER").replace("name:", "nme:"), encoding="utf-8")
    result = CliRunner().invoke(check, [])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        (
            "rules.yaml:5:27: credentials.work.from[1]: expected a source: `default`, `gh`, `git`, `netrc`, "
            "`env:NAME`, `file:PATH`, `systemd:NAME`, `keyring:SERVICE/USER`, or a mapping with `command` or "
            "`github-app`, got `OTHER`"
        ),
        "hint: `env:OTHER` reads the environment variable",
        (
            "rules.yaml:7:5: rules[0].nme: "
            "expected one of `match`, `credential`, `name`, `resolve`, `headers`, `when`, `require`, `push`, "
            "`methods`, `on_existing`, `placeholder`, `access`, `graphql`, `also`, `permissions`, "
            "`drop_response_headers`, `clients`, got `nme`"
        ),
        "hint: did you mean `name`?",
    ]


def test_a_missing_file_is_an_error() -> None:
    """A file that is named and missing is said to be missing, with a hint."""
    result = CliRunner().invoke(check, ["missing.yaml"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("missing.yaml: expected a rules file, got no such file\nhint: ")


def test_offline_looks_at_an_apps_key(folder: Path) -> None:
    """What is wrong with an App's private key is told without a network, too."""
    text = RULES.replace("from: [env:WORK, env:OTHER]", "from: [{github-app: {id: 1, key: 'env:KEY'}}]")
    text = text.replace("hosts: [store.example.com, ghe", "hosts: [ghe").partition("  - match: store")[0]
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    result = CliRunner().invoke(check, ["mine.yaml", "--offline"], env={"KEY": "nonsense"})
    assert result.exit_code == 1
    assert "unusable private key" in result.stdout


def test_an_upstream_proxy_resolves_names(folder: Path) -> None:
    """Where destinations are guarded and the shell has an upstream proxy, it is said what that leaves out."""
    for keys, told in (("egress: {}\n", True), ("", False)):
        (folder / "mine.yaml").write_text(RULES + keys, encoding="utf-8")
        for env in ({"HTTPS_PROXY": "http://proxy.test:3128"}, {"HTTPS_PROXY": ""}):
            result = CliRunner().invoke(check, ["mine.yaml", "--offline"], env={"WORK": "x", **env})
            said = "HTTPS_PROXY is set: names are the upstream proxy's to resolve" in result.stderr
            assert said == (told and bool(env["HTTPS_PROXY"]))


# ----------------------------------------------------------------- at the forge

FORGE_RULES = """\
version: 1
forges: [{{web: "{web}"}}]
credentials:
  ours: {{from: [{source}], hosts: ["{web}"]}}
rules:
  - match: "{web}/{owner}/*/releases/download/*"
    resolve: github-release
    credential: ours
"""


@dataclass
class Checking:
    """`gatepass check` in a shell that trusts the stand-in."""

    shell: Shell
    github: StandIn

    def __call__(self, source: str, *, owner: str = "acme", **extra: str) -> Result:
        rules = self.shell.home / "checked.yaml"
        rules.write_text(FORGE_RULES.format(web=self.github.web, source=source, owner=owner))
        return call([GATEPASS, "check", rules], {**self.shell.env, **extra}, cwd=self.shell.home)


@pytest.fixture
def checking(shell: Shell, github: StandIn) -> Checking:
    return Checking(shell, github)


def test_a_users_token(checking: Checking, github: StandIn) -> None:
    """Whose a token is, what it may do, until when and how often, as the forge says."""
    github.tokens[:] = [Token(DEFAULT_TOKEN, expires=datetime.now(UTC) + timedelta(days=3))]
    result = checking("env:STANDIN_TOKEN")
    assert result.code == 0, result.output
    for line in (
        "ok    credential  `ours` from env:STANDIN_TOKEN: classic token, fingerprint ",
        "ok    account     monalisa, says localhost:",
        "ok    rights      scopes: repo",
        "warn  expiry      expires in 2 days, on ",
        "skip  sso         told when a repository is asked for: `gatepass explain URL`",
        "ok    budget      4999 of 5000 API calls left",
    ):
        assert f"\n{line}" in result.output, line
    assert DEFAULT_TOKEN not in result.output
    assert [call.path for call in github.calls("api")] == ["/user"]


def test_a_token_that_is_bad(checking: Checking, github: StandIn) -> None:
    """A token that the forge does not accept is tried once, and the rule has no credential that works."""
    result = checking("env:STANDIN_TOKEN", STANDIN_TOKEN="github_pat_wrongwrongwrong")
    assert result.code == 1
    assert "\nFAIL  account     bad credential: " in result.output
    assert "no credential works for `" in result.output
    assert len(github.calls("api")) == 1


def test_a_token_without_the_right(checking: Checking, github: StandIn) -> None:
    """A token without the scope for private repositories is warned of."""
    github.tokens[:] = [Token(DEFAULT_TOKEN, scopes=("read:org",))]
    result = checking("env:STANDIN_TOKEN")
    assert "\nwarn  rights      scopes: read:org; a private repository needs `repo`\n" in result.output


@pytest.mark.parametrize("owner", ["acme", "*"])
def test_an_app(checking: Checking, github: StandIn, app: App, app_key_file: Path, owner: str) -> None:
    """An App is named with its permissions, and its token with the repositories that it is for, where the rule tells
    the account.
    """
    github.repositories += [Repository("acme", "one"), Repository("acme", "two"), Repository("other", "three")]
    result = checking(f"{{github-app: {{id: {app.client_id}, key: 'file:{app_key_file}'}}}}", owner=owner)
    assert result.code == 0, result.output
    assert f"`ours` from github-app:{app.client_id}" in result.output
    told = "`Gatepass Test` of acme; permissions: contents: read, metadata: read; installations: 1"
    assert f"\nok    app         {told}\n" in result.output
    found = "an installation's, for 2 repositories, says localhost:"
    assert (f"\nok    account     {found}" in result.output) == (owner == "acme")
    assert ("its installation is found by the repository" in result.output) == (owner == "*")
    assert "ghs_" not in result.output
    assert "eyJ" not in result.output


def test_an_app_that_is_not_installed(checking: Checking, app: App, app_key_file: Path) -> None:
    """An App without an installation at the rule's account is told."""
    result = checking(f"{{github-app: {{id: {app.id}, key: 'file:{app_key_file}'}}}}", owner="initech")
    assert result.code == 1
    assert "FAIL  credential  the GitHub App is not installed there: " in result.output


def test_without_a_network(checking: Checking, github: StandIn) -> None:
    """What cannot be reached is told; `--offline` does not try."""
    github.faults.append(Fault("api", close=True, times=99))
    result = checking("env:STANDIN_TOKEN")
    assert result.code == 1
    assert "FAIL  account     cannot reach localhost: " in result.output
    assert "Traceback" not in result.output
    github.forget()
    rules = checking.shell.home / "checked.yaml"
    assert call([GATEPASS, "check", rules, "--offline"], checking.shell.env, cwd=checking.shell.home).code == 0
    assert github.calls() == []


# ------------------------------------------------------------------- the schema


def test_the_schema_is_the_committed_one() -> None:
    """`gatepass check --schema` prints what is committed, which the repository's rules.yaml names."""
    result = CliRunner().invoke(check, ["--schema"])
    assert result.exit_code == 0
    assert result.stdout == SCHEMA_FILE.read_text(encoding="utf-8")
    rules = (ROOT / "rules.yaml").read_text(encoding="utf-8")
    named = re.search(r"^# yaml-language-server: \$schema=(\S+)$", rules, re.MULTILINE)
    assert named is not None
    assert ROOT / named[1] == SCHEMA_FILE


SCHEMA_FILE = ROOT / "addon" / "gatepass" / "rules.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def is_accepted(text: str) -> bool:
    """Whether the schema has nothing against a rules file."""
    return bool(VALIDATOR.is_valid(yaml.safe_load(text)))


def test_the_schema_is_a_schema() -> None:
    """It is itself well formed, and every key of it tells an editor what it is for."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for name, definition in SCHEMA["$defs"].items():
        for key, value in definition["properties"].items():
            assert "description" in value or key == "version", f"{name}.{key}"


def test_the_schema_accepts_what_gatepass_accepts() -> None:
    """An editor does not complain of a good file: the repository's, those of the pages, and one with every key."""
    texts = [RULES, (ROOT / "rules.yaml").read_text(encoding="utf-8"), EVERY_KEY]
    texts += [shown.text for shown in blocks("yaml")]
    for text in texts:
        assert parse(text)
        assert is_accepted(text), text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "version: 2"),
        ("env:WORK", "evn:WORK"),
        ("env:WORK", "env:"),
        ("match:", "mach:"),
        ("resolve: github-release", "resolve: gitlab-release"),
        ("api: https://ghe.example.com/api/v3", "api: 5"),
        ("credential: work", "credential: []"),
        ("hosts: [store.example.com, ghe.example.com]", "hosts: []"),
        ("match: ghe.example.com/", "match: https://ghe.example.com/"),
    ],
)
def test_the_schema_refuses_what_gatepass_refuses(old: str, new: str) -> None:
    """An editor shows what is wrong before Gatepass does."""
    assert old in RULES
    text = RULES.replace(old, new)
    with pytest.raises(RulesError):
        parse(text)
    assert not is_accepted(text)


@pytest.mark.parametrize(
    "entry",
    ["{}", "{password: [env:A], networks: [10.0.0.0/8]}", "{oidc: {issuer: 'https://i.example'}}", "{users: a}"],
)
def test_the_schema_refuses_clients_that_gatepass_refuses(entry: str) -> None:
    """A client is known by one thing."""
    text = f"{RULES}clients: {{a: {{networks: [10.0.0.0/8]}}, b: {entry}}}\n"
    with pytest.raises(RulesError):
        parse(text)
    assert not is_accepted(text)
    assert is_accepted(text.replace(f", b: {entry}", ""))


EVERY_KEY = """\
version: 1
forges:
  - {web: ghe.example.com:8443, assets: [media.ghe.example.com]}
  - {web: other.example.com, api: https://api.other.example.com}
  - {web: acme.ghe.com, assets: [acme.blob.core.windows.net]}
credentials:
  all:
    from:
      - env:A
      - file:/run/secrets/token
      - file:~/token
      - keyring:team/github/me
      - systemd:github-token
      - gh
      - git
      - netrc
      - default
      - {command: [op, read, "op://team/github/token"], ttl: 0}
      - {github-app: {id: 12345, key: env:KEY, installation: 6}}
      - {github-app: {id: Iv23liAbC, key: file:/run/secrets/app.pem, owner: acme}}
      - {github-app: {id: Iv23liAbC, key: systemd:app.pem}}
    hosts: [ghe.example.com:8443]
  tenant: {from: [default], hosts: [acme.ghe.com, api.acme.ghe.com]}
  hub: {from: [default], hosts: [github.com]}
  index: {from: [command: [pass, show, index]], hosts: [packages.example.com]}
  app: {from: [{github-app: {id: Iv23liAbC, key: file:/run/secrets/app.pem}}], hosts: [github.com]}
rules:
  - {name: all, match: "ghe.example.com:8443/*", resolve: github-release, when: always, credential: [all]}
  - {match: acme.ghe.com/*, resolve: github-release, require: [digest, immutable], credential: tenant}
  - {match: github.com/acme/*, resolve: github-git, push: true, on_existing: keep, credential: hub}
  - {match: raw.githubusercontent.com/acme/*, resolve: github-source, credential: hub}
  - match: packages.example.com/simple/*
    headers: {Authorization: "{basic:me}", X-Kind: literal}
    credential: index
    methods: [GET, POST]
    on_existing: {Authorization: placeholder, X-Kind: refuse}
    placeholder: instead
    drop_response_headers: [Set-Cookie]
  - {match: "*.open.example.com/*", headers: {X-Kind: literal}, clients: [ci, office]}
  - match: api.github.com/repos/acme/*
    resolve: github-api
    credential: app
    access: [GET /releases/**, "POST /issues/*/comments"]
    graphql: [addComment]
    also: [/, /rate_limit]
    permissions: {contents: read, issues: write}
    placeholder: [GH_TOKEN]
  - {match: ghe.example.com:8443/api/v3/repos/acme/widget, resolve: github-api, access: issues, credential: all}
cache:
  {entries: 1, tags: 0, latest: 0, missing: 0, visibility: 0, shared: {url: redis://127.0.0.1:6379/0, user: me,
    password: env:A, key: [file:/run/secrets/new, env:OLD]}}
indexes: {acme: {repositories: ["acme.ghe.com/acme/*"], credential: tenant, prereleases: false, clients: [ci]}}
clients:
  ci: {password: [env:CI_PASSWORD, systemd:ci-password, {command: [pass, show, ci]}]}
  developers: {htpasswd: developers.htpasswd}
  actions: {oidc: {issuer: "https://token.example.com/x", audience: gatepass, claims: {ref: "refs/heads/*"}}}
  office: {networks: [10.20.0.0/16, "fd00:20::/32", 127.0.0.1]}
trusted_proxies: [127.0.0.1/32]
egress:
  allow: [github.com, "*.githubusercontent.com", "packages.example.com:8443", "[2001:db8::1]:443"]
  deny: ["*.paste.example"]
  private: [10.1.2.0/24]
  report_only: true
limits: {connections: 256, requests: 1200, misses: 60}
"""


def test_every_key_is_in_the_example() -> None:
    """`EVERY_KEY` has every key that the schema knows."""
    for name, definition in SCHEMA["$defs"].items():
        for key in definition["properties"]:
            assert re.search(rf"\b{key}:", EVERY_KEY), f"{name}.{key}"


@given(
    st.text("abe:/{}[]*?# ", max_size=30)
    | st.sampled_from(["env:A", "gh", "keyring:a/b", "systemd:a", "file:/x", "default"])
)
def test_the_schema_accepts_every_source_that_gatepass_does(text: str) -> None:
    """What the parser takes for a source an editor does too."""
    source = json.dumps(text)
    rules = f"version: 1\ncredentials: {{a: {{from: [{source}], hosts: [github.com]}}}}\n"
    rules += "rules: [{match: github.com/a, resolve: github-release, credential: a}]\n"
    with contextlib.suppress(RulesError):
        parse(rules)
        assert is_accepted(rules)
