"""What a repository's git holds, over HTTP: archives, single files, smart HTTP and LFS.

A bare repository is asked by git itself, so refs and packs are real. Web, raw, codeload and API each say who may have
it, and this does not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Literal, cast
from urllib.parse import quote, unquote

from . import assets
from .exchange import Answer, Recorded
from .model import Asset

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .model import Repository, Token
    from .world import World

type Format = Literal["tar.gz", "zip"]

_GIT_PATH = re.compile(
    r"/([^/]+)/([^/]+?)(?:\.git)?/"
    r"(info/refs|git-upload-pack|git-receive-pack|info/lfs/objects/batch|info/lfs/locks/verify)",
    re.ASCII,
)
_CONTENT_TYPES = {"tar.gz": "application/x-gzip", "zip": "application/zip"}
NOT_FOUND = Answer.text(404, "404: Not Found")
_LFS = "application/vnd.git-lfs+json"
_LOCKS = "info/lfs/locks/verify"


def run(folder: Path, *arguments: str, stdin: bytes = b"", **variables: str) -> bytes | None:
    """What git prints; None when it fails. The user's own settings change nothing."""
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, **variables}
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, env=env, input=stdin, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def commit(repository: Repository, ref: str) -> str | None:
    """The commit that a ref names: a branch, a tag, all of its name, or a hash."""
    if repository.git is None or ref.startswith("-"):
        return None
    found = run(repository.git, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    return found.decode().strip() if found else None


def archive(repository: Repository, ref: str, form: Format, *, legacy: bool) -> Answer:
    """An archive, as codeload makes it: its top folder is `R-REF`, or of what the API gives `O-R-SHA`.

    It is made anew each time, so its length is not known before, and no part can be asked for.
    """
    sha = commit(repository, ref)
    if sha is None:
        return NOT_FOUND
    short = re.sub(r"^refs/(heads|tags)/", "", ref)
    short = re.sub(r"^v(?=\d)", "", short).replace("/", "-")
    top = f"{repository.owner}-{repository.name}-{sha[:7]}" if legacy else f"{repository.name}-{short}"
    assert repository.git is not None
    body = run(repository.git, "archive", f"--format={form}", f"--prefix={top}/", sha)
    headers = {
        "content-type": _CONTENT_TYPES[form],
        "content-disposition": f"attachment; filename={top}.{form}",
        "etag": f'W/"{hashlib.sha256(f"{top}{sha}{form}".encode()).hexdigest()}"',
    }
    return Answer(200, headers, body or b"", framing="chunked")


def codeload(world: World, request: Recorded) -> Answer:
    """The host that makes archives: of public repositories, and for whoever has a URL with the API's token in it."""
    match request.path.removeprefix("/_codeload").strip("/").split("/"):
        case [owner, name, form, *rest] if rest and form.removeprefix("legacy.") in _CONTENT_TYPES:
            repository, _ = world.find(f"{unquote(owner)}/{unquote(name)}")
            ref = unquote("/".join(rest))
        case _:
            return NOT_FOUND
    if repository is None:
        return NOT_FOUND
    if repository.private and not world.signer.opens(request.path, request.query.get("token", "")):
        return NOT_FOUND
    kind = cast("Format", form.removeprefix("legacy."))
    return archive(repository, ref, kind, legacy=form.startswith("legacy."))


def codeload_url(world: World, request: Recorded, repository: Repository, form: str, ref: str, *, signed: bool) -> str:
    """Where the archive is; of a private repository with a token for five minutes (REST docs, "Contents")."""
    base = f"https://{request.names.codeload}" if request.names else f"https://{world.web}/_codeload"
    path = f"/{repository.full_name}/{form}/{quote(ref)}"
    if not signed:
        return base + path
    token = world.signer.token(path if request.names else f"/_codeload{path}", world.signed_lifetime)
    return f"{base}{path}?token={token}"


def raw(world: World, request: Recorded) -> Answer:
    """raw.githubusercontent.com, for what anybody may have; a private file is not there."""
    path = request.path if request.names else request.path.removeprefix("/raw")
    owner, _, rest = path.removeprefix("/").partition("/")
    name, _, rest = rest.partition("/")
    repository, _ = world.find(f"{unquote(owner)}/{unquote(name)}")
    if repository is None or repository.private:
        return NOT_FOUND
    found = _raw_file(repository, unquote(rest))
    if found is None:
        return NOT_FOUND
    return assets.serve(request, Asset("raw", found, "text/plain; charset=utf-8"))


def _raw_file(repository: Repository, rest: str) -> bytes | None:
    """The file behind REF/PATH, where REF may hold slashes."""
    segments = rest.split("/")
    for end in range(1, len(segments)):
        content = file(repository, "/".join(segments[:end]), "/".join(segments[end:]))
        if isinstance(content, bytes):
            return content
    return None


def file(repository: Repository, ref: str, path: str) -> bytes | list[str] | None:
    """A file's content, a folder's names, or None where there is neither."""
    sha = commit(repository, ref)
    if sha is None or repository.git is None:
        return None
    kind = (run(repository.git, "cat-file", "-t", f"{sha}:{path}") or b"").decode().strip()
    if kind == "blob":
        return run(repository.git, "cat-file", "blob", f"{sha}:{path}")
    if kind == "tree":
        return (run(repository.git, "ls-tree", "--name-only", f"{sha}:{path}") or b"").decode().split()
    return None


# ------------------------------------------------------------------------ git


def takes(world: World, request: Recorded) -> bool:
    """Whether it is a question to the git of a repository that has one."""
    found = _GIT_PATH.fullmatch(request.path)
    return found is not None and _repository(world, found)[0] is not None


def _repository(world: World, found: re.Match[str]) -> tuple[Repository | None, bool]:
    repository, moved = world.find(f"{unquote(found[1])}/{unquote(found[2])}")
    return (repository, moved) if repository is not None and repository.git is not None else (None, False)


def answer(world: World, request: Recorded) -> Answer:
    """Smart HTTP and LFS: of a private repository for Basic with a token alone (qm #1235, skelm #152)."""
    found = _GIT_PATH.fullmatch(request.path)
    assert found is not None
    repository, moved = _repository(world, found)
    assert repository is not None
    if moved:
        query = "".join(request.target.partition("?")[1:])
        return Answer(301, {"location": f"{world.web_base(request)}/{repository.full_name}.git/{found[3]}{query}"})
    service = request.query.get("service", found[3])
    is_push = service in ("git-receive-pack", _LOCKS) or (service.endswith("batch") and _wants_upload(request))
    token = _user(world, request)
    if token is None:
        if "authorization" in request.headers:
            return _unauthorized("Invalid username or token. Password authentication is not supported.")
        if repository.private or is_push:
            return _unauthorized("No anonymous access.")
    elif not token.sees(repository):
        return Answer.text(404, "Repository not found.\n")
    elif is_push and not token.push:
        return Answer.text(403, f"Permission to {repository.full_name}.git denied to {world.login}.\n")
    if service == _LOCKS:
        return Answer(200, {"content-type": _LFS}, b'{"ours": [], "theirs": []}')
    if service.endswith("batch"):
        return _batch(world, request, repository)
    return _backend(request, repository, found[3], pusher=world.login if is_push else "")


def _unauthorized(text: str) -> Answer:
    challenge = {"www-authenticate": 'Basic realm="GitHub"', "lfs-authenticate": 'Basic realm="GitHub"'}
    return Answer(401, {**challenge, "content-type": "text/plain"}, f"{text}\n".encode())


def _user(world: World, request: Recorded) -> Token | None:
    """The token that is the password of Basic, with any user: Bearer and `token` are refused."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        password = base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None
    return next((token for token in tuple(world.tokens) if token.value == password), None)


def _backend(request: Recorded, repository: Repository, path: str, pusher: str) -> Answer:
    """Git's own server, as a CGI program (RFC 3875)."""
    assert repository.git is not None
    variables = {
        "GIT_PROJECT_ROOT": str(repository.git.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{repository.git.name}/{path}",
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.target.partition("?")[2],
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(request.body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        "HTTP_GIT_PROTOCOL": request.headers.get("git-protocol", ""),
        "REMOTE_USER": pusher,
    }
    said = run(repository.git, "http-backend", stdin=request.body, **{k: v for k, v in variables.items() if v})
    if said is None:
        return Answer.text(500, "git failed\n")
    head, _, body = said.partition(b"\r\n\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head.decode().splitlines())}
    status = int(headers.pop("status", "200").split()[0])
    return Answer(status, headers, body, framing="chunked")


def _wants_upload(request: Recorded) -> bool:
    try:
        return bool(json.loads(request.body).get("operation") != "download")
    except (ValueError, AttributeError):
        return True


def _batch(world: World, request: Recorded, repository: Repository) -> Answer:
    """LFS's batch endpoint: addresses of objects, at a host that wants no credential (git-lfs, `docs/api/batch.md`)."""
    asked = json.loads(request.body)
    told = [_object(world, request, repository, each, asked["operation"]) for each in asked["objects"]]
    body = json.dumps({"transfer": "basic", "objects": told}).encode()
    return Answer(200, {"content-type": _LFS}, body)


def _object(
    world: World, request: Recorded, repository: Repository, asked: dict[str, object], operation: str
) -> dict[str, object]:
    name = str(asked["oid"])
    if operation == "download" and name not in repository.lfs:
        return {**asked, "error": {"code": 404, "message": "Object does not exist on the server"}}
    if operation == "upload" and name in repository.lfs:
        return asked  # nothing is to be done
    host = request.names.signed if request.names else world.asset_host
    path, method = f"/lfs/{name}", "GET"
    if operation == "upload":
        path, method = f"/lfs/{repository.full_name}/{name}", "PUT"
    url = world.signer.sigv4(host, path, "application/octet-stream", "inline", world.signed_lifetime, method)
    return {**asked, "authenticated": True, "actions": {operation: {"href": url, "expires_in": 300}}}


# ------------------------------------------------------------------------ API


def of_api(
    world: World, request: Recorded, repository: Repository, rest: Sequence[str], *, signed: bool
) -> Answer | tuple[int, str] | None:
    """`/tarball/REF`, `/zipball/REF` and `/contents/PATH`; a status and a message for a refusal, None for neither.

    They know no `application/octet-stream` (homebrew-releaser #42).
    """
    accept = request.headers.get("accept", "")
    match rest:
        case ["tarball" | "zipball" as kind, *ref]:
            if "octet-stream" in accept:
                return 415, "Unsupported 'Accept' header: 'application/octet-stream'. Must accept 'application/json'."
            form = "legacy.tar.gz" if kind == "tarball" else "legacy.zip"
            name = unquote("/".join(ref)) or "HEAD"
            if commit(repository, name) is None:
                return 404, "Not Found"
            url = codeload_url(world, request, repository, form, name, signed=signed)
            return Answer(302, {"location": url, "cache-control": "public, must-revalidate, max-age=0"})
        case ["contents", *path]:
            if "octet-stream" in accept:
                return 415, "Unsupported 'Accept' header: 'application/octet-stream'. Must accept 'application/json'."
            name = request.query.get("ref", "HEAD")
            if commit(repository, name) is None:
                return 404, f"No commit found for the ref {name}"
            found = file(repository, name, unquote("/".join(path)))
            if found is None:
                return 404, "Not Found"
            is_raw = ".raw" in accept
            if not is_raw or isinstance(found, list):
                told = json.dumps(found if isinstance(found, list) else {"type": "file", "size": len(found)}).encode()
                return Answer(200, {"content-type": "application/json; charset=utf-8"}, told)
            if len(found) > world.most_raw:
                return 403, "This API returns blobs up to 100 MB in size. The requested blob is too large to fetch."
            etag = f'W/"{hashlib.sha1(found, usedforsecurity=False).hexdigest()}"'
            headers = {"content-type": "application/vnd.github.raw+json; charset=utf-8", "etag": etag}
            if assets.matches(request.headers.get("if-none-match", ""), etag):
                return Answer(304, headers)
            return Answer(200, headers, found)
    return None
