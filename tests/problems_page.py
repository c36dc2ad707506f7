"""docs/problems.md, made from the catalogue: `uv run python -m tests.problems_page > docs/problems.md`.

Knows the catalogue's layout: its sections are comments, as everywhere in the code, and so are found in its text.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from string import Formatter
from typing import TYPE_CHECKING, Final

from gatepass.forge.urls import AssetRef, Repository
from gatepass.problems import catalogue, choice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gatepass.problems.kind import Kind, Text

INTRO: Final = """\
# Problems

Everything that can go wrong, by the name that its problem document has: the last part of the document's `type`,
`urn:gatepass:problem:KIND`, is the anchor on this page, `docs/problems.md#KIND`.

<!-- made by `uv run python -m tests.problems_page > docs/problems.md` from addon/gatepass/problems/catalogue.py -->

A request that Gatepass cannot serve is answered with problem details (RFC 9457). `type` is stable, and for machines;
the other texts are for people, and may get better:

```json
{example}
```

Beside these stands what is known of the case: `owner`, `repo`, `tag`, `asset`, `credential`, `credentials`,
`credential-source`, `request-id`, `candidates`, `renamed-to`, `authorise-at`, `retry-after` (seconds).

| where | what is shown |
|---|---|
| uv | title and detail, which ends in the hint |
| pip, wget, `curl -i` | the title, as the reason phrase: `{reason}` |
| curl, any other client | the whole document, as the body |
| the proxy's log, mitmweb's comments | title, detail and hint |
| `gatepass run` | the same, after the output of a command that failed |
| `gatepass explain` | the step that met it, and its hint as what to do |

The answer has the status of the problem; that of a HEAD is always 404, so that uv asks on by GET and shows the details.
Where a rule names several credentials, the detail is that of the most telling one, followed by the others' titles.

Below, `{{tag}}` stands for the tag, and so on. `[A|B]` is A, or B where A is not known; `[A]` is left out then.
"""

# What a person calls a fact, where that is not its name in the catalogue.
NAMES: Final = {
    "app.installation": "installation",
    "app.key": "source of the private key",
    "app.owner": "account",
    "candidates": "similar names",
    "expired": "date",
    "forge.api_host": "API host",
    "forge.web": "web host",
    "host.name": "host",
    "known": "names there",
    "message": "its message",
    "more": "number",
    "ref.name": "asset",
    "ref.repository": "owner/repo",
    "ref.repository.owner": "owner",
    "ref.tag": "tag",
    "remedies": "a remedy for each source",
    "renamed": "new owner/repo",
    "repository": "owner/repo",
    "retry_after": "time",
    "secret.kind": "kind of token",
    "secret.source": "source",
    "source.service": "service",
    "source.user": "user",
    "tried": "each source, and why it has none",
    "trust": "which CAs",
    "uploaded": "name there",
    "what": "what is wrong",
}


def sections() -> Iterator[tuple[str, list[Kind]]]:
    """The catalogue's sections, each with its entries."""
    for part in re.split(r"^# -+ ", inspect.getsource(catalogue), flags=re.MULTILINE)[1:]:
        title, _, entries = part.partition("\n")
        yield (
            title,
            [getattr(catalogue, name) for name in re.findall(r"^([A-Z_]+)\b.* = Kind\(", entries, re.MULTILINE)],
        )


def page() -> str:
    """The whole page."""
    ref = AssetRef(Repository("acme", "tool"), "v1.O", "acme_tool-1.0-py3-none-any.whl")
    told = choice.tag_not_found(ref, ["v1.1", "v1.0"], None)
    document = json.loads(told.about(owner="acme", repo="tool", tag=ref.tag, asset=ref.name).body())
    example = json.dumps(document, indent=2, ensure_ascii=False)
    lines = [INTRO.format(example=example, reason=told.reason)]
    for title, kinds in sections():
        lines += [f"**{_capitalised(title)}**\n", "| kind | status | title |", "|---|---|---|"]
        lines += [f"| [`{kind.name}`](#{kind.name}) | {kind.status} | {shown(kind.title)} |" for kind in kinds]
        lines.append("")
    for title, kinds in sections():
        lines.append(f"## {_capitalised(title)}\n")
        for kind in kinds:
            lines += _entry(kind)
    return "\n".join(lines)


def _entry(kind: Kind) -> Iterator[str]:
    yield f"### {kind.name}\n"
    yield f"{kind.status}: **{shown(kind.title)}**\n"
    yield from _told("what is wrong", kind.detail)
    yield from _told("hint", kind.hint)
    for case, remedy in kind.remedies.items():
        yield f"  - {f'`{case}`' if case else 'else'}: {shown(remedy)}"
    yield ""


def _told(label: str, text: Text) -> list[str]:
    if isinstance(text, str):
        return [f"- {label}: {shown(text)}"]
    return [f"- {label}, the first of these that fits:", *(f"  - {shown(each)}" for each in text)]


def shown(text: str) -> str:
    """A text with its places as code, named for people."""
    parts = []
    is_code = False
    for literal, name, _, _ in Formatter().parse(text):
        is_code ^= literal.count("`") % 2 == 1
        parts.append(literal)
        if name is not None:
            place = "{" + NAMES.get(name, name.replace("_", " ")) + "}"
            parts.append(place if is_code else f"`{place}`")
    return "".join(parts)


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


if __name__ == "__main__":
    sys.stdout.write(page())
