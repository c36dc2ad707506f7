"""The web host, such as github.com: what a browser without a session is told.

A token changes nothing here, which is the problem that Gatepass solves: so this may not know tokens.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from . import sources
from .exchange import Answer, Recorded
from .issuer import PATH
from .model import Zeros
from .world import download_path

if TYPE_CHECKING:
    from .model import Release, Repository
    from .world import World

_BIG = re.compile(r".*/big/(\d+)", re.ASCII)
_NOT_FOUND = Answer.page(404, "Not Found")


def answer(world: World, request: Recorded) -> Answer:
    """Release pages and downloads of public repositories; 404 for private ones, whoever asks (uv #15731, #12245).

    And what the issuer publishes, below a path of its own.
    """
    if request.path.startswith(f"{PATH}/"):
        return world.issuer.answer(request)
    if sources.takes(world, request):
        return sources.answer(world, request)
    if request.method not in ("GET", "HEAD"):
        return Answer.text(200, f"{request.method} of {request.bytes_received} bytes\n")
    # For tests of what passes through: a body of N zero bytes under any path.
    if big := _BIG.fullmatch(request.path):
        return Answer(200, {"content-type": "application/octet-stream"}, Zeros(int(big[1])))
    if request.path.endswith(".git/info/refs"):
        return Answer.text(200, "001e# service=git-upload-pack\n0000", "application/x-git-upload-pack-advertisement")
    if world.private_mode:
        # GHES admin docs, "enabling private mode": sign-in is required to see anything.
        return Answer(302, {"location": f"{world.web_base(request)}/login?return_to=%2F"})
    # Decoded once, and after the split: a slash of the tag may come as `%2F` or as itself.
    owner, _, rest = request.path.removeprefix("/").partition("/")
    name, _, rest = rest.partition("/")
    repository, moved = world.find(f"{unquote(owner)}/{unquote(name)}")
    if repository is None or repository.private:
        return _NOT_FOUND
    if moved:
        return Answer(301, {"location": f"{world.web_base(request)}/{repository.full_name}/{rest}".removesuffix("/")})
    return _repository(world, request, repository, rest)


def _repository(world: World, request: Recorded, repository: Repository, rest: str) -> Answer:
    """What a public repository has under `/O/R/`."""
    match rest.split("/"):
        case [""]:
            return Answer.page(200, html.escape(repository.full_name))
        case ["releases", "expanded_assets", *tag]:
            if release := repository.release(unquote("/".join(tag))):
                return _expanded_assets(repository, release)
        case ["archive", *file] if parts := re.fullmatch(r"(.+)\.(tar\.gz|zip)", unquote("/".join(file))):
            wanted, form = parts.groups()
            if sources.commit(repository, wanted) is None and repository.name in wanted.rpartition("/")[2]:
                wanted = wanted.rpartition("/")[0]  # `archive/SHA/NAME-SHA.tar.gz`, the form that packagers like
            url = sources.codeload_url(world, request, repository, form, wanted, signed=False)
            return Answer(302, {"location": url})
        case ["tarball" | "zipball" as kind, *ref]:
            form = "legacy.tar.gz" if kind == "tarball" else "legacy.zip"
            wanted = unquote("/".join(ref)) or "HEAD"
            url = sources.codeload_url(world, request, repository, form, wanted, signed=False)
            return Answer(302, {"location": url})
        case ["raw", *place] if place:
            base = f"https://{request.names.raw}" if request.names else f"https://{world.web}/raw"
            return Answer(302, {"location": f"{base}/{repository.full_name}/{'/'.join(place)}"})
        case ["releases", "latest"]:
            # Observed: to the page of the release, or to the list of none.
            latest = repository.latest()
            where = f"/tag/{quote(latest.tag)}" if latest else ""
            return Answer(302, {"location": f"{world.web_base(request)}/{repository.full_name}/releases{where}"})
        case ["releases", "tag", *tag] if repository.release(unquote("/".join(tag))):
            return Answer.page(200, html.escape(unquote(rest)))
        case ["releases", "latest", "download", *file] if file:
            if latest := repository.latest():
                path = download_path(repository.full_name, latest.tag, unquote("/".join(file)))
                return Answer(302, {"location": f"{world.web_base(request)}{path}"})
        case ["releases", "download", *tag, name]:
            release = repository.release(unquote("/".join(tag)))
            if release and (asset := release.asset(unquote(name))):
                return Answer(302, {"location": world.signed_url(request, repository, asset, credentialed=False)})
    return _NOT_FOUND


def _expanded_assets(repository: Repository, release: Release) -> Answer:
    """The list that `pip -f` and uv's flat index read; its links are relative to the host."""
    links = [
        f'<a href="{download_path(repository.full_name, release.tag, asset.name)}">{html.escape(asset.name)}</a>'
        for asset in tuple(release.assets)
        if asset.state == "uploaded"
    ]
    return Answer.page(200, "\n".join(links))
