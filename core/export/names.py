"""File names inside an exported archive: safe on every file system, unique, and always the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from core.ingest.names import collision_key

LONGEST = 120
"""Bytes of one name in UTF-8, before a number that makes it unique."""

EXTENSIONS = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/tiff": ".tif",
    "image/bmp": ".bmp",
}
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"/\\|?*]+')


def safe_component(text: str, fallback: str) -> str:
    """Return one path component: no separator, control or hidden character, no reserved name."""
    kept = "".join(
        "_" if unicodedata.category(c)[0] == "C" else c for c in unicodedata.normalize("NFC", text)
    )
    kept = _FORBIDDEN.sub("_", " ".join(kept.split())).strip(" .").lstrip("-~")
    while len(kept.encode()) > LONGEST:
        kept = kept[:-1]
    kept = kept.rstrip(" .")
    if not kept.strip("_"):
        kept = fallback
    return f"_{kept}" if _RESERVED.fullmatch(kept) else kept


def file_name(filename: str, media_type: str, fallback: str) -> str:
    """Return a name whose ending says what the bytes are, whatever the original was called."""
    last = filename.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    stem, dot, ending = last.rpartition(".")
    known = bool(dot) and ending.isalnum() and len(ending) <= 5 and bool(stem)
    safe = safe_component(stem if known else last, fallback)
    return safe + EXTENSIONS.get(media_type, ".bin")


def unique(names: Sequence[str]) -> list[str]:
    """Number names that some file system would take for one; the first keeps its name."""
    taken = {collision_key(name) for name in names}
    seen: set[str] = set()
    answer = []
    for name in names:
        answer.append(name if collision_key(name) not in seen else _numbered(name, taken))
        seen.add(collision_key(answer[-1]))
        taken.add(collision_key(answer[-1]))
    return answer


def _numbered(name: str, taken: set[str]) -> str:
    folder, slash, last = name.rpartition("/")
    stem, dot, ending = last.rpartition(".")
    if not dot:
        stem, ending = last, ""
    number = 2
    while collision_key(found := f"{folder}{slash}{stem}_{number}{dot}{ending}") in taken:
        number += 1
    return found
