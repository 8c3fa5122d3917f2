"""Real workers on a database and a broker of a test's own, with short leases."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session, sessionmaker

from core.config import get_settings
from core.db.models import Artifact, Job, JobEvent, Worker
from core.db.repositories.jobs import seconds_from_now
from core.jobs.spec import JOB_KINDS
from core.services import keys
from core.services.hints import producer
from core.services.lifecycle import cancel
from core.services.principal import SCOPES, Principal
from core.services.submit import submit
from core.services.transaction import transaction

T = TypeVar("T")

TIMINGS = {
    "DERMSYNTH_LEASE_SECONDS": "2",
    "DERMSYNTH_HEARTBEAT_SECONDS": "0.3",
    "DERMSYNTH_REAPER_SECONDS": "0.5",
    "DERMSYNTH_BACKOFF_SECONDS": "0.2",
    "DERMSYNTH_HINT_AGE_SECONDS": "1",
    "DERMSYNTH_KILL_GRACE_SECONDS": "1",
}
PATIENCE_SECONDS = 120.0


def eventually(
    read: Callable[[], T | None], patience: float = PATIENCE_SECONDS, every: float = 0.02
) -> T:
    """Read until there is something; a bounded wait for other processes, not a pause."""
    until = time.monotonic() + patience
    while True:
        value = read()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"nothing within {patience:g} s")
        time.sleep(every)


@dataclass
class Harness:
    """One volume, one database, and the workers that were started on them."""

    database_url: str
    redis_url: str
    folder: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    inside: tuple[str, ...] = ()
    """What runs a command where the volume is seen, when only some processes see it."""
    app: str = "worker.app"

    def __post_init__(self) -> None:
        self.engine = create_engine(self.database_url)
        self.sessions: sessionmaker[Session] = sessionmaker(self.engine, expire_on_commit=False)
        with self.sessions.begin() as session:
            tenant = keys.ensure_tenant(session)
        self.principal = Principal(tenant.id, "key_of_the_test", frozenset(SCOPES))

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **TIMINGS,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "DERMSYNTH_DATA_DIR": str(self.folder),
            "DERMSYNTH_DIAGNOSTICS": "1",
            "DERMSYNTH_DEVICE": "cpu",
            "DERMSYNTH_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }

    def start_worker(
        self, queues: str = "gpu,cpu,io,interactive", slots: int = 1, **settings: str
    ) -> subprocess.Popen[bytes]:
        name = f"w{len(self.workers)}-{os.getpid()}@%h"
        with (self.folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *self.inside, sys.executable, "-m", "celery", "-A", self.app, "worker",
                    "-Q", queues, "-c", str(slots), "-n", name,
                    "--without-gossip", "--without-mingle",
                ],
                env=self.environment() | settings,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.workers.append(process)
        return process

    def wait_for_workers(self, count: int = 1) -> None:
        def live() -> bool:
            with self.sessions() as session:
                found = session.scalar(
                    select(func.count())
                    .select_from(Worker)
                    .where(Worker.last_seen > seconds_from_now(-20))
                )
            return (found or 0) >= count

        eventually(live)

    def use(self) -> None:
        """Send this process's hints to this stack's broker."""
        if os.environ.get("REDIS_URL") != self.redis_url:
            os.environ["REDIS_URL"] = self.redis_url
            get_settings.cache_clear()
            producer.cache_clear()

    def submit(self, kind: str, /, **params: Any) -> str:
        self.use()
        with transaction(self.sessions) as session:
            return submit(session, self.principal, JOB_KINDS.get(kind), params).id

    def job(self, job_id: str) -> Job:
        with self.sessions() as session:
            return session.get_one(Job, job_id)

    def wait(self, job_id: str) -> Job:
        def ended() -> Job | None:
            job = self.job(job_id)
            return job if job.finished_at is not None else None

        return eventually(ended)

    def wait_for_status(self, job_id: str, status: str) -> Job:
        return eventually(lambda: (job := self.job(job_id)).status == status and job)  # type: ignore[return-value]

    def cancel(self, job_id: str) -> None:
        self.use()
        with transaction(self.sessions) as session:
            cancel(session, job_id)

    def events(self, job_id: str) -> list[JobEvent]:
        with self.sessions() as session:
            rows = select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.seq)
            return list(session.scalars(rows))

    def artifacts(self, job_id: str) -> list[Artifact]:
        with self.sessions() as session:
            return list(session.scalars(select(Artifact).where(Artifact.job_id == job_id)))

    def children(self, job_id: str) -> list[Job]:
        with self.sessions() as session:
            rows = select(Job).where(Job.parent_id == job_id).order_by(Job.ordinal)
            return list(session.scalars(rows))

    def kill_group(self, process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
        """Signal a worker and all that it started (a zygote and a job lead sessions of theirs)."""
        for pid in descendants(process.pid):
            with_suppressed_kill(pid, number)

    def stop(self) -> None:
        for process in self.workers:
            for pid in descendants(process.pid):
                with_suppressed_kill(pid, signal.SIGCONT)
                with_suppressed_kill(pid, signal.SIGKILL)
            process.wait()
        self.engine.dispose()


def with_suppressed_kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def descendants(pid: int) -> list[int]:
    """Return a process and all its descendants, parents first."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(folder.name))
    found, todo = [], [pid]
    while todo:
        current = todo.pop(0)
        if Path(f"/proc/{current}").exists():
            found.append(current)
        todo += parents.get(current, [])
    return found


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@contextmanager
def harness(database_url: str, redis_url: str, folder: Path) -> Iterator[Harness]:
    made = Harness(database_url, redis_url, folder)
    try:
        yield made
    finally:
        made.stop()
