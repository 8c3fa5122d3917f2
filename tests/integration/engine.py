"""Jobs on a real database without worker processes: every step of their life is a call."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, delete, func, select, update
from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings
from core.db.models import Artifact, Job, JobEvent, Tenant
from core.db.repositories import jobs
from core.db.repositories.jobs import Beat, Lease
from core.errors import WorkerLost
from core.ids import new_id
from core.jobs.context import Artifact as StagedArtifact
from core.jobs.context import Children, ChildSpec
from core.jobs.runtime import Outcome
from core.jobs.spec import JOB_KINDS, QUEUES
from core.jobs.states import TERMINAL
from core.services import keys, lifecycle
from core.services.commit import commit_outcome
from core.services.principal import SCOPES, Principal
from core.services.submit import submit
from core.storage.blobs import BlobStore

LEASE_SECONDS = 60.0


@dataclass
class Engine:
    """A database and a volume; leases are kept by whoever claimed."""

    url: str
    folder: Path
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self.database = create_engine(self.url, connect_args={"options": "-c lock_timeout=3000"})
        self.sessions: sessionmaker[Session] = sessionmaker(self.database, expire_on_commit=False)
        self.store = BlobStore(self.folder)
        with self.sessions.begin() as session:
            tenant = keys.ensure_tenant(session)
        self.principal = Principal(tenant.id, "key_of_the_test", frozenset(SCOPES))

    def submit(self, kind: str = "noop", **params: Any) -> str:
        with self.sessions.begin() as session:
            return submit(session, self.principal, JOB_KINDS.get(kind), params).id

    def job(self, job_id: str) -> Job:
        with self.sessions() as session:
            return session.get_one(Job, job_id)

    def all(self) -> list[Job]:
        with self.sessions() as session:
            return list(session.scalars(select(Job).order_by(Job.id)))

    def children(self, job_id: str) -> list[str]:
        return [job.id for job in self.all() if job.parent_id == job_id]

    def artifacts(self, job_id: str) -> int:
        with self.sessions() as session:
            query = select(func.count()).select_from(Artifact).where(Artifact.job_id == job_id)
            return session.scalar(query) or 0

    def claim(self, job_id: str, worker: str = "w") -> Lease | None:
        with self.sessions.begin() as session:
            job = jobs.claim(session, job_id, QUEUES, worker, LEASE_SECONDS)
            return None if job is None else Lease(job.id, str(job.lease_token))

    def renew(self, lease: Lease) -> Beat | None:
        with self.sessions.begin() as session:
            return jobs.renew(session, lease, LEASE_SECONDS, None)

    def commit(self, lease: Lease, children: int = 0, artifact: bool = False) -> bool:
        """Commit as the supervisor does: a result, or children that do nothing."""
        wanted = tuple(ChildSpec(kind="noop", params={}) for _ in range(children))
        staged = StagedArtifact(
            id=new_id("art"), name="a", sha256="0" * 64, bytes=1, media_type="text/plain"
        )
        outcome = Outcome(
            result=None if children else {"children": 0},
            children=Children(phase="x", children=wanted) if children else None,
            artifacts=(staged,) if artifact else (),
        )
        with self.sessions.begin() as session:
            return commit_outcome(session, lease, outcome, self.store)

    def give_up(self, lease: Lease, how: str) -> bool:
        """End a claim as the supervisor does: ``fail``, ``lose``, ``drain`` or ``stop``."""
        with self.sessions.begin() as session:
            job = jobs.lock_held(session, lease)
            if job is None:
                return False
            match how:
                case "fail":
                    lifecycle.fail(session, job, WorkerLost("told to"))
                case "lose":
                    lifecycle.lose(session, job, WorkerLost("told to"))
                case "drain":
                    lifecycle.requeue(session, job, reason="drained", counted=False, delay=0.0)
                case _:
                    lifecycle.end_canceled(session, job)
            return True

    def cancel(self, job_id: str) -> None:
        with self.sessions.begin() as session:
            lifecycle.cancel(session, job_id)

    def expire(self, job_id: str) -> None:
        """Let the lease of a job run out."""
        with self.sessions.begin() as session:
            session.execute(
                update(Job)
                .where(Job.id == job_id, Job.lease_expires_at.is_not(None))
                .values(lease_expires_at=jobs.seconds_from_now(-1))
            )

    def reap(self, job_id: str) -> bool:
        with self.sessions.begin() as session:
            return lifecycle.reap(session, job_id)

    def reset(self) -> None:
        """Forget all jobs."""
        with self.sessions.begin() as session:
            session.execute(delete(Job))
            session.execute(update(Tenant).values(jobs_active=0))

    def make_due(self) -> None:
        """Let all backoffs be over."""
        with self.sessions.begin() as session:
            session.execute(update(Job).values(available_at=jobs.seconds_from_now(-1)))

    def check_invariants(self) -> None:
        """Compare every counter with what it counts."""
        with self.sessions() as session:
            rows = list(session.scalars(select(Job)))
            events = list(session.scalars(select(JobEvent).order_by(JobEvent.job_id, JobEvent.seq)))
            active = session.scalar(select(Tenant.jobs_active))
        of: dict[str, list[JobEvent]] = {}
        for event in events:
            of.setdefault(event.job_id, []).append(event)
        unfinished = [job for job in rows if job.status not in TERMINAL]
        assert active == sum(job.parent_id is None for job in unfinished)
        for job in rows:
            ended = job.status in TERMINAL
            below = sum(child.parent_id == job.id for child in unfinished)
            assert job.pending_children == below, job.id
            numbers = [event.seq for event in of[job.id]]
            assert numbers == list(range(1, job.last_seq + 1)), job.id
            last = [event.type for event in of[job.id] if event.type in TERMINAL]
            assert last == ([job.status] if ended else []), job.id
            assert (job.finished_at is not None) == ended
            if ended:
                assert not below
                assert of[job.id][-1].type == job.status
                assert job.lease_token is None
            elif job.status == "running":
                assert (job.lease_token is None) == (job.pending_children > 0), job.id
            else:
                assert job.lease_token is None
                assert job.cancel_requested_at is None, "a canceled job waits for nobody"


@contextmanager
def engine(url: str, folder: Path) -> Iterator[Engine]:
    """Yield an engine that offers the diagnostic kinds; its hints go nowhere."""
    os.environ["DERMSYNTH_DIAGNOSTICS"] = "1"
    made = Engine(url, folder)
    try:
        yield made
    finally:
        made.database.dispose()
        del os.environ["DERMSYNTH_DIAGNOSTICS"]
