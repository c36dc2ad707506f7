"""Names of files: which distribution one is, and whether the name still tells what was uploaded.

Pure. Names, versions and tags are read as Python's installers read them, by `packaging`.

Sources: the binary distribution format (PEP 427, PEP 491), PEP 625 for sdists; GitHub's upload docs (FACTS.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    is_normalized_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from gatepass.problems.choice import upload_name

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

type Kind = Literal["wheel", "sdist"]

_LONGEST: Final = 255
_WHEEL: Final = ".whl"
_SDIST: Final = ".tar.gz"
# Of these the parts of such a name are made; `packaging` lets spaces and slashes pass, too.
_SIGNS: Final = re.compile(r"[A-Za-z0-9._+!-]+", re.ASCII)
METADATA: Final = ".metadata"
"""What the name of a wheel's metadata has behind that of the wheel (PEP 658)."""
# A version with an epoch at the end of a tag, whatever stands before it: `1!2.0`, `v1!2.0`, `tool/v1!2.0`.
_EPOCH: Final = re.compile(r"(?:^|[^0-9A-Za-z.!])[vV]?([0-9]{1,9}![0-9][^/@ ]{0,100})$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a file's name tells; both are in their normal form (PEP 503, PEP 440)."""

    project: NormalizedName
    version: str
    kind: Kind


def parse(name: str) -> Distribution | None:
    """Read the name of a file; None when it is no wheel's and no sdist's."""
    # numbers of any length are versions to `packaging`, and Python refuses to read them
    if len(name) > _LONGEST or not _SIGNS.fullmatch(name) or re.search(r"[0-9]{100}", name):
        return None
    kind: Kind
    try:
        if name.endswith(_WHEEL):
            kind = "wheel"
            project, version, _, _ = parse_wheel_filename(name)
        elif name.endswith(_SDIST):
            kind = "sdist"
            project, version = parse_sdist_filename(name)
        else:
            return None
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None
    return Distribution(project, str(version), kind) if is_normalized_name(project) else None


def normal(name: str) -> NormalizedName | None:
    """The normal form of a project's name (PEP 503); None when it is none."""
    if len(name) > _LONGEST or not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", name, re.ASCII):
        return None
    return canonicalize_name(name)


def loss(name: str, distribution: Distribution, tag: str, label: str | None) -> str | None:
    """What the file was before GitHub made a dot of a sign in its name, when that was another distribution.

    Of an epoch, `1!2.0`, it leaves `1.2.0`, which a resolver would take for another version. What remembers it is the
    asset's label, where the uploader set one, or the release's tag.
    """
    if label and label != name and upload_name(label) == name:
        was = parse(label)
        if was is not None and was != distribution:
            return was.version
    if (found := _EPOCH.search(tag)) is not None:
        try:
            tagged = Version(found[1])
            lost = Version(found[1].replace("!", ".", 1))
        except InvalidVersion:
            return None
        if tagged.epoch and str(lost) == distribution.version:
            return str(tagged)
    return None


def wheel_of(name: str) -> str | None:
    """The wheel whose metadata goes by that name; None when it is no such name."""
    wheel = name.removesuffix(METADATA)
    return wheel if wheel != name and wheel.endswith(_WHEEL) else None
