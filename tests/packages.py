"""Packages of other tools than Python's, for clients that install them."""

from __future__ import annotations

import io
import json
import tarfile


def npm_package() -> bytes:
    """The smallest package of npm."""
    content = json.dumps({"name": "acme", "version": "1.0.0"}).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("package/package.json")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
