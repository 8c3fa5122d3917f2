"""What uvicorn's access log must not say: the one-time token of a login link."""

from __future__ import annotations

import logging
import re

_TOKEN = re.compile(r"(?i)([?&]token=)[^&]*")


class _WithoutTokens(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                _TOKEN.sub(r"\1…", value) if isinstance(value, str) else value
                for value in record.args
            )
        return True


_FILTER = _WithoutTokens()


def keep_tokens_out_of_the_log() -> None:
    """Cut tokens out of the paths that are logged; a second call changes nothing."""
    logging.getLogger("uvicorn.access").addFilter(_FILTER)
