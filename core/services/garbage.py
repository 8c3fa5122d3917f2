"""Removes blobs that nothing refers to: slowly, in small steps, and never one in use."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from core.db.repositories import blob_references
from core.storage.blobs import BlobStore, is_blob_name

log = logging.getLogger(__name__)

LOOK_AT = 5000
"""So many old blobs are compared with the references at once, without a lock."""
REMOVE = 200
"""So many are removed at once, while nobody can commit."""
AT_ONCE = float("inf")
WAIT_SECONDS = 3.0
"""Longer than this, commits are not held up by waiting for those before them."""


@dataclass(slots=True)
class Collected:
    """What a collection found among blobs that are old enough."""

    looked_at: int = 0
    removed: int = 0
    bytes: int = 0
    busy: int = 0
    """Left for the next time: commits were being written all the while."""


def collect(factory: sessionmaker[Session], store: BlobStore, age_seconds: float) -> Collected:
    """Remove every blob that is older and that nothing refers to."""
    found = Collected()
    before = store.now() - age_seconds
    for blobs in batches(_older(store, before), LOOK_AT):
        found.looked_at += len(blobs)
        for some in batches(unreferenced(factory, blobs), REMOVE):
            try:
                sizes = remove(factory, store, some, before)
            except OperationalError as error:
                log.warning("%d blobs are left for later: %s", len(some), error.orig)
                found.busy += len(some)
            else:
                found.removed += len(sizes)
                found.bytes += sum(sizes)
    return found


def unreferenced(factory: sessionmaker[Session], blobs: Iterable[str]) -> list[str]:
    """Return those of the blobs that nothing refers to at this moment."""
    with factory() as session:
        return sorted(set(blobs) - blob_references.among(session, blobs))


def remove(
    factory: sessionmaker[Session], store: BlobStore, blobs: Sequence[str], before: float
) -> list[int]:
    """Remove what is unreferenced and last touched before a time (AT_ONCE: ever); their sizes.

    Whoever has published such a blob and not yet referred to it must publish it again.

    OperationalError when commits hold the lock for longer than WAIT_SECONDS: nothing is removed.
    """
    with factory.begin() as session:
        blob_references.exclude(session, WAIT_SECONDS)
        free = set(blobs) - blob_references.among(session, blobs)
        sizes = []
        for sha256 in sorted(free):
            # whoever was frozen has lost the lock, and must not remove what came meanwhile
            blob_references.still_excluded(session)
            sizes.append(_unlink(store, sha256, before))
    return [size for size in sizes if size is not None]


def _unlink(store: BlobStore, sha256: str, before: float) -> int | None:
    path, size = store.path(sha256), None
    with suppress(FileNotFoundError):
        status = path.stat()
        if status.st_mtime >= before:
            return None  # it was published again meanwhile
        path.unlink()
        size = status.st_size
    # also without the blob: whoever removed it may have been killed before it came to these
    for copy in (*store.thumbnails(sha256), store.damaged(sha256)):
        copy.unlink(missing_ok=True)
    return size


def _older(store: BlobStore, before: float) -> Iterator[str]:
    for entry in store.files():
        if is_blob_name(entry.name) and _modified(entry) < before:
            yield entry.name


def _modified(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:  # somebody else collects, too
        return float("inf")


def strangers(store: BlobStore) -> Iterator[Path]:
    """Yield files among the blobs that are none."""
    for entry in store.files():
        path = Path(entry.path)
        if not is_blob_name(entry.name) or store.path(entry.name) != path:
            yield path


def batches(blobs: Iterable[str], size: int) -> Iterator[list[str]]:
    """Yield the blobs in lists of at most ``size``."""
    rest = iter(blobs)
    while some := list(islice(rest, size)):
        yield some
