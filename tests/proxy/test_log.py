"""Every line of the log is cleared of secrets, and of what would steer a terminal, whoever writes it."""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING

import pytest

from gatepass.proxy.log import ClearedLog
from gatepass.redaction import REMOVED
from gatepass.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "ghp_LogLogLogLogLogLogLogLogLogLogLogLog1234"
BASIC = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
HOSTILE = "a\x1b]0;owned\x07b\rc\x9b2Jd\u202ee\u200bf\u2028g\u3164h"


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What a handler of a logger that is nobody's own gets, formatted as handlers do."""
    Secret(TOKEN, "env:X")
    shown: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            shown.append(logging.Formatter().format(record))

    logger = logging.getLogger("somebody.elses")
    handler, log = Handler(), ClearedLog()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    log.install()
    yield shown
    log.remove()
    logger.removeHandler(handler)


LOGGER = logging.getLogger("somebody.elses")


def test_arguments(lines: list[str]) -> None:
    """A secret is taken out of message and arguments, be they no text; other lines are as they were."""
    LOGGER.info("%s and %r: %d", TOKEN, {"a": BASIC.encode()}, 7)
    LOGGER.info("%s of %d", "one", 2)
    LOGGER.info("no argument: 100%")
    assert lines == [f"{REMOVED} and {{'a': b'{BASIC[:20]}{REMOVED}'}}: 7", "one of 2", "no argument: 100%"]


def test_an_error(lines: list[str]) -> None:
    """So it is with a traceback, and with a message that does not fit its arguments, which logging would print."""
    try:
        int(f"{TOKEN}\x1b[2J")
    except ValueError:
        LOGGER.exception("failed")
    LOGGER.info("failed", exc_info=ValueError(f"not {TOKEN}\x1b[2J"))
    LOGGER.info("%d", TOKEN)
    assert lines[0].startswith("failed\nTraceback")
    assert f"with base 10: '{REMOVED}" in lines[0]
    assert lines[1] == f"failed\nValueError: not {REMOVED} [2J"
    assert TOKEN not in "".join(lines)


def test_a_line_for_debugging(lines: list[str]) -> None:
    """Where whole headers are written, those of a client hold secrets that nobody here knows."""
    LOGGER.debug("SendData(client, b'GET /?X-Amz-Signature=abcdef HTTP/1.1\\r\\nAuthorization: Bearer unknown-1')")
    LOGGER.info("rules[0].headers.Authorization: expected a text, got `1`")
    assert "abcdef" not in lines[0]
    assert "unknown-1" not in lines[0]
    assert lines[1] == "rules[0].headers.Authorization: expected a text, got `1`"


def test_what_steers_a_terminal(lines: list[str]) -> None:
    """Control and format characters are gone from every line; the lines of one record stay lines."""
    LOGGER.warning("first %s\nsecond", HOSTILE)
    assert lines == ["first a ]0;owned b c 2Jd e f g h\nsecond"]


def test_it_is_taken_away() -> None:
    """When the addon goes, its process logs as before."""
    before = logging.getLogRecordFactory()
    log = ClearedLog()
    log.install()
    log.remove()
    assert logging.getLogRecordFactory() == before
