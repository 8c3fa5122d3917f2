"""Which service is meant: the one that the environment names, else the embedded stack of a folder.

``make up`` may run meanwhile or not; where it does not, its database is started for the time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import NullPool, create_engine
from sqlalchemy.orm import Session, sessionmaker

from core.backup.errors import BackupFailure
from core.config import get_settings
from core.embedded import control, paths
from core.embedded.folder import FolderLock, private_folder, read_json
from core.embedded.postgres import PostgresServer


@dataclass(frozen=True, slots=True)
class Place:
    """A database and a volume; ``exclusive``: nobody but us can be at work there."""

    database_url: str
    data_dir: Path
    exclusive: bool = False

    def sessions(self, isolation: str = "READ COMMITTED") -> sessionmaker[Session]:
        """Return sessions without the limits of the service: a backup may take hours."""
        engine = create_engine(self.database_url, poolclass=NullPool, isolation_level=isolation)
        return sessionmaker(engine, expire_on_commit=False)


@contextmanager
def source(home: Path) -> Iterator[Place]:
    """Give the service to back up; it may be running."""
    if control.status(home) is not None:
        environment = read_json(paths.environment_file(home)) or {}
        yield Place(environment["DATABASE_URL"], Path(environment["DERMSYNTH_DATA_DIR"]))
    elif "DATABASE_URL" in os.environ:
        yield _configured()
    elif not (home / "postgres").is_dir():
        raise BackupFailure(
            f"There is no service in {home}. Set DERMSYNTH_HOME to the folder of make up, or "
            "DATABASE_URL and DERMSYNTH_DATA_DIR.",
            code="backup_no_service",
        )
    else:
        with _own_database(home) as place:
            yield place


@contextmanager
def target(home: Path) -> Iterator[Place]:
    """Give the service to restore into; an embedded one must be stopped."""
    if "DATABASE_URL" in os.environ:
        yield _configured()
    else:
        with _own_database(home) as place:
            yield place


def _configured() -> Place:
    get_settings.cache_clear()
    return Place(get_settings().database_url, get_settings().data_dir.absolute())


@contextmanager
def _own_database(home: Path) -> Iterator[Place]:
    home = private_folder(home)
    lock = FolderLock(paths.lock(home))
    if not lock.acquire():
        raise BackupFailure(
            f"The stack in {home} runs (process {lock.owner()}). Stop it first: make stop",
            code="backup_stack_runs",
        )
    data = os.environ.get("DERMSYNTH_DATA_DIR")
    try:
        with PostgresServer(home / "postgres") as server:
            folder = Path(data).absolute() if data else home / "data"
            yield Place(server.url, folder, exclusive=True)
    finally:
        lock.release()
