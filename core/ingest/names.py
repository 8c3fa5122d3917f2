"""Names of archive entries: which are safe, which are noise, and when two of them collide."""

from __future__ import annotations

import re
import unicodedata

from core.ingest.rejects import Rejected

MAX_NAME_CHARACTERS = 400
MAX_COMPONENT_BYTES = 255  # NAME_MAX of Linux

_DRIVE = re.compile(r"[A-Za-z]:")
_NOISE_FILES = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_JOINERS = frozenset({"\u200c", "\u200d"})  # part of ordinary Persian, Hindi and emoji spelling


def is_noise(name: str) -> bool:
    """Tell whether an entry is a leftover of a desktop system and no file of the dataset."""
    parts = [part.lower() for part in name.replace("\\", "/").split("/") if part]
    if not parts:
        return False
    return "__macosx" in parts or parts[-1] in _NOISE_FILES or parts[-1].startswith("._")


def safe_name(name: str) -> str:
    """Return the normalised relative path (NFC, no ``.`` parts) of an entry.

    Rejected ``bad_name`` for empty names and hidden characters, ``name_too_long``, and
    ``unsafe_path`` for absolute, drive and backslash paths and for ``..``.
    """
    text = unicodedata.normalize("NFC", _readable(name))
    if not _is_shown(text):
        raise Rejected("bad_name", "The name holds control or direction-changing characters")
    if len(text) > MAX_NAME_CHARACTERS:
        raise Rejected("name_too_long", f"The name is longer than {MAX_NAME_CHARACTERS} characters")
    parts = text.split("/")
    if "\\" in text or text.startswith("/") or _DRIVE.match(text) or ".." in parts:
        raise Rejected("unsafe_path", "The path is absolute, leaves the archive or has backslashes")
    kept = [part for part in parts if part not in ("", ".")]
    if not kept:
        raise Rejected("bad_name", "The name is empty")
    if any(len(part.encode()) > MAX_COMPONENT_BYTES for part in kept):
        raise Rejected("name_too_long", f"A part of the name exceeds {MAX_COMPONENT_BYTES} bytes")
    return "/".join(kept)


def _is_shown(text: str) -> bool:
    if text.isascii():
        return text.isprintable()
    return all(unicodedata.category(c) not in _HIDDEN_CATEGORIES or c in _JOINERS for c in text)


def shown_name(name: str) -> str:
    """Return an unsafe name in a form that can be listed: printable, at most 500 characters."""
    text = _readable(name)[:500]
    return "".join(
        c if unicodedata.category(c) not in _HIDDEN_CATEGORIES else "\ufffd" for c in text
    )


def collision_key(name: str) -> str:
    """Return what two names share when some file system would take them for one file."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def bare(name: str) -> str:
    """Return a path without the extension of its last part."""
    dot = name.rfind(".")
    return name[:dot] if dot > name.rfind("/") + 1 else name


def stem(name: str) -> str:
    """Return the last part of a path without its extension."""
    return bare(name.rpartition("/")[2])


def extension(name: str) -> str:
    """Return the extension in lower case with its dot, empty when there is none."""
    return name[len(bare(name)) :].lower()


def _readable(name: str) -> str:
    """Read names that were not UTF-8 (escaped as surrogates by tarfile) as Latin-1."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape").decode("latin-1")
    return name
