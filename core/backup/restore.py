"""Brings a service back from a backup: files first, each checked, the database last.

Until the database is there, nothing answers; so what a broken-off restore leaves answers nothing
either, and it can be run again.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

from core.backup import files, programs
from core.backup.create import DUMP, Say
from core.backup.entry import Entry, close
from core.backup.errors import BackupFailure
from core.backup.files import Sums
from core.backup.manifest import Manifest, backups_in, read_manifest
from core.backup.place import Place
from core.db.migrate import migration_config, upgrade
from core.db.repositories import job_queries, snapshots
from core.services.job_view import silence_seconds
from core.services.lifecycle import requeue
from core.storage.blobs import disk_errors


def find(folder: Path) -> Path:
    """Return the backup that is meant: the folder itself, or the newest one below it."""
    if (folder / files.SUMS).exists():
        return folder
    whole = backups_in(folder)
    if not whole:
        raise BackupFailure(f"There is no whole backup in {folder}", code="backup_incomplete")
    return whole[-1]


def verify(backup: Path) -> tuple[Manifest, Sums]:
    """Read every file of a backup; BackupFailure ``backup_damaged`` names those that differ."""
    manifest, sums = read_manifest(backup), files.read_sums(backup)
    wrong = [
        name for name, sha256 in sums.known.items() if not files.is_intact(backup / name, sha256)
    ]
    if DUMP not in sums.known:
        wrong.append(DUMP)
    if wrong:
        more = " and more" if len(wrong) > 5 else ""
        raise BackupFailure(
            f"{len(wrong)} files of {backup} are missing or damaged: {', '.join(wrong[:5])}{more}",
            code="backup_damaged",
            extra={"files": wrong[:1000]},
        )
    return manifest, sums


def restore(
    place: Place, backup: Path, say: Say, *, replace: bool = False, revoke_keys: bool = False
) -> tuple[Manifest, Entry]:
    """Verify a backup and bring it back; a target that holds anything must be named ``replace``.

    Browser sessions end; with ``revoke_keys`` no key of the backup works.
    """
    say("checking")
    manifest, sums = verify(backup)
    _check_revision(manifest)
    _check_target(place, replace)
    say("files")
    _files(place.data_dir, backup, sums)
    say("database")
    with place.sessions().begin() as session:
        major = snapshots.server_major(session)
        if snapshots.has_tables(session):
            snapshots.clear(session)
    programs.load(place.database_url, major, backup / DUMP)
    upgrade(place.database_url)
    with place.sessions().begin() as session:
        entry = close(session, revoke_keys=revoke_keys)
    _release_jobs(place)
    return manifest, entry


def _check_revision(manifest: Manifest) -> None:
    from alembic.script import ScriptDirectory

    known = {s.revision for s in ScriptDirectory.from_config(migration_config()).walk_revisions()}
    if manifest.revision not in known:
        raise BackupFailure(
            f"The backup is of a newer version (migration {manifest.revision}). Install that one.",
            code="backup_is_newer",
        )


def _check_target(place: Place, replace: bool) -> None:
    with place.sessions()() as session:
        filled = snapshots.has_tables(session)
        current = filled and not place.exclusive and job_queries.revision(session) is not None
        live = job_queries.live_workers(session, silence_seconds()) if current else []
    if live:
        raise BackupFailure(
            f"{len(live)} workers have reported to this database within {silence_seconds():g} s. "
            "Stop the service, and try again after so long.",
            code="backup_stack_runs",
        )
    there = ["a database with tables"] if filled else []
    there += [
        f"{place.data_dir / name}"
        for name in ("blobs", "uploads", "secrets")
        if any(files.files_below(place.data_dir / name))
    ]
    if there and not replace:
        raise BackupFailure(
            f"The target is not empty: {', '.join(there)}. What is there would be lost; say so "
            "with REPLACE=yes (--replace), or name another target.",
            code="backup_target_not_empty",
        )


def _files(data_dir: Path, backup: Path, sums: Sums) -> None:
    """Copy all but the dump; each file gets its name when its bytes are known to be right."""
    with disk_errors():
        data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / "secrets").mkdir(mode=0o700, exist_ok=True)
    for name in ("uploads", "logs"):  # of the service that is replaced; blobs carry their own names
        shutil.rmtree(data_dir / name, ignore_errors=True)
    for name, sha256 in sums.known.items():
        if name == DUMP:
            continue
        target = data_dir / PurePosixPath(name)
        is_blob = name.startswith("blobs/")
        if is_blob and target.is_file() and files.is_intact(target, sha256):
            continue
        draft = target.with_name(f".{target.name}.restoring")
        if files.copy(backup / name, draft, mode=_mode(name)) != sha256:
            draft.unlink()
            raise BackupFailure(f"{backup / name} changed meanwhile", code="backup_damaged")
        draft.replace(target)
    os.sync()


def _mode(name: str) -> int:
    return 0o644 if name.startswith(("blobs/", "logs/")) else 0o600


def _release_jobs(place: Place) -> None:
    """Give the jobs that ran when the backup was made back to the queue, no attempt counted."""
    with place.sessions().begin() as session:
        for job in snapshots.interrupted(session):
            if job.cancel_requested_at is None:
                requeue(session, job, reason="restored", counted=False, delay=0.0)
