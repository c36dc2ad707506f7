"""`gatepass check` of rules by which replicas share: refused without a good key, and no key is ever shown."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from harness import GATEPASS, call, clean_environment

if TYPE_CHECKING:
    from pathlib import Path

    from harness import Result

GOOD = b64encode(bytes(range(32))).decode()
OTHER = b64encode(bytes(range(100, 132))).decode()

RULES = """\
version: 1
cache:
  shared:
    url: rediss://cache.example.com/3
    user: cache
    password: env:CACHE_PASSWORD
    key: {key}
rules:
  - {{match: packages.example.com/*, headers: {{X-Kind: literal}}}}
"""


def check(folder: Path, key: str = "env:CACHE_KEY", *options: str, **variables: str) -> Result:
    """The command, with good secrets unless it is told others; no server is there."""
    path = folder / "shared.yaml"
    path.write_text(RULES.format(key=key))
    secrets = {"CACHE_KEY": GOOD, "OTHER_KEY": OTHER, "CACHE_PASSWORD": "password-of-the-cache", **variables}
    result = call([GATEPASS, "check", path, *options], clean_environment(**secrets), cwd=folder)
    for name, secret in secrets.items():
        assert name == "PYTHONPATH" or len(secret) < 5 or secret not in result.output
    return result


def test_what_is_shared_is_told(tmp_path: Path) -> None:
    """It says where, and what it is sealed with."""
    result = check(tmp_path, "[env:CACHE_KEY, env:OTHER_KEY]", "--offline")
    assert result.code == 0, result.output
    assert "what they learn, at rediss://cache.example.com:6379/3" in result.output
    assert "env:CACHE_KEY; env:OTHER_KEY opens it, too" in result.output


@pytest.mark.parametrize("options", [(), ("--offline",)], ids=["", "offline"])
@pytest.mark.parametrize(
    "key",
    [
        "changeme",
        "",
        GOOD[:-4],
        b64encode(bytes(32)).decode(),
        f"{GOOD}\n{GOOD}",
        "ghp_0000000000000000000000000000000000000",
    ],
    ids=["word", "empty", "short", "zeros", "several", "token"],
)
def test_a_bad_key(tmp_path: Path, key: str, options: tuple[str, ...]) -> None:
    """What is no key is refused, at its place, and not shown."""
    result = check(tmp_path, "env:CACHE_KEY", *options, CACHE_KEY=key)
    assert result.code == 1
    assert "shared.yaml:7:5: cache.shared.key: expected " in result.output
    assert " in `env:CACHE_KEY`" in result.output


def test_keys_of_files(tmp_path: Path) -> None:
    """A file that is not there, that others may read, or that is of no key is refused; a good one is not."""
    path = tmp_path / "cache.key"
    result = check(tmp_path, f"file:{path}")
    assert result.code == 1
    assert f"expected a key in `file:{path}`, which does not exist" in result.output
    assert "hint: make one with `openssl rand -base64 32`" in result.output
    path.write_text(GOOD + "\n")
    path.chmod(0o644)
    assert check(tmp_path, f"file:{path}").code == 1
    path.chmod(0o600)
    assert check(tmp_path, f"file:{path}").code == 0
    result = check(tmp_path, f"[env:CACHE_KEY, file:{path}]")
    assert "cache.shared.key[1]: expected each key once, got it again" in result.output


def test_a_variable_that_is_not_set(tmp_path: Path) -> None:
    """The variable is named, and where it is wanted."""
    result = check(tmp_path, "env:NOT_SET_AT_ALL")
    assert result.code == 1
    assert "cache.shared.key: expected a key in `env:NOT_SET_AT_ALL`, which is not set" in result.output
    result = check(tmp_path, CACHE_PASSWORD="")
    assert "cache.shared.password: expected the password of the store in `env:CACHE_PASSWORD`" in result.output


def test_without_the_library(tmp_path: Path) -> None:
    """Where the extra is not installed it is named."""
    (tmp_path / "redis.py").write_text("raise ModuleNotFoundError(name='redis')\n")
    result = check(tmp_path, PYTHONPATH=str(tmp_path))
    assert result.code == 1
    assert "a shared cache needs the package `redis`" in result.output
    assert "hint: install Gatepass with its extra `redis`" in result.output
