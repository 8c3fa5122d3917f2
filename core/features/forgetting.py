"""Takes the features of erased images out of the packs of all backbones."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from core.features.cache import SUFFIX, FeatureCache, dimension_of

log = logging.getLogger(__name__)

OLD_SECONDS = 3600.0
"""A pack that is still unfinished after it has lost its writer."""


def forget(root: Path, sha256s: Collection[str]) -> int:
    """Remove every row of these images below ``root``; returns how many there were.

    Packs that cannot be read may hold such rows and go as a whole: they count as absent anyway.
    """
    wanted = {bytes.fromhex(sha256) for sha256 in sha256s}
    found = 0
    for folder in _folders(root):
        for partial in folder.glob(".*.tmp"):
            with suppress(FileNotFoundError):
                if partial.stat().st_mtime < time.time() - OLD_SECONDS:
                    partial.unlink()
        for dimension, packs in _by_dimension(folder).items():
            if dimension is None:
                for pack in packs:
                    pack.unlink(missing_ok=True)
                continue
            found += FeatureCache(folder, dimension, log.warning).forget(wanted)
    return found


def count_rows(root: Path, sha256s: Collection[str]) -> int:
    """Return how many rows of these images there are."""
    wanted = {bytes.fromhex(sha256) for sha256 in sha256s}
    return sum(
        FeatureCache(folder, dimension, log.warning).count(wanted)
        for folder in _folders(root)
        for dimension in _by_dimension(folder)
        if dimension is not None
    )


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _by_dimension(folder: Path) -> dict[int | None, list[Path]]:
    found: dict[int | None, list[Path]] = {}
    for pack in sorted(folder.glob(f"*{SUFFIX}")):
        found.setdefault(dimension_of(pack), []).append(pack)
    return found
