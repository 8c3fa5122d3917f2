"""Prefixed, time-sortable identifiers (``job_…``), from UUID version 7 (RFC 9562)."""

from __future__ import annotations

import re
from base64 import b32encode
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
    "ast",
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
_TO_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567=", _ALPHABET.encode() + b"=")
_LENGTH = 26
_FORM = re.compile(rf"(?P<prefix>{'|'.join(PREFIXES)})_[{_ALPHABET}]{{{_LENGTH}}}")


def new_id(prefix: Prefix) -> str:
    """Return a new identifier; later ones of one process sort after earlier ones."""
    return f"{prefix}_{_digits(uuid_utils.uuid7().bytes)}"


def id_of(prefix: Prefix, digest: bytes) -> str:
    """Return the identifier that belongs to a digest of at least 16 bytes."""
    return f"{prefix}_{_digits(digest[:16])}"


def asset_group(asset_id: str) -> str:
    """Return the id of the group of an asset that shows nobody who is known otherwise.

    A scan or a room shows somebody: what is made of it goes where it goes, also when it is erased.
    """
    return f"asset:{asset_id}"


def is_group(text: str) -> bool:
    """Tell whether ``text`` has the form of the id of a group: of images, or of an asset's own."""
    return is_id(text, "grp") or (
        text.startswith("asset:") and is_id(text.removeprefix("asset:"), "ast")
    )


def _digits(number: bytes) -> str:
    # 20 bytes are 32 digits, of which the first six are the four bytes put before: 0
    return b32encode(bytes(4) + number).translate(_TO_CROCKFORD)[-_LENGTH:].decode()


def is_id(text: str, prefix: Prefix) -> bool:
    """Tell whether ``text`` has the form of an identifier with this prefix."""
    match = _FORM.fullmatch(text)
    return match is not None and match["prefix"] == prefix
