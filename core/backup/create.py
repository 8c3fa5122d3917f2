"""Makes a backup of a service, running or not.

Order makes it consistent: a snapshot of the database first, then the blobs. A blob is on the volume
before the database names it, is never changed, and garbage collection is held off meanwhile; so
everything that the snapshot names is there. A backup gets its name when it is whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core.backup import files, programs
from core.backup.errors import BackupFailure
from core.backup.files import Sums
from core.backup.manifest import Damage, Manifest, backups_in
from core.backup.place import Place
from core.config import get_settings
from core.db.repositories import blob_references, job_queries, snapshots
from core.embedded.folder import FolderLock
from core.storage.blobs import disk_errors, flush, sha256_of

Say = Callable[[str], None]
DUMP = "database.dump"


def create(place: Place, folder: Path, say: Say) -> tuple[Path, Manifest]:
    """Write a backup below ``folder`` and return where it is and what it says."""
    with disk_errors():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FolderLock(folder / ".lock")
    if not lock.acquire():
        raise BackupFailure(
            f"Process {lock.owner()} writes a backup to {folder} already", code="backup_busy"
        )
    try:
        for left in folder.glob(".*.partial"):
            shutil.rmtree(left)
        moment = datetime.now(UTC)
        final = folder / f"{moment:%Y-%m-%dT%H-%M-%S.%fZ}"
        draft = folder / f".{final.name}.partial"
        draft.mkdir(mode=0o700)
        try:
            manifest = _Backup(place, draft, _newest(folder), say).make(moment)
            draft.rename(final)
            flush(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    finally:
        lock.release()
    return final, manifest


def _newest(folder: Path) -> Path | None:
    whole = backups_in(folder)
    return whole[-1] if whole else None


@dataclass(slots=True)
class _Backup:
    place: Place
    draft: Path
    earlier: Path | None
    say: Say
    sums: Sums = field(default_factory=Sums)
    seen: dict[Path, tuple[int, int]] = field(default_factory=dict)
    damaged: dict[str, Damage] = field(default_factory=dict)

    def make(self, moment: datetime) -> Manifest:
        data = self.place.data_dir
        guard = self.place.sessions("AUTOCOMMIT")()
        with closing(guard):
            blob_references.share_connection(guard)
            # before the snapshot, too: an upload may be used up and removed soon after it
            self._copy_live(data)
            revision, needed = self._database()
            self._copy_live(data)
            self._blobs(data / "blobs", needed)
            _still_held(guard)
        files.copy_tree(data / "secrets", self.draft / "secrets", self.sums, {})
        return self._finish(moment, revision)

    def _copy_live(self, data: Path) -> None:
        for name in ("uploads", "logs"):
            files.copy_tree(data / name, self.draft / name, self.sums, self.seen)

    def _database(self) -> tuple[str, set[str]]:
        """Dump a snapshot; returns its migration and the blobs that it names."""
        with self.place.sessions("REPEATABLE READ")() as session:
            revision = job_queries.revision(session)
            if revision is None:
                raise BackupFailure(
                    "The database has no tables: there is nothing to back up",
                    code="backup_no_service",
                )
            name, major = snapshots.export(session), snapshots.server_major(session)
            self.say("database")
            programs.dump(self.place.database_url, major, name, self.draft / DUMP)
            self.sums.known[DUMP] = sha256_of(self.draft / DUMP)
            needed = {found.sha256 for found in blob_references.certain(session)}
            self._check_uploads(session)
        return revision, needed

    def _check_uploads(self, session: Session) -> None:
        for upload_id, size in snapshots.uploads(session).items():
            copied = self.draft / "uploads" / upload_id
            live = self.place.data_dir / "uploads" / upload_id
            if not any(path.is_file() and path.stat().st_size >= size for path in (copied, live)):
                self._damage(f"uploads/{upload_id}", "missing")

    def _blobs(self, store: Path, needed: set[str]) -> None:
        self.say("blobs")
        copied = 0
        for path in files.blobs_below(store):
            below = path.relative_to(store)
            name = f"blobs/{below.as_posix()}"
            if files.link_or_copy(self._intact(name), path, self.draft / name):
                self.sums.known[name] = path.name
                needed.discard(path.name)
                copied += 1
            else:
                self._damage(name, "corrupt")
                needed.discard(path.name)
        for sha256 in sorted(needed):
            self._damage(f"blobs/{sha256[:2]}/{sha256[2:4]}/{sha256}", "missing")
        self.say(f"{copied} blobs")

    def _intact(self, name: str) -> Path | None:
        """Return the earlier backup's file, read and found right: rot must not be handed on."""
        if self.earlier is None or not (self.earlier / name).exists():
            return None
        if files.is_intact(self.earlier / name):
            return self.earlier / name
        self.say(f"earlier_backup_damaged: {self.earlier / name}, and where that is linked to")
        return None

    def _damage(self, name: str, why: str) -> None:
        self.damaged[name] = Damage.model_validate({"name": name, "why": why})

    def _finish(self, moment: datetime, revision: str) -> Manifest:
        manifest = Manifest(
            created_at=moment,
            revision=revision,
            pepper="setting" if get_settings().key_pepper else "file",
            files=len(self.sums.known),
            bytes=sum((self.draft / name).stat().st_size for name in self.sums.known),
            sums_sha256=self.sums.write(self.draft),
            damaged=tuple(self.damaged.values()),
        )
        with disk_errors():
            manifest.write(self.draft)
            os.sync()  # everything is on the disk before the backup has its name
        return manifest


def _still_held(guard: Session) -> None:
    try:
        job_queries.revision(guard)
    except SQLAlchemyError as error:
        raise BackupFailure(
            "The database went away during the backup, so blobs may have been removed. Run it "
            "again.",
            code="backup_disturbed",
        ) from error
