"""Folders of attempts that can no longer commit, and of requests that were killed."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from core.db.repositories import jobs
from core.storage.blobs import BlobStore

DIRECT_SECONDS = 24 * 3600.0
"""Nothing that the API stores directly takes longer; compared with the times of files."""


def dead_staging(factory: sessionmaker[Session], store: BlobStore) -> list[Path]:
    """Return the folders that nobody will come back to."""
    root = store.root / "staging"
    dead = [path for path in _entries(root / "direct") if _is_old(path, store)]
    folders = {path.name: path for path in _entries(root) if path.name.startswith("job_")}
    if not folders:
        return dead
    with factory() as session:
        claims = jobs.claims_of(session, list(folders))
    for job_id, folder in folders.items():
        newest = claims.get(job_id)
        if newest is None:
            dead.append(folder)
        else:
            numbered = [path for path in _entries(folder) if path.name.isdigit()]
            dead += [path for path in numbered if int(path.name) < newest]
    return dead


def remove_dead_staging(factory: sessionmaker[Session], store: BlobStore) -> None:
    """Remove them."""
    for folder in dead_staging(factory, store):
        remove(folder)


def remove(folder: Path) -> None:
    """Remove one folder; its owner may be at it, too."""
    shutil.rmtree(folder, ignore_errors=True)


def _is_old(path: Path, store: BlobStore) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime < store.now() - DIRECT_SECONDS
    return False


def _entries(folder: Path) -> list[Path]:
    """List a folder that its owner may remove at any moment."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
