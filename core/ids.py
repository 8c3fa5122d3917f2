"""Prefixed, time-sortable identifiers (``job_…``), from UUID version 7 (RFC 9562)."""

from __future__ import annotations

import re
from typing import Literal, get_args

import uuid_utils

Prefix = Literal[
    "tnt",
    "key",
    "ses",
    "wrk",
    "ds",
    "dsv",
    "img",
    "upl",
    "job",
    "art",
    "mdl",
    "exp",
    "req",
    "aud",
    "ers",
    "grp",
    "whk",
    "whd",
]
PREFIXES: tuple[str, ...] = get_args(Prefix)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: sorts as the number does
_LENGTH = 26
_FORM = re.compile(rf"(?P<prefix>{'|'.join(PREFIXES)})_[{_ALPHABET}]{{{_LENGTH}}}")


def new_id(prefix: Prefix) -> str:
    """Return a new identifier; later ones of one process sort after earlier ones."""
    number = uuid_utils.uuid7().int
    digits = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(digits))}"


def is_id(text: str, prefix: Prefix) -> bool:
    """Tell whether ``text`` has the form of an identifier with this prefix."""
    match = _FORM.fullmatch(text)
    return match is not None and match["prefix"] == prefix
