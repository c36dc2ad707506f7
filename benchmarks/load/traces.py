"""How a secret looks in bytes, however it is written: as it is, in base64 at any offset, in hexadecimal, escaped.

Shares nothing with the addon's own redaction, so that no mistake is on both sides.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Traces:
    """Finds any of some secrets, whole or the half of it."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Each is to have 24 characters at the least, so that half of it is found by no chance."""
        forms: set[bytes] = set()
        for secret in secrets:
            data = secret.encode()
            if len(data) < 24:
                raise ValueError("expected a secret of 24 characters or more")
            half = len(data) // 2
            forms |= {data[:half], data[half:], data[::-1]}
            forms |= {part.hex().encode() for part in (data[:half], data[half:])}
            forms.add("".join(f"%{byte:02x}" for byte in data[:half]).encode())
            for offset in range(3):
                # without what depends on the neighbours
                inner = base64.b64encode(bytes(offset) + data)[4 if offset else 0 : (len(data) + offset) // 3 * 4]
                forms |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
        self._forms = [form.lower() for form in sorted(forms)]

    def search(self, data: bytes) -> bytes | None:
        """What was found, with some of what stands around it."""
        text = data.lower()
        # one after the other: a pattern of them all is a hundred times slower
        at = max(map(text.find, self._forms))
        return data[max(0, at - 200) : at + 250] if at >= 0 else None
