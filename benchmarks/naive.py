"""For `mitmdump -s`: the addon that one would write first. It asks the API at every request, and remembers nothing.

Only what the benchmark needs of it is here; not an example to follow.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
from typing import TYPE_CHECKING, Final
from urllib.request import Request, urlopen

from mitmproxy import ctx, http

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow

_DOWNLOAD: Final = re.compile(r"/([^/]+/[^/]+)/releases/download/([^/]+)/([^/]+)")


class Naive:
    """Looks the release up, and sends the request to the asset endpoint with the token."""

    async def request(self, flow: HTTPFlow) -> None:
        match = _DOWNLOAD.fullmatch(flow.request.path)
        if match is None:
            return
        if flow.request.method == "HEAD":
            # a HEAD of a signed URL is refused; after a 405 uv goes on with a GET
            flow.response = http.Response.make(405)
            return
        repository, tag, name = match.groups()
        api = f"https://{flow.request.host}:{flow.request.port}/api/v3/repos/{repository}/releases"
        headers = {"Authorization": f"Bearer {os.environ['BENCHMARK_TOKEN']}", "User-Agent": "naive"}
        release = await asyncio.to_thread(_json, Request(f"{api}/tags/{tag}", headers=headers))  # noqa: S310 — https
        (asset,) = (asset for asset in release["assets"] if asset["name"] == name)
        flow.request.path = f"/api/v3/repos/{repository}/releases/assets/{asset['id']}"
        flow.request.headers.update(headers | {"Accept": "application/octet-stream"})


def _json(request: Request) -> dict[str, list[dict[str, str]]]:
    trust = ssl.create_default_context(cafile=ctx.options.ssl_verify_upstream_trusted_ca)
    with urlopen(request, context=trust, timeout=20) as reply:  # noqa: S310 — https
        decoded: dict[str, list[dict[str, str]]] = json.load(reply)
    return decoded


addons = [Naive()]
