"""Watches one claim from fork to commit; it alone writes the database, fenced (no torch here)."""

from __future__ import annotations

import json
import logging
import os
import selectors
import shutil
import signal
import socket
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings
from core.db.models import Job
from core.db.repositories import jobs
from core.db.repositories.jobs import Lease
from core.errors import DermSynthError, JobCancelled, JobTimeout, WorkerLost
from core.jobs.context import Artifact, ChildResult, Inputs
from core.jobs.runtime import JobTask, Outcome
from core.jobs.states import JobStatus
from core.services.commit import commit_outcome
from core.services.lifecycle import end, lose, requeue
from core.services.transaction import transaction
from core.storage.blobs import BlobStore
from worker.drain import draining
from worker.heartbeat import Heartbeat
from worker.nursery import Nursery

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
DATABASE_PATIENCE_SECONDS = 600.0


@dataclass(slots=True)
class Ending:
    """How a job process ended: one of outcome, problem, stopped, or none of them (lost)."""

    outcome: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None
    stopped: bool = False
    status: int | None = None


class Supervisor:
    """Supervises one claimed job."""

    def __init__(
        self, job: Job, nursery: Nursery, factory: sessionmaker[Session], settings: Settings
    ) -> None:
        self._job = job
        self._lease = Lease(job.id, str(job.lease_token))
        self._nursery = nursery
        self._factory = factory
        self._settings = settings
        self._store = BlobStore(settings.data_dir)
        self._staging = self._store.staging(job.id, job.claims)
        self._deadline = time.monotonic() + job.timeout_seconds
        self._kill_at: float | None = None
        self._why: str | None = None  # cancel, drain, timeout or lost: why we stopped it
        self._told_events = 0.0
        self._told_phase = ""

    def run(self) -> None:
        """Run the job to its end and write how it ended."""
        try:
            with Heartbeat(self._factory, self._lease, self._settings) as heart:
                try:
                    ending = self._watch(heart)
                except WorkerLost as error:
                    lost = error
                    self._write(lambda session, job: lose(session, job, lost))
                else:
                    self._settle(ending, heart)
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)

    # While the job runs

    def _task(self) -> str:
        job = self._job
        with self._factory() as session:
            ended = _children(session, job.id)
        return JobTask(
            job_id=job.id,
            kind=job.kind,
            attempt=job.claims,
            params=job.params,
            inputs=Inputs.model_validate(job.inputs),
            children=ended,
            restored=job.checkpoint,
            data_dir=self._settings.data_dir.resolve(),
            weights_dir=self._settings.weights_dir.resolve(),
            device=self._settings.device,
            threads=self._settings.threads or os.cpu_count() or 1,
        ).model_dump_json()

    def _watch(self, heart: Heartbeat) -> Ending:
        ending, buffer = Ending(), bytearray()
        link = self._nursery.start(self._task(), self._store.log(self._job.id))
        control = self._nursery.open()
        with link, selectors.DefaultSelector() as waiting:
            waiting.register(link, selectors.EVENT_READ)
            waiting.register(control, selectors.EVENT_READ)
            waiting.register(heart.wake, selectors.EVENT_READ)
            while ending.status is None:
                for key, _ in waiting.select(TICK_SECONDS):
                    if key.fileobj is link:
                        if not self._hear(link, buffer, ending, heart):
                            waiting.unregister(link)
                    elif key.fileobj is control:
                        for message in self._nursery.messages():
                            ending.status = message.get("exit", ending.status)
                    else:
                        os.read(heart.wake, 64)
                self._enforce(heart)
            while self._hear(link, buffer, ending, heart):
                pass  # what was still in the socket when the process ended
        return ending

    def _hear(
        self, link: socket.socket, buffer: bytearray, ending: Ending, heart: Heartbeat
    ) -> bool:
        try:
            data = link.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        if not data:
            return False
        buffer += data
        *lines, rest = bytes(buffer).split(b"\n") if b"\n" in data else [bytes(buffer)]
        buffer[:] = rest
        for line in lines:
            self._note(json.loads(line), ending, heart)
        return True

    def _note(self, message: dict[str, Any], ending: Ending, heart: Heartbeat) -> None:
        match message["type"]:
            case "progress":
                self._progress(message, heart)
            case "checkpoint":
                self._keep(message)
            case "outcome":
                ending.outcome = message["outcome"]
            case "error":
                ending.problem = message["problem"]
            case "stopped":
                ending.stopped = True

    def _progress(self, message: dict[str, Any], heart: Heartbeat) -> None:
        phase, current, total = message["phase"], message["current"], message["total"]
        heart.report((phase, current, total))
        now = time.monotonic()
        if phase != self._told_phase or now - self._told_events >= 0.5:
            self._told_phase, self._told_events = phase, now
            self._event("progress", {"phase": phase, "current": current, "total": total})

    def _event(self, kind: str, data: dict[str, Any]) -> None:
        try:
            with self._factory.begin() as session:
                jobs.add_event_held(session, self._lease, kind, data)
        except DBAPIError as error:
            log.warning("no event for %s: %s", self._job.id, error)

    def _keep(self, message: dict[str, Any]) -> None:
        self._store.publish(self._staging / "blobs", message["blobs"])
        try:
            with self._factory.begin() as session:
                jobs.save_checkpoint(session, self._lease, message["state"])
        except DBAPIError as error:
            log.warning("no checkpoint for %s: %s", self._job.id, error)

    def _enforce(self, heart: Heartbeat) -> None:
        now = time.monotonic()
        if self._why is None:
            if heart.lost:
                self._stop("lost", now)
            elif heart.cancelled:
                self._stop("cancel", now)
            elif now > self._deadline:
                self._stop("timeout", now)
            elif draining():
                self._stop("drain", now)
        elif self._kill_at is not None and now > self._kill_at:
            self._kill_at = None
            self._nursery.kill(signal.SIGKILL)

    def _stop(self, why: str, now: float) -> None:
        self._why = why
        grace = 0.0 if why == "lost" else self._settings.kill_grace_seconds
        self._kill_at = now + grace
        self._nursery.kill(signal.SIGTERM)

    # When it has ended

    def _settle(self, ending: Ending, heart: Heartbeat) -> None:
        if heart.lost:
            log.warning("stale: the lease of %s is lost, nothing is written", self._job.id)
        elif ending.outcome is not None:
            self._commit(Outcome.model_validate(ending.outcome))
        elif ending.problem is not None:
            problem = ending.problem
            self._write(lambda s, job: end(s, job, JobStatus.FAILED, error=problem))
        elif self._why == "cancel":
            error = JobCancelled("Canceled while running").as_problem()
            self._write(lambda s, job: end(s, job, JobStatus.CANCELED, error=error))
        elif self._why == "timeout":
            limit = self._job.timeout_seconds
            error = JobTimeout(f"The job ran longer than {limit:g} s").as_problem()
            self._write(lambda s, job: end(s, job, JobStatus.FAILED, error=error))
        elif self._why == "drain":
            self._write(lambda s, job: requeue(s, job, reason="drained", counted=False, delay=0.0))
        else:
            lost = WorkerLost(f"The job process {_ended(ending.status)}")
            self._write(lambda s, job: lose(s, job, lost))

    def _commit(self, outcome: Outcome) -> None:
        try:
            self._store.publish(self._staging / "blobs", outcome.blobs)
            committed = self._patiently(
                lambda session: commit_outcome(session, self._lease, outcome, self._store)
            )
        except DermSynthError as error:
            problem = error.as_problem()
            self._write(lambda s, job: end(s, job, JobStatus.FAILED, error=problem))
            return
        if not committed:
            log.warning("stale: commit of %s refused", self._job.id)

    def _write(self, change: Any) -> None:
        """Apply a change to the job under its fence; a stale one changes nothing."""

        def fenced(session: Session) -> bool:
            job = jobs.lock_held(session, self._lease)
            if job is None:
                log.warning("stale: the lease of %s is lost, nothing is written", self._job.id)
                return False
            change(session, job)
            return True

        self._patiently(fenced)

    def _patiently(self, work: Any) -> bool:
        """Run a transaction; while the database is away, try again for some minutes."""
        until = time.monotonic() + DATABASE_PATIENCE_SECONDS
        while True:
            try:
                with transaction(self._factory) as session:
                    return bool(work(session))
            except OperationalError as error:
                if time.monotonic() > until or draining():
                    raise
                log.warning("the database is away, %s waits: %s", self._job.id, error)
                time.sleep(TICK_SECONDS)


def _children(session: Session, job_id: str) -> tuple[ChildResult, ...]:
    rows = jobs.children(session, job_id)
    artifacts = jobs.artifacts_of(session, [row.id for row in rows])
    return tuple(
        ChildResult(
            id=row.id,
            kind=row.kind,
            role=row.role,
            params=row.params,
            result=row.result or {},
            artifacts={
                a.name: Artifact(
                    id=a.id, name=a.name, sha256=a.sha256, bytes=a.bytes, media_type=a.media_type
                )
                for a in artifacts[row.id]
            },
        )
        for row in rows
    )


def _ended(status: int | None) -> str:
    if status is None:
        return "vanished"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        why = "; the kernel does this when memory runs out" if number == signal.SIGKILL else ""
        return f"was ended by {signal.Signals(number).name}{why}"
    return f"left with code {os.WEXITSTATUS(status)} and no result"
