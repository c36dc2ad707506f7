"""What the tests ask of curl, by Python's standard library: for machines that have no curl.

A client like others: it goes through the proxy and trusts what the variables say, and speaks HTTP/1.1 alone. What is no
option of its own ends it as `UNKNOWN`. Tests of curl itself do not use it. Runs by itself, and knows nothing of the
tests; `tests/test_curl.py` holds it against curl.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import os
import signal
import socket
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote, urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

UNKNOWN = 2
"""The exit code of an option that is not known, as curl has it."""

_REDIRECTS = (301, 302, 303, 307, 308)
_BLOCK = 1 << 16

type Body = Path | bytes | None


class Failed(Exception):
    """A transfer that ends with one of curl's exit codes (curl(1), EXIT CODES)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"curl: {message}\n")
        sys.exit(UNKNOWN)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read a command line; ends the process if it holds what is unknown."""
    parser = _Parser(prog="curl", add_help=False, allow_abbrev=False)
    for flag in ("-q", "-s", "-S", "-v", "-f/--fail", "-L/--location", "-I/--head", "-i/--include", "-k/--insecure"):
        parser.add_argument(*flag.split("/"), action="store_true")
    for flag in ("-O", "--path-as-is", "--http1.1", "--suppress-connect-headers"):
        parser.add_argument(flag, action="store_true")
    for option in ("-X", "-r", "-w", "-x/--proxy", "-T", "-D"):
        parser.add_argument(*option.split("/"))
    for option in ("--max-time", "--cacert", "--noproxy", "--request-target", "--connect-to"):
        parser.add_argument(option)
    for option in ("-H", "-o", "-d/--data-binary", "--json"):
        parser.add_argument(*option.split("/"), action="append", default=[])
    parser.add_argument("urls", nargs="+")
    return parser.parse_intermixed_args(arguments)


@dataclass(frozen=True)
class Address:
    """What a URL says."""

    scheme: str
    host: str
    port: int
    server: str
    """As the URL spells it, for `Host`."""
    target: str
    user: str

    @classmethod
    def parse(cls, url: str, *, as_is: bool) -> Address:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Failed(3, f"no URL: {url}")
        path = parts.path or "/"
        if "/." in path and not as_is:
            path = urlsplit(urljoin("http://host", path)).path
        target = f"{path}?{parts.query}" if parts.query else path
        user, _, server = parts.netloc.rpartition("@")
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        return cls(parts.scheme, parts.hostname, port, server, target, unquote(user))


class Transfer:
    """The way to a URL, and on to where it redirects; each answer is written as the options say."""

    def __init__(self, options: argparse.Namespace, body_file: str | None) -> None:
        self._options = options
        self._body_file = body_file
        self.size = 0
        self.status = 0

    def run(self, url: str) -> None:
        first = address = Address.parse(url, as_is=self._options.path_as_is)
        method, body = self._request()
        with contextlib.ExitStack() as stack:
            heads = stack.enter_context(Path(self._options.D).open("wb")) if self._options.D else None
            for _ in range(50):
                fields = self._fields(address, body, first.server)
                with self._ask(address, method, fields, body) as response:
                    self.status = response.status
                    head = _head(response)
                    if heads:
                        heads.write(head)
                    location = response.headers["Location"]
                    if not (self._options.location and response.status in _REDIRECTS and location):
                        self._write(response, head)
                        return
                address = Address.parse(urljoin(url, location), as_is=True)
                url = urljoin(url, location)
                if response.status < 307 and method == "POST" and not self._options.X:
                    method, body = "GET", None
        raise Failed(47, "maximum (50) redirects followed")

    def _request(self) -> tuple[str, Body]:
        options = self._options
        if options.T:
            return options.X or "PUT", Path(options.T)
        if sent := [*options.data_binary, *options.json]:
            parts = (Path(text[1:]).read_bytes() if text[:1] == "@" else text.encode() for text in sent)
            return options.X or "POST", b"&".join(parts)
        return options.X or ("HEAD" if options.head else "GET"), None

    def _fields(self, address: Address, body: Body, first: str) -> list[tuple[str, str]]:
        """The header: what is usual, unless the options name it, and what they name."""
        usual = {"Host": address.server, "User-Agent": "curl", "Accept": "*/*"}
        if address.user:
            usual["Authorization"] = _basic(address.user)
        if self._options.r:
            usual["Range"] = f"bytes={self._options.r}"
        if body is not None:
            usual["Content-Length"] = str(len(body) if isinstance(body, bytes) else body.stat().st_size)
        if self._options.json:
            usual |= {"Content-Type": "application/json", "Accept": "application/json"}
        elif isinstance(body, bytes):
            usual["Content-Type"] = "application/x-www-form-urlencoded"
        given = [_field(text) for text in self._options.H]
        named = {name.lower() for name, _ in given}
        if "transfer-encoding" in named:
            del usual["Content-Length"]
        # since 7.58 curl tells another host none of these
        kept = () if address.server == first else ("authorization", "cookie")
        return [
            *((name, value) for name, value in usual.items() if name.lower() not in named),
            *((name, value) for name, value in given if value is not None and name.lower() not in kept),
        ]

    @contextlib.contextmanager
    def _ask(
        self, address: Address, method: str, fields: list[tuple[str, str]], body: Body
    ) -> Iterator[http.client.HTTPResponse]:
        proxy = self._proxy(address)
        connection = http.client.HTTPConnection(address.host, address.port)
        target = address.target
        if proxy and address.scheme == "http":
            target = f"http://{address.server}{target}"
            fields = [*fields, *_proxy_fields(proxy).items()]
        with self._connect(address, proxy) as connection.sock, contextlib.closing(connection):
            connection.putrequest(
                method, self._options.request_target or target, skip_host=True, skip_accept_encoding=True
            )
            for name, value in fields:
                connection.putheader(name, os.fsencode(value))
            try:
                chunked = any(name.lower() == "transfer-encoding" for name, _ in fields)
                connection.endheaders(_pieces(body), encode_chunked=chunked)
            except OSError as error:
                raise Failed(55, f"send failure: {error}") from None
            response = connection.getresponse()
            if self._options.v:
                sys.stderr.write(f"< {_head(response).decode('latin-1')}")
            yield response

    def _proxy(self, address: Address) -> Address | None:
        options, environ = self._options, os.environ
        names = ["https_proxy", "HTTPS_PROXY"] if address.scheme == "https" else ["http_proxy"]
        found = (environ[name] for name in (*names, "all_proxy", "ALL_PROXY") if environ.get(name))
        url = options.proxy or next(found, "")
        without = environ.get("no_proxy") or environ.get("NO_PROXY", "")
        excepted = without if options.noproxy is None else options.noproxy
        hosts = [host.strip().lstrip(".") for host in excepted.split(",") if host.strip()]
        if not url or any(
            host in ("*", address.server, address.host) or address.host.endswith(f".{host}") for host in hosts
        ):
            return None
        if "://" in url and not url.startswith("http://"):
            raise Failed(UNKNOWN, f"no proxy of a kind that is known: {url}")
        return Address.parse(url if "://" in url else f"http://{url}", as_is=True)

    def _connect(self, address: Address, proxy: Address | None) -> socket.socket:
        """A connection to the server, through the proxy if there is one."""
        host, port = address.host, address.port
        if self._options.connect_to:
            _, _, host, port_text = self._options.connect_to.split(":")
            port = int(port_text)
        peer = (proxy.host, proxy.port) if proxy else (host, port)
        try:
            sock = socket.create_connection(peer)
        except socket.gaierror as error:
            raise Failed(5 if proxy else 6, f"could not resolve {peer[0]}: {error}") from None
        except OSError as error:
            raise Failed(7, f"failed to connect to {peer[0]} port {peer[1]}: {error}") from None
        if address.scheme == "http":
            return sock
        if proxy:
            _tunnel(sock, f"{host}:{port}", proxy)
        try:
            return self._trust().wrap_socket(sock, server_hostname=address.host)
        except ssl.SSLCertVerificationError as error:
            raise Failed(60, f"SSL certificate problem: {error}") from None
        except OSError as error:
            raise Failed(35, f"TLS: {error}") from None

    def _trust(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["http/1.1"])
        if self._options.insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            return context
        bundle = self._options.cacert or os.environ.get("CURL_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
        try:
            context.load_verify_locations(bundle) if bundle else context.load_default_certs()
        except (OSError, ssl.SSLError):
            raise Failed(77, f"error setting certificate file: {bundle}") from None
        return context

    def _write(self, response: http.client.HTTPResponse, head: bytes) -> None:
        if self._options.fail and response.status >= 400:
            raise Failed(22, f"the requested URL returned error: {response.status}")
        with contextlib.ExitStack() as stack:
            output = sys.stdout.buffer
            if self._body_file:
                output = stack.enter_context(Path(self._body_file).open("wb"))
            if self._options.include or self._options.head:
                output.write(head)
            try:
                while block := response.read(_BLOCK):
                    output.write(block)
                    self.size += len(block)
            except http.client.IncompleteRead:
                raise Failed(18, "transfer closed with outstanding read data remaining") from None
            output.flush()
            if response.length:
                raise Failed(18, f"transfer closed with {response.length} bytes remaining to read")


def _field(text: str) -> tuple[str, str | None]:
    """A field that an option names: `Name: value`, `Name;` for an empty one, and `Name:` for none."""
    name, colon, value = text.partition(":")
    return (name, value.strip() or None) if colon else (name.rstrip(";"), "")


def _head(response: http.client.HTTPResponse) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {response.reason}", *(f"{k}: {v}" for k, v in response.headers.items())]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def _pieces(body: Body) -> Iterable[bytes] | None:
    """A body a piece at a time: a file may be larger than memory."""
    if not isinstance(body, Path):
        return None if body is None else iter((body,))
    return iter(_blocks(body))


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _tunnel(sock: socket.socket, server: str, proxy: Address) -> None:
    """CONNECT (RFC 9110, 9.3.6)."""
    fields = {"Host": server, "User-Agent": "curl"} | _proxy_fields(proxy)
    lines = [f"CONNECT {server} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    sock.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    head = b""
    # a byte at a time: what follows the head is the server's
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            raise Failed(56, "proxy CONNECT aborted")
        head += byte
    status = head.split(b" ", 2)[1].decode()
    if not status.startswith("2"):
        raise Failed(56, f"received HTTP code {status} from proxy after CONNECT")


def _proxy_fields(proxy: Address) -> dict[str, str]:
    return {"Proxy-Authorization": _basic(proxy.user)} if proxy.user else {}


def _basic(user: str) -> str:
    text = user if ":" in user else f"{user}:"
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def _timeout(*_: Any) -> NoReturn:
    raise Failed(28, "operation timed out")


def main(arguments: list[str]) -> int:
    """Fetch each URL in turn; the exit code is the last's, but that one which failed is."""
    options = parse(arguments)
    signal.signal(signal.SIGALRM, _timeout)
    signal.setitimer(signal.ITIMER_REAL, float(options.max_time or 0))
    code = 0
    files = [*options.o, *(url.rpartition("/")[2] for url in options.urls if options.O)]
    for number, url in enumerate(options.urls):
        transfer = Transfer(options, files[number] if number < len(files) else None)
        try:
            transfer.run(url)
        except (OSError, http.client.HTTPException) as error:
            code = 56
            text = f"failure when receiving data: {error}"
        except Failed as error:
            code, text = error.code, str(error)
        else:
            text = ""
        if text and (options.S or not options.s):
            sys.stderr.write(f"curl: ({code}) {text}\n")
        if options.w:
            told = options.w.replace("%{http_code}", f"{transfer.status:03}")
            told = told.replace("%{size_download}", str(transfer.size)).replace("\\n", "\n")
            sys.stdout.write(told)
            sys.stdout.flush()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
