"""A real wheel and a real sdist, made in memory: what a private release of the demo and the tests holds.

The sdist carries its own build backend (PEP 517, `backend-path`), so that building it needs no network.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
from typing import NamedTuple

_BACKEND = '''\
"""The smallest build backend: the wheel is already here."""
import pathlib, shutil

def build_wheel(folder, config_settings=None, metadata_directory=None):
    (wheel,) = pathlib.Path("dist").glob("*.whl")
    shutil.copy(wheel, folder)
    return wheel.name

def build_sdist(folder, config_settings=None):
    raise NotImplementedError
'''


class File(NamedTuple):
    """A distribution: its file name and its bytes."""

    name: str
    content: bytes


def wheel(name: str, version: str, padding: int = 0) -> File:
    """A pure wheel of one module `name` that says its version, with a file of `padding` zero bytes beside it."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f'__version__ = "{version}"\n'.encode(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: gatepass\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if padding:
        files = {f"{name}.bin": bytes(padding), **files}
    record = "".join(f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path), content)
    return File(f"{name}-{version}-py3-none-any.whl", buffer.getvalue())


def sdist(name: str, version: str) -> File:
    """An sdist that builds that wheel."""
    built = wheel(name, version)
    files = {
        "pyproject.toml": (
            f'[project]\nname = "{name}"\nversion = "{version}"\n'
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        ).encode(),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        "backend.py": _BACKEND.encode(),
        f"dist/{built.name}": built.content,
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(f"{name}-{version}/{path}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return File(f"{name}-{version}.tar.gz", buffer.getvalue())


def _digest(content: bytes) -> str:
    """As RECORD wants it: base64 for URLs, without padding (PEP 376)."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
