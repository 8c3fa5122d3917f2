"""Logs of every process: one line a record on stderr, with the ids of what it is about.

``with about(request_id=…)`` names what a piece of code works on; every record within it carries
the ids, those of libraries too. Secrets are taken out of messages, exceptions and fields alike.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from core.config import Settings

FIELDS = ("method", "route", "path", "status", "milliseconds")
"""What a record may carry of its own (``extra=``)."""

_ids: ContextVar[Mapping[str, str | int]] = ContextVar("ids", default={})  # noqa: B039 - never changed

REDACTED = "[redacted]"
_NAMED = r"password|passwd|secret|token|api[_-]?key|pepper|dermsynth_session"
_QUOTED = (
    r"(?:b|r|br|rb|u|f)?(?P<escape>\\{0,15})(?P<quote>\"{3}|'{3}|[\"'])"
    r"(?:.*?(?<!\\)(?P=escape)(?P=quote)|.*)"
)
"""To its end, which is such a quote with as many backslashes before it; without one, everything."""
_SECRETS = (
    (re.compile(r"dsk_[\w-]+"), REDACTED),
    (re.compile(r"whsec_[\w+/=-]+"), REDACTED),
    (
        re.compile(r"(://[^/\s:@]*:)(?!\d{1,5}[/?#])[^@\s]{1,500}@(?:[^@\s/]{0,500}@)*"),
        rf"\1{REDACTED}@",
    ),
    (re.compile(r"(?i)\b((?:bearer|basic)\s+)[\w.~+/=-]{8,}"), rf"\1{REDACTED}"),
    (
        re.compile(
            rf"(?is)((?:{_NAMED})\\{{0,15}}[\"']?\s*[=:]{{1,2}}>?\s*)"
            rf"(?:(?:{_QUOTED})+\w*|[^\s&,;]+)"
        ),
        rf"\1{REDACTED}",
    ),
)
_SUSPECT = re.compile(rf"(?i)dsk_|whsec_|://|bearer|basic|{_NAMED}")
"""Matches every text that holds a secret, and few others: most need no second look."""


@contextmanager
def about(**ids: str | int | None) -> Iterator[None]:
    """Add ids to every record of this thread or task, until the block ends."""
    known = {name: value for name, value in ids.items() if value is not None}
    token = _ids.set({**_ids.get(), **known})
    try:
        yield
    finally:
        _ids.reset(token)


def redact(text: str) -> str:
    """Return the text without keys, tokens, passwords and secrets of addresses."""
    if _SUSPECT.search(text) is None:
        return text
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _fields(record: logging.LogRecord) -> dict[str, str | int | float]:
    own = {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
    found = {**_ids.get(), **own}
    return {name: redact(v) if isinstance(v, str) else v for name, v in found.items()}


def _one_line(text: str) -> str:
    """Return the text with what moves the cursor, hides or breaks a line as JSON escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _value(value: str | float) -> str:
    """Return a field's value; what could be taken for more fields is quoted."""
    text = str(value)
    if text.isprintable() and not any(c in text for c in ' "='):
        return text
    return _one_line(json.dumps(text, ensure_ascii=False))


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": _moment(record),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return _one_line(json.dumps(line, ensure_ascii=False, default=str))


class TextLines(logging.Formatter):
    """Formats a record for eyes: the ids stand at the end, exceptions are set in below.

    No text that somebody sent can start a line or look like a field.
    """

    def format(self, record: logging.LogRecord) -> str:
        ids = " ".join(f"{name}={_value(value)}" for name, value in _fields(record).items())
        message = _one_line(redact(record.getMessage()))
        line = f"{_moment(record)} {record.levelname} {record.name} {message} {ids}".rstrip()
        if record.exc_info:
            trace = redact(self.formatException(record.exc_info)).split("\n")
            line += "".join(f"\n    {_one_line(own)}" for own in trace)
        return line


def set_up_logging(settings: Settings, level: str | None = None) -> None:
    """Send all records of this process to stderr, as the settings say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    wanted = (level or settings.log_level).upper()
    logging.basicConfig(level=wanted, handlers=[handler], force=True)
    logging.captureWarnings(True)
    # a line for each request that we send, with its address, is for those who look for a fault
    logging.getLogger("httpx").setLevel(max(logging.WARNING, logging.getLogger().level))
