"""Every line of this process's log, whoever writes it: without a secret, and without what would steer a terminal.

mitmproxy's layers write the bytes that they send when `proxy_debug` is set; other addons write what they like.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any

from gatepass.errors import printable_lines
from gatepass.redaction import cleared, redact


class ClearedLog:
    """Sees to each record when it is made, so that no handler gets another, while it is installed."""

    def __init__(self) -> None:
        self._made = logging.getLogRecordFactory()

    def install(self) -> None:
        self._made = logging.getLogRecordFactory()
        logging.setLogRecordFactory(self._record)

    def remove(self) -> None:
        if logging.getLogRecordFactory() == self._record:
            logging.setLogRecordFactory(self._made)

    def _record(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._made(*args, **kwargs)
        text = _message(record)
        if (shown := harmless(text, record.levelno)) != text:
            record.msg, record.args = shown, None
        if record.exc_info and record.exc_info[0]:
            told = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            if (shown := harmless(told, record.levelno)) != told:
                # formatters make a text of their own of it
                record.msg, record.args, record.exc_info = f"{record.getMessage()}\n{shown}", None, None
        if record.stack_info:
            record.stack_info = harmless(record.stack_info, record.levelno)
        return record


def is_heard(level: int) -> bool:
    """Whether anybody listens to what is less than a warning: mitmproxy's logger makes a line of it all the same."""
    return any(handler.level <= level for handler in logging.getLogger().handlers)


def harmless(text: str, level: int) -> str:
    """A line as it may be shown; one for debugging may hold whole headers and URLs, and shapes are looked for, too."""
    text = redact(text) if level <= logging.DEBUG else cleared(text)
    return printable_lines(text)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # logging would print message and arguments to stderr, and go on
        record.msg, record.args = f"{record.msg} {record.args}", None
        return record.getMessage()
