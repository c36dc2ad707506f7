"""The shape of rules.yaml: which keys there are, which must be given, and of what type each is.

The types are the file's and nobody else's; `gatepass.rules.parser` gives them their meaning. `schema` is generated from
them, for editors. `faults` finds all that is wrong with a document's shape, and with each of its values alone, where a
decoder stops at the first thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType, inspect

from gatepass.rules import values
from gatepass.rules.access import MOST_MISSES
from gatepass.rules.indexes import Repositories, read_index_name
from gatepass.rules.values import Pattern, Template, UnfitError
from gatepass.rules.yaml_source import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gatepass.rules.yaml_source import Data, Document, Path, RuleProblem


def _told(description: str | None, reader: Callable[[str], object] | None = None, **told: Any) -> Any:
    """What an editor is told; and what a text is read by, which finds what is wrong with it."""
    return Meta(description=description, extra={"reader": reader} if reader else None, **told)


_T = TypeVar("_T")
_Some = Annotated[list[_T], Meta(min_length=1)]
_Seconds = Annotated[int, Meta(ge=0, le=86_400)]
_Name = Annotated[str, _told("The name of a credential")]
_Host = Annotated[str, _told("HOST or HOST:PORT", values.read_host, examples=["github.com"])]
_Hosts = Annotated[
    str,
    _told("HOST, HOST:PORT, or *.DOMAIN for all below it", values.read_hosts, examples=["github.com", "*.example.com"]),
]
_SOURCES: Final = [
    {"enum": ["default", "gh", "git", "netrc"]},
    {"pattern": "^env:[A-Za-z_][A-Za-z0-9_]*$"},
    {"pattern": "^file:"},
    {"pattern": "^systemd:.+$"},
    {"pattern": "^keyring:.+/.+$"},
]
_Source = Annotated[str, _told("Where a secret comes from", values.read_source, extra_json_schema={"anyOf": _SOURCES})]


class ForgeEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A GitHub besides github.com and ghe.com, or more asset hosts of one."""

    web: Annotated[_Host, _told("The host of its web pages: HOST or HOST:PORT")]
    api: Annotated[
        str | UnsetType,
        _told(
            "The base URL of its API; left out, https://HOST/api/v3",
            values.read_api,
            examples=["https://ghe.example.com/api/v3"],
        ),
    ] = UNSET
    assets: Annotated[list[_Host], _told("Hosts that its signed URLs lead to: no credential is ever sent there")] = []


class AppEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A GitHub App, whose installation gives tokens."""

    id: Annotated[
        int | str, _told("The App's client id, or its number", values.read_app_id, examples=["Iv23liAbCdEfGhIjKlMn"])
    ]
    key: Annotated[
        str,
        _told(
            "Its private key: file:PATH, systemd:NAME or env:NAME",
            values.read_key_source,
            extra_json_schema={"pattern": "^(file|systemd|env):"},
            examples=["file:/run/secrets/app.pem"],
        ),
    ]
    installation: Annotated[
        Annotated[int, Meta(ge=1)] | UnsetType, _told("The installation's number; left out, it is found")
    ] = UNSET
    owner: Annotated[
        str | UnsetType,
        _told("The account whose installation it is; left out, that of each repository", values.read_owner),
    ] = UNSET


class SourceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A source that needs more than a word: `command` or `github-app`."""

    command: Annotated[
        _Some[str] | UnsetType,
        _told(
            "A program and its arguments, run without a shell; it prints the secret on one line",
            examples=[["op", "read", "op://team/github/token"]],
        ),
    ] = UNSET
    ttl: Annotated[_Seconds | UnsetType, _told("Seconds for which the command's output is kept; 300")] = UNSET
    github_app: Annotated[AppEntry | UnsetType, _told("A GitHub App's installation token")] = UNSET


class CredentialEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret comes from, and which hosts it may serve."""

    sources: Annotated[_Some[_Source | SourceEntry], _told("Asked in order: the first that yields is used")] = (
        msgspec.field(name="from")
    )
    hosts: Annotated[_Some[_Hosts], _told("The hosts that it may serve; it is never sent to another")]


_Kept = Annotated[
    str,
    _told(
        "file:PATH, systemd:NAME or env:NAME",
        values.read_kept_source,
        extra_json_schema={"pattern": "^(file|systemd|env):"},
        examples=["file:/run/secrets/gatepass-cache-key"],
    ),
]


class SharedEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where replicas share what they learn: in a Redis, or a Valkey, sealed."""

    url: Annotated[
        str,
        _told(
            "redis://HOST:PORT/DATABASE, or rediss://… with TLS",
            values.read_store,
            extra_json_schema={"pattern": "^rediss?://"},
            examples=["redis://127.0.0.1:6379/0"],
        ),
    ]
    key: Annotated[
        _Kept | _Some[_Kept],
        _told("What seals it: 32 random bytes in base64; of several the first seals, and every one opens"),
    ]
    user: Annotated[
        str | UnsetType, _told("The server's user; left out, its own `default`", values.read_store_user)
    ] = UNSET
    password: Annotated[
        str | UnsetType,
        _told(
            "The password of the server, or of its user: file:PATH, systemd:NAME or env:NAME",
            values.read_kept_source,
            extra_json_schema={"pattern": "^(file|systemd|env):"},
        ),
    ] = UNSET


class CacheEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much is remembered, in entries of each kind, and for how many seconds."""

    entries: Annotated[int, _told("How many of each kind are kept", ge=1, le=1_000_000)] = 4096
    latest: Annotated[_Seconds, _told("For so long the latest release is what it was")] = 60
    tags: Annotated[_Seconds, _told("For so long the release of a tag is what it was")] = 300
    missing: Annotated[_Seconds, _told("For so long what could not be had is not asked for again")] = 10
    visibility: Annotated[_Seconds, _told("For so long a repository is as public or private as it was")] = 600
    shared: Annotated[SharedEntry | UnsetType, _told("Where replicas share it; left out, each has its own")] = UNSET


_Variable = Annotated[str, _told("The name of an environment variable", values.read_variable)]
_Allowed = Annotated[
    str, _told("METHOD /path below the repository; * is any run without a slash, ** any run", values.read_allowed)
]
_Mutation = Annotated[str, _told("The name of a mutation", values.read_mutation, examples=["createIssue"])]
_Permission = Annotated[str, _told("A repository permission of Apps", values.read_permission, examples=["issues"])]
_OnExisting = Literal["replace", "keep", "refuse", "placeholder"]
_HeaderName = Annotated[str, _told(None, values.read_header_name)]


class RuleEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do with the requests that match."""

    match: Annotated[
        str,
        _told(
            "HOST/PATH; * in the path is any run of characters, slashes included; *.HOST is any host below",
            Pattern.parse,
            extra_json_schema={"pattern": "^(\\*\\.)?[^/*?#:]+(:[0-9]+)?/[^?#]*$"},
            examples=["github.com/my-company/*/releases/download/*"],
        ),
    ]
    credential: Annotated[
        _Name | _Some[_Name] | UnsetType,
        _told("The credential, or several of which one may see the repository: tried in order"),
    ] = UNSET
    name: Annotated[Annotated[str, Meta(min_length=1)] | UnsetType, _told("What logs and errors call the rule")] = UNSET
    resolve: Annotated[
        Literal["github-release", "github-source", "github-git", "github-api"] | UnsetType,
        _told(
            "Find the release asset, or the archive or raw file, through the API and fetch it; let git fetch; "
            "or let the API be asked"
        ),
    ] = UNSET
    headers: Annotated[
        Annotated[
            dict[_HeaderName, Annotated[str, _told(None, Template.parse)]],
            Meta(min_length=1),
        ]
        | UnsetType,
        _told(
            "Headers to set; {credential} is the secret, {basic:USER} Basic of USER and it",
            examples=[{"Authorization": "Bearer {credential}"}],
        ),
    ] = UNSET
    when: Annotated[
        Literal["always", "not-found"] | UnsetType,
        _told("With resolve: use the credential at once, or only for what anybody may not have"),
    ] = UNSET
    require: Annotated[
        _Some[Literal["digest", "immutable"]] | UnsetType,
        _told("With github-release: refuse an asset without a digest, or of a release that can still be changed"),
    ] = UNSET
    push: Annotated[
        bool | UnsetType, _told("With github-git: whether git may push, and git-lfs upload; it may not")
    ] = UNSET
    methods: Annotated[
        _Some[Annotated[str, _told(None, values.read_method)]] | UnsetType,
        _told("With headers: the methods that it is for; GET and HEAD"),
    ] = UNSET
    on_existing: Annotated[
        _OnExisting | Annotated[dict[_HeaderName, _OnExisting], Meta(min_length=1)] | UnsetType,
        _told(
            "With headers or github-git: what becomes of one that the client sent, for all or by name; it is replaced"
        ),
    ] = UNSET
    placeholder: Annotated[
        Annotated[str, _told(None, values.read_placeholder)] | _Some[_Variable] | UnsetType,
        _told(
            "What clients send in the secret's place, with on_existing: placeholder; or the variables that `run` and "
            "`env` set to a value that is made at each start",
            examples=[["GH_TOKEN"]],
        ),
    ] = UNSET
    access: Annotated[
        Literal["read", "issues", "write"] | _Some[_Allowed] | UnsetType,
        _told(
            "With github-api: what may be done in its repositories: read, issues, write, or these methods and paths",
            examples=["read", ["GET /releases/**", "POST /issues/*/comments"]],
        ),
    ] = UNSET
    graphql: Annotated[
        Literal["none", "query", "any"] | _Some[_Mutation] | UnsetType,
        _told("With github-api: nothing; queries; queries and these mutations; or all", examples=[["createIssue"]]),
    ] = UNSET
    also: Annotated[
        _Some[Annotated[str, _told(None, values.read_api_path)]] | UnsetType,
        _told("With github-api: paths outside of a repository that may be read", examples=[["/user", "/rate_limit"]]),
    ] = UNSET
    permissions: Annotated[
        Annotated[dict[_Permission, Literal["read", "write"]], Meta(min_length=1)] | UnsetType,
        _told(
            "With github-api: what an App's token may do; left out, what `access` needs", examples=[{"issues": "write"}]
        ),
    ] = UNSET
    drop_response_headers: Annotated[
        _Some[Annotated[str, _told(None, values.read_dropped_header)]] | UnsetType,
        _told("With headers: response headers to take away"),
    ] = UNSET
    clients: Annotated[
        _Some[Annotated[str, _told("The name of a client")]] | UnsetType,
        _told("The clients that it is for; left out, every one"),
    ] = UNSET


class OidcEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose tokens are taken, and which."""

    issuer: Annotated[
        str,
        _told(
            "Its URL, as the tokens have it in `iss`",
            values.read_issuer,
            examples=["https://token.actions.githubusercontent.com"],
        ),
    ]
    audience: Annotated[str, _told("Whom the tokens must be for", values.read_audience, examples=["gatepass"])]
    claims: Annotated[
        dict[Annotated[str, _told(None, values.read_claim)], str],
        _told("What they must say; * is any run of characters", examples=[{"repository_owner": "acme"}]),
    ] = {}


_Network = Annotated[
    str, _told("An address or a network", values.read_network, examples=["10.20.0.0/16", "fd00:20::/32"])
]
_Destination = Annotated[
    str,
    _told(
        "HOST, for ports 443 and 80, or HOST:PORT; *.DOMAIN for all below it",
        values.read_destination,
        examples=["github.com", "*.githubusercontent.com", "packages.example.com:8443"],
    ),
]


class ClientEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client is known by: one of these."""

    password: Annotated[
        _Some[_Source | SourceEntry] | UnsetType,
        _told("Sources of its password; the user is the entry's name", examples=[["env:CI_PROXY_PASSWORD"]]),
    ] = UNSET
    htpasswd: Annotated[
        str | UnsetType,
        _told("A file of users by Apache's htpasswd; beside this file, or absolute", values.read_htpasswd),
    ] = UNSET
    oidc: Annotated[OidcEntry | UnsetType, _told("The password is a JWT, such as CI systems give to a job")] = UNSET
    networks: Annotated[_Some[_Network] | UnsetType, _told("Addresses that need no password")] = UNSET


class EgressEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where clients may go."""

    allow: Annotated[list[_Destination] | UnsetType, _told("The hosts that may be reached; left out, all")] = UNSET
    deny: Annotated[list[_Destination], _told("Hosts that may not be reached, whatever `allow` says")] = []
    private: Annotated[list[_Network], _told("Addresses that are not public, and may be reached all the same")] = []
    report_only: Annotated[bool, _told("Tell what would be refused, and let it pass without a credential")] = False


class LimitsEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much each client may have; each address, where it has no name."""

    connections: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType, _told("Connections at once; left out, any number")
    ] = UNSET
    requests: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType, _told("Requests a minute; left out, any number")
    ] = UNSET
    misses: Annotated[int, _told("Questions a minute that led to nothing", ge=1, le=1_000_000)] = MOST_MISSES


class IndexEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A package index of what the releases of repositories hold."""

    repositories: Annotated[
        _Some[
            Annotated[
                str,
                _told(
                    "HOST/OWNER/REPO; a * at the end stands for all that the credential may see",
                    Repositories.parse,
                    extra_json_schema={"pattern": "^[^/*:]+(:[0-9]+)?/[^/*]+/[^/*]*\\*?/?$"},
                    examples=["github.com/my-company/widget", "github.com/my-company/py-*"],
                ),
            ]
        ],
        _told("The repositories; two may hold the same project"),
    ]
    credential: _Name
    prereleases: Annotated[bool, _told("Whether it holds releases that are marked as pre-releases")] = True
    clients: Annotated[
        _Some[Annotated[str, _told("The name of a client")]] | UnsetType,
        _told("The clients that it is for; left out, every one"),
    ] = UNSET


class RulesFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What Gatepass does, and with which secret."""

    version: Literal[1]
    rules: Annotated[_Some[RuleEntry], _told("The first that matches is applied")]
    credentials: Annotated[
        dict[Annotated[str, _told(None, values.read_credential_name)], CredentialEntry],
        _told("Secrets by name: where each comes from"),
    ] = msgspec.field(default_factory=dict)
    forges: Annotated[list[ForgeEntry], _told("GitHubs besides github.com and ghe.com")] = []
    cache: Annotated[CacheEntry, _told("How much is remembered, and for how long")] = CacheEntry()
    clients: Annotated[
        Annotated[dict[Annotated[str, _told(None, values.read_client_name)], ClientEntry], Meta(min_length=1)]
        | UnsetType,
        _told("Who may use the proxy; left out, who has its own password"),
    ] = UNSET
    trusted_proxies: Annotated[list[_Network], _told("Proxies whose X-Forwarded-For tells the client's address")] = []
    egress: Annotated[EgressEntry | UnsetType, _told("Where clients may go")] = UNSET
    limits: Annotated[LimitsEntry, _told("How much each client may have")] = LimitsEntry()
    indexes: Annotated[
        Annotated[dict[Annotated[str, _told(None, read_index_name)], IndexEntry], Meta(min_length=1)] | UnsetType,
        _told("Package indexes by name, at https://gatepass.internal/NAME/simple/"),
    ] = UNSET


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file, for editors."""
    (generated,), definitions = msgspec.json.schema_components([RulesFile], ref_template="#/$defs/{name}")
    definitions["ClientEntry"] |= {"minProperties": 1, "maxProperties": 1}  # which no type of Python says
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Gatepass rules"}
    return {**head, **generated, "$defs": definitions}


# What Python makes of YAML, by the type that it is a try at.
_SHAPES: Final[dict[type[inspect.Type], type]] = {
    inspect.StrType: str,
    inspect.IntType: int,
    inspect.BoolType: bool,
    inspect.ListType: list,
    inspect.StructType: dict,
    inspect.DictType: dict,
    inspect.LiteralType: str,
}
_SLIPS: Final = {
    name: f"without the space after the colon it is a source: `{name}:…`" for name in ("env", "file", "keyring")
}


class Fault(NamedTuple):
    """What is wrong at a path: what is there has not the shape it should have, or it does not say what it should."""

    path: Path
    problem: RuleProblem
    is_of_shape: bool = True


def faults(document: Document) -> Iterator[Fault]:
    """Find all that keeps a document from being a `RulesFile`."""
    return _faults(document, inspect.type_info(RulesFile), document.data, ())


def _faults(document: Document, kind: inspect.Type, value: Data, path: Path) -> Iterator[Fault]:
    found = False
    for fault in _shape_faults(document, _plain(kind), value, path):
        found = True
        yield fault
    if not found and (reader := _reader(kind)) is not None:
        try:
            reader(str(value))
        except UnfitError as unfit:
            problem = document.wrong(path, unfit.expected, value, unfit.hint, is_secret=unfit.is_secret)
            yield Fault(path, problem, is_of_shape=False)


def _shape_faults(document: Document, kind: inspect.Type, value: Data, path: Path) -> Iterator[Fault]:
    match kind, value:
        case inspect.UnionType(types), _:
            # the member that the value is a try at: a mapping is a bad struct, and no bad text
            fitting = next((one for one in types if isinstance(value, _SHAPES[type(_plain(one))])), None)
            if fitting is None or (isinstance(value, bool) and not isinstance(_plain(fitting), inspect.BoolType)):
                yield Fault(path, document.wrong(path, _expected(kind), value))
            else:
                yield from _faults(document, fitting, value, path)
        case (inspect.DictType(min_length=least), dict()) | (inspect.ListType(min_length=least), list()) if (
            least and not value
        ):
            yield Fault(path, document.problem(path, "at least one entry", "none"))
        case inspect.StructType(), dict():
            yield from _struct_faults(document, kind, value, path)
        case inspect.DictType(), dict():
            for key, item in value.items():
                yield from _faults(document, kind.key_type, key, (*path, key))
                yield from _faults(document, kind.value_type, item, (*path, key))
        case inspect.ListType(), list():
            for index, item in enumerate(value):
                yield from _faults(document, kind.item_type, item, (*path, index))
        case inspect.StrType(), str() if value or not kind.min_length:
            pass
        case inspect.IntType(), int() if not isinstance(value, bool):
            if not (value if kind.ge is None else kind.ge) <= value <= (value if kind.le is None else kind.le):
                yield Fault(path, document.wrong(path, _expected(kind), value))
        case inspect.BoolType(), bool():
            pass
        case inspect.LiteralType(), _:
            # Types are compared too: `true` equals 1 to Python, and not to a reader of the file.
            if not any(value == known and type(value) is type(known) for known in kind.values):
                hint = None
                if isinstance(value, str):
                    texts = [str(known) for known in kind.values]
                    hint = "leave the quotes out" if value in texts else nearest(value, texts)
                yield Fault(path, document.wrong(path, _expected(kind), value, hint))
        case _:
            yield Fault(path, document.wrong(path, _expected(kind), value, _slip(kind, value)))


def _struct_faults(document: Document, kind: inspect.StructType, value: dict[str, Data], path: Path) -> Iterator[Fault]:
    fields = {field.encode_name: field for field in kind.fields}
    for key, item in value.items():
        if key in fields:
            yield from _faults(document, fields[key].type, item, (*path, key))
        else:
            known = ", ".join(f"`{name}`" for name in fields)
            hint = _SLIPS.get(key) if kind.cls is SourceEntry else None
            yield Fault(
                (*path, key), document.wrong((*path, key), f"one of {known}", key, hint or nearest(key, fields))
            )
    for name, field in fields.items():
        if field.required and name not in value:
            yield Fault((*path, name), document.problem((*path, name), _expected(_plain(field.type)), "nothing"))


def _slip(kind: inspect.Type, value: Data) -> str | None:
    """What makes of the value what it should be."""
    match kind, value:
        case inspect.StrType(), bool() | int() | float() | dict():
            return "put it in quotes"  # to YAML `{credential}` is a mapping
        case inspect.StrType(), list():
            return "one text, without the brackets"
        case inspect.ListType(), str() | int():
            return "put it in brackets: `[…]`"
    return None


def _plain(kind: inspect.Type) -> inspect.Type:
    """The type itself, without what only the schema tells of it."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _reader(kind: inspect.Type) -> Callable[[str], object] | None:
    extra = kind.extra if isinstance(kind, inspect.Metadata) else None
    return extra.get("reader") if extra else None


def _expected(kind: inspect.Type) -> str:
    match kind:
        case inspect.UnionType(types):
            return " or ".join(dict.fromkeys(_expected(_plain(one)) for one in types))
        case inspect.LiteralType(known):
            return " or ".join(f"`{value}`" for value in known)
        case inspect.StrType():
            return "text"
        case inspect.IntType(ge=least, le=most):
            bounds = f" from {least} to {most}" if most is not None else "" if least is None else f" from {least}"
            return f"a whole number{bounds}"
        case inspect.BoolType():
            return "`true` or `false`"
        case inspect.ListType():
            return "a list"
        case _:
            return "a mapping"
