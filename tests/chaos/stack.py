"""A service of real processes on a database, a broker and a volume of its own."""

from __future__ import annotations

import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import redis
from sqlalchemy import NullPool, create_engine, func, make_url, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from core.db.migrate import upgrade
from core.db.models import Job, JobEvent, Worker
from core.db.repositories.jobs import NOW
from core.embedded import leftovers
from core.embedded.servers import Servers
from core.jobs.states import TERMINAL
from core.storage.blobs import BlobStore
from tests.chaos import invariants
from tests.chaos.caller import Caller
from tests.chaos.nest import Started, command, forked
from tests.chaos.sizes import Size
from tests.chaos.tally import Tally
from tests.chaos.workers import WorkerProcess, send
from tests.integration.harness import eventually
from tests.integration.small_disk import SmallDisk

T = TypeVar("T")

HOOKS = Path(__file__).with_name("hooks")
CHECKOUT = Path(__file__).parents[2]
TEMPLATE = "chaos_template"
QUEUES = "gpu,cpu,io,interactive"


@dataclass(frozen=True, slots=True)
class Loss:
    """A running job whose worker a fault has hit, and when on the database's clock."""

    job_id: str
    at: datetime


class Stack:
    """Starts, faults and reads; ``accepted`` collects what the API has answered 202."""

    def __init__(
        self, servers: Servers, database: str, folder: Path, size: Size, disk: SmallDisk | None
    ) -> None:
        self.servers = servers
        self.database = database
        self.folder = folder
        self.size = size
        self.volume = disk.outside / "data" if disk else folder / "data"
        self._volume_of_processes = disk.path / "data" if disk else self.volume
        self._prefix = disk.inside if disk else ()
        self.volume.mkdir(parents=True)
        self.store = BlobStore(self.volume)
        self.workers: list[WorkerProcess] = []
        self.apis: list[Started] = []
        self.accepted: list[str] = []
        self.losses: list[Loss] = []
        self._forgiven = False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.engine = create_engine(self.database_url, poolclass=NullPool)
        self.sessions: sessionmaker[Session] = sessionmaker(self.engine, expire_on_commit=False)
        self.key = self._first_key()

    @property
    def database_url(self) -> str:
        address = make_url(self.servers.database_url).set(database=self.database)
        return address.render_as_string(hide_password=False)

    def environment(self, **extra: str) -> dict[str, str]:
        paths = [str(HOOKS)] if {"CHAOS_CLOCK_SECONDS", "CHAOS_FSYNC_SECONDS"} & set(extra) else []
        return {
            **os.environ,
            **self.size.settings,
            "PYTHONPATH": os.pathsep.join([*paths, str(CHECKOUT)]),
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.servers.redis_url,
            "DERMSYNTH_DATA_DIR": str(self._volume_of_processes),
            "DERMSYNTH_DIAGNOSTICS": "1",
            "DERMSYNTH_DEVICE": "cpu",
            "DERMSYNTH_THREADS": "1",
            "DERMSYNTH_REQUESTS_PER_MINUTE": "10000000",
            "DERMSYNTH_FAILED_LOGINS_PER_MINUTE": "10000000",
            "OMP_NUM_THREADS": "1",
            leftovers.MARK: str(self.folder),
            **extra,
        }

    def _first_key(self) -> str:
        code = "from core.services.keys import create_admin_key; print(create_admin_key())"
        made = subprocess.run(
            [*self._prefix, sys.executable, "-c", code],
            env=self.environment(),
            capture_output=True,
            check=True,
        )
        return made.stdout.decode().split()[-1]

    # Processes

    def start_api(self, **extra: str) -> Started:
        """Start an API process on the socket that this process keeps."""
        descriptor = self.listener.fileno()
        process = self._start(
            ["-m", "api.main", "--fd", str(descriptor), "--log-level", "warning"],
            "api.log",
            extra,
        )
        self.apis.append(process)
        return process

    def start_worker(self, slots: int = 1, queues: str = QUEUES, **extra: str) -> WorkerProcess:
        name = f"w{len(self.workers)}-{os.getpid()}@%h"
        process = self._start(
            [
                "-m", "celery", "-A", "tests.chaos.celery_app", "worker", "-Q", queues,
                "-c", str(slots), "-n", name, "--without-gossip", "--without-mingle",
            ],
            "worker.log",
            extra,
        )  # fmt: skip
        worker = WorkerProcess(process)
        self.workers.append(worker)
        return worker

    def _start(self, arguments: list[str], log: str, extra: dict[str, str]) -> Started:
        plain = not extra and not self._prefix and self.size.name == "small"
        start = forked if plain else command
        return start(
            [*self._prefix, sys.executable, *arguments],
            self.environment(**extra),
            self.folder / log,
            self.listener,
        )

    def wait_for_api(self) -> None:
        with self.caller() as caller:
            caller.get("/healthz")

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many workers that live have reported themselves."""

        def ready() -> bool:
            pids = {worker.pid for worker in self.workers if worker.process.poll() is None}
            query = select(func.count()).select_from(Worker).where(Worker.pid.in_(pids))
            return (self.read(lambda session: session.scalar(query)) or 0) >= count

        eventually(ready, self.size.patience)

    def caller(self, **options: Any) -> Caller:
        return Caller(self.url, self.key, self.accepted, patience=self.size.patience, **options)

    @property
    def broker(self) -> redis.Redis:
        return redis.Redis.from_url(self.servers.redis_url, socket_timeout=5)

    # What the database says

    def read(self, query: Callable[[Session], T]) -> T:
        """Run a query; a database that is being restarted is waited for."""
        until = time.monotonic() + self.size.patience
        while True:
            try:
                with self.sessions() as session:
                    return query(session)
            except OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def now(self) -> datetime:
        return self.read(lambda session: session.execute(select(NOW)).scalar_one())

    def job(self, job_id: str) -> Job:
        return self.read(lambda session: session.get_one(Job, job_id))

    def jobs(self, ids: Iterable[str]) -> list[Job]:
        rows = select(Job).where(Job.id.in_(list(ids))).order_by(Job.id)
        return self.read(lambda session: list(session.scalars(rows)))

    def events(self, job_id: str) -> list[JobEvent]:
        rows = select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.seq)
        return self.read(lambda session: list(session.scalars(rows)))

    def running(self, worker_ids: Sequence[str] | None = None) -> list[Job]:
        """Return the jobs that a slot holds, of some slots or of all."""
        rows = select(Job).where(Job.status == "running", Job.lease_token.is_not(None))
        if worker_ids is not None:
            rows = rows.where(Job.worker_id.in_(worker_ids))
        return self.read(lambda session: list(session.scalars(rows.order_by(Job.id))))

    def unfinished(self) -> int:
        query = select(func.count()).select_from(Job).where(Job.status.not_in(TERMINAL))
        return self.read(lambda session: session.scalar(query) or 0)

    def wait_for_all(self) -> None:
        """Wait until every job has ended; those that do not are found by the check."""
        until = time.monotonic() + self.size.patience
        while self.unfinished() and time.monotonic() < until:
            time.sleep(0.05)

    def wait_for(self, job_id: str, *statuses: str) -> Job:
        def there() -> Job | None:
            job = self.job(job_id)
            return job if job.status in statuses else None

        return eventually(there, self.size.patience)

    def submit_many(self, count: int, kind: str, **params: Any) -> list[str]:
        with self.caller() as caller:
            return [caller.submit(kind, params) for _ in range(count)]

    # The end

    def forgive(self) -> None:
        """Do not judge this stack at its end: a control has damaged it on purpose."""
        self._forgiven = True

    @property
    def forgiven(self) -> bool:
        return self._forgiven

    def count_in_log(self, phrase: str) -> int:
        path = self.folder / "worker.log"
        return path.read_text(errors="replace").count(phrase) if path.exists() else 0

    def recoveries(self) -> list[tuple[float, float, str]]:
        """Return for each loss: seconds to when the job was due again, to its next start; its id.

        A job that ended before anything else happened to it was not lost.
        """
        found = []
        for loss in self.losses:
            back = None
            for event in self.events(loss.job_id):
                if event.at <= loss.at or event.type == "progress":
                    continue
                if event.type == "requeued":
                    back = event.at + timedelta(seconds=event.data["delay_seconds"])
                elif event.type == "started" and back is not None:
                    times = [(at - loss.at).total_seconds() for at in (back, event.at)]
                    found.append((times[0], times[1], loss.job_id))
                if event.type in {"started", *TERMINAL}:
                    break
        return found

    def stop(self) -> None:
        for worker in self.workers:
            worker.end()
        for api in self.apis:
            send(api.pid, 9)
            api.wait()

    def close(self) -> None:
        self.listener.close()
        self.engine.dispose()


@contextmanager
def running(
    servers: Servers, folder: Path, size: Size, tally: Tally, disk: SmallDisk | None = None
) -> Iterator[Stack]:
    """Yield a stack; at the end everything that must hold is checked and added to the tally."""
    folder.mkdir(parents=True, exist_ok=True)
    database = f"chaos_{secrets.token_hex(6)}"
    _create(servers, database)
    servers_redis = redis.Redis.from_url(servers.redis_url)
    servers_redis.flushall()
    stack = Stack(servers, database, folder, size, disk)
    try:
        yield stack
        if not stack.forgiven:
            conclude(stack, tally)
    finally:
        stack.stop()
        left = leftovers.marked(folder)
        tally.expect(not left, f"{len(left)} processes outlive their worker")
        leftovers.end(lambda: leftovers.marked(folder), 9, grace=1.0)  # type: ignore[arg-type]
        stack.close()


def conclude(stack: Stack, tally: Tally) -> invariants.Findings:
    """Wait for the end of all jobs and add what the check finds."""
    stack.wait_for_all()
    seen = stack.read(invariants.read)
    found = invariants.check(seen, stack.store, stack.accepted)
    tally.jobs += found.jobs
    tally.lost += len(found.lost)
    tally.doubled += len(found.doubled)
    tally.stale_commits += len(found.stale_commits)
    tally.problems += found.problems + found.lost + found.doubled + found.stale_commits
    tally.stale_refused += stack.count_in_log('"message": "stale: ')
    _judge_recoveries(stack, tally)
    return found


def _judge_recoveries(stack: Stack, tally: Tally) -> None:
    """Compare each recovery with lease + reaper + backoff."""
    recoveries = stack.recoveries()
    if not recoveries:
        return
    back, started, job_id = max(recoveries, key=lambda one: one[1])
    tally.worst_recovery = max(tally.worst_recovery, started)
    tally.notes["worst"] = {"due_after_s": round(back, 2), "started_after_s": round(started, 2)}
    bound = stack.size.formula + stack.size.boot_allowance
    if started > bound:
        tally.problems.append(f"{job_id} was back after {started:.1f} s, bound {bound:g} s")
        tally.notes["events of the worst"] = _timeline(stack, job_id)


def _timeline(stack: Stack, job_id: str) -> list[str]:
    """Return what happened to a job, the moments in seconds after its first loss."""
    lost = [loss.at for loss in stack.losses if loss.job_id == job_id]
    told = [(event.at, event.type, event.data) for event in stack.events(job_id)]
    told += [(at, "lost", {}) for at in lost]
    return [
        f"{(at - min(lost)).total_seconds():+.1f} s {kind} {data}"
        for at, kind, data in sorted(told, key=lambda one: one[0])
        if kind != "progress"
    ]


def _create(servers: Servers, database: str) -> None:
    """Create a migrated database: a copy of one that is migrated once a server."""
    admin = create_engine(servers.database_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        known = text("SELECT 1 FROM pg_database WHERE datname = :name")
        if connection.scalar(known, {"name": TEMPLATE}) is None:
            connection.execute(text(f"CREATE DATABASE {TEMPLATE}"))
            url = make_url(servers.database_url).set(database=TEMPLATE)
            upgrade(url.render_as_string(hide_password=False))
        connection.execute(text(f"CREATE DATABASE {database} TEMPLATE {TEMPLATE}"))


@dataclass
class Lab:
    """What a case is given."""

    servers: Servers
    folder: Path
    size: Size
    rng: random.Random
    tally: Tally

    def stack(self, disk: SmallDisk | None = None) -> AbstractContextManager[Stack]:
        folder = self.folder / secrets.token_hex(4)
        return running(self.servers, folder, self.size, self.tally, disk)


@contextmanager
def laboratory(folder: Path, size: Size, seed: int, case: str, tally: Tally) -> Iterator[Lab]:
    """Yield a lab with servers of its own; call it from the main thread."""
    with Servers(folder / "servers", durable=size.name == "full") as servers:
        try:
            yield Lab(servers, folder, size, random.Random(f"{seed}/{case}"), tally)
        finally:
            servers.remove()
    shutil.rmtree(folder, ignore_errors=True)
