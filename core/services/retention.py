"""Deletes what the settings call too old; a job whose products exist stays, with all its tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from core.db.repositories import retention
from core.services.audit import record
from core.services.principal import system
from core.storage.blobs import BlobStore

DAY = 24 * 3600.0
TREES = 50
"""A transaction deletes at most so many, so that it never takes long."""
JOBS = 200


def delete_old_jobs(factory: sessionmaker[Session], store: BlobStore, days: float) -> int:
    """Delete trees of jobs that ended before and made no model, asset, experiment or version."""
    deleted, after = 0, ""
    while True:
        with factory.begin() as session:
            found = retention.old_trees(session, days * DAY, after, TREES)
            gone = [tree for tree in found if not tree.has_product]
            retention.delete_jobs(session, [tree.root for tree in gone])
            for tree in gone:
                by, details = system(tree.tenant_id), {"jobs": len(tree.jobs), "days": days}
                record(session, by, "retention.delete", "job", tree.root, details)
        for tree in gone:
            _remove_logs(store, tree.jobs)
            deleted += len(tree.jobs)
        if len(found) < TREES:
            return deleted
        after = found[-1].root


def forget_old_events(factory: sessionmaker[Session], store: BlobStore, days: float) -> int:
    """Delete logs, and events but the last, of jobs that ended before; returns of how many."""
    forgotten = 0
    while True:
        with factory.begin() as session:
            found = retention.forget_events(session, days * DAY, JOBS)
            for job_id, tenant_id in found:
                by, details = system(tenant_id), {"days": days}
                record(session, by, "retention.delete", "job_events", job_id, details)
        jobs = [job_id for job_id, _ in found]
        _remove_logs(store, jobs)
        forgotten += len(jobs)
        if len(jobs) < JOBS:
            return forgotten


def remove_orphan_logs(factory: sessionmaker[Session], store: BlobStore) -> int:
    """Remove logs without a job: who deleted it was killed before it came to the file."""
    removed = 0
    for logs in _folders_of_logs(store):
        with factory() as session:
            known = retention.known_jobs(session, [path.stem for path in logs])
        for path in logs:
            if path.stem not in known:
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def _folders_of_logs(store: BlobStore) -> Iterator[list[Path]]:
    for parent, _, names in os.walk(store.root / "logs"):
        yield [Path(parent) / name for name in names if name.startswith("job_")]


def _remove_logs(store: BlobStore, jobs: list[str]) -> None:
    for job_id in jobs:
        store.log(job_id).unlink(missing_ok=True)
