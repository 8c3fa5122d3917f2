"""Watches one claim from fork to commit; it alone writes the database, fenced (no torch here)."""

from __future__ import annotations

import json
import logging
import math
import os
import selectors
import shutil
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings
from core.db.models import Job
from core.db.repositories import jobs
from core.db.repositories.blob_references import keep_for_job
from core.db.repositories.jobs import Lease
from core.errors import (
    BlobVanished,
    DermSynthError,
    JobCancelled,
    JobFailed,
    JobTimeout,
    StorageFull,
    WorkerLost,
)
from core.jobs.context import Artifact, ChildResult, Inputs, Limits
from core.jobs.runtime import JobTask, Outcome
from core.jobs.states import JobStatus
from core.services.commit import commit_outcome
from core.services.decoder_limits import decoder_limits
from core.services.lifecycle import end, lose, requeue
from core.services.quota import reserve_of
from core.services.transaction import transaction
from core.storage.blobs import BlobStore
from core.tracing import current_span
from worker.drain import draining
from worker.heartbeat import Heartbeat
from worker.nursery import Nursery

log = logging.getLogger(__name__)

T = TypeVar("T")

TICK_SECONDS = 0.5
UNKILLABLE_SECONDS = 10.0
"""After SIGKILL, how long the zygote may take to report the end; then it goes, too."""
DATABASE_PATIENCE_SECONDS = 600.0
_PASSING = frozenset({StorageFull.default_code, BlobVanished.default_code})
DRAIN_NEWS_SECONDS = 2.0
"""How long the main process of a worker may take to pass on that it was told to stop."""


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
        self,
        job: Job,
        nursery: Nursery,
        factory: sessionmaker[Session],
        settings: Settings,
        threads: int = 1,
    ) -> None:
        self._job = job
        self._lease = Lease(job.id, str(job.lease_token))
        self._nursery = nursery
        self._factory = factory
        self._settings = settings
        self._threads = threads
        self._store = BlobStore(settings.data_dir)
        self._staging = self._store.staging(job.id, job.claims)
        self._deadline = time.monotonic() + job.timeout_seconds
        self._kill_at = math.inf
        self._killed = False
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
                    self._lose(error)
                except DermSynthError as error:
                    self._give_up(error)
                else:
                    self._settle(ending, heart)
        except BaseException:
            self._nursery.close()  # whatever has happened, the job must not go on unwatched
            raise
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)

    # While the job runs

    def _task(self, session: Session) -> str:
        job, settings = self._job, self._settings
        return JobTask(
            job_id=job.id,
            kind=job.kind,
            attempt=job.claims,
            params=job.params,
            inputs=_located(Inputs.model_validate(job.inputs), settings.data_dir.resolve()),
            children=_children(session, job.id),
            restored=job.checkpoint,
            data_dir=settings.data_dir.resolve(),
            weights_dir=settings.weights_dir.resolve(),
            device=settings.device,
            threads=self._threads,
            limits=Limits(
                archive_files=settings.max_archive_files,
                archive_bytes=settings.max_archive_bytes,
                archive_ratio=settings.max_archive_ratio,
                image_pixels=settings.max_image_pixels,
                decoder=decoder_limits(settings),
            ),
            reserve=reserve_of(settings),
        ).model_dump_json()

    def _watch(self, heart: Heartbeat) -> Ending:
        ending, buffer = Ending(), bytearray()
        task = self._patiently(self._task)
        link = self._nursery.start(task, self._store.log(self._job.id))
        control = self._nursery.control
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
            # what was still in the socket when the process ended; something that it started and
            # that outlives it may hold its end open, so there is no waiting for more
            link.setblocking(False)
            while self._hear(link, buffer, ending, heart):
                pass
        return ending

    def _hear(
        self, link: socket.socket, buffer: bytearray, ending: Ending, heart: Heartbeat
    ) -> bool:
        try:
            data = link.recv(1 << 20)
        except (ConnectionResetError, BlockingIOError):
            data = b""
        if not data:
            return False
        buffer += data
        if b"\n" not in data:  # the outcome of a large job comes in many parts
            return True
        *lines, rest = bytes(buffer).split(b"\n")
        buffer[:] = rest
        for line in lines:
            self._note(json.loads(line), ending, heart)
        return True

    def _note(self, message: dict[str, Any], ending: Ending, heart: Heartbeat) -> None:
        match message["type"]:
            case "progress":
                self._progress(storable(message), heart)
            case "checkpoint":
                self._keep(message)
            case "outcome":
                ending.outcome = message["outcome"]
            case "error":
                ending.problem = storable(message["problem"])
            case "stopped":
                ending.stopped = True

    def _progress(self, message: dict[str, Any], heart: Heartbeat) -> None:
        phase, current, total = message["phase"], message["current"], message["total"]
        if current is None or total is None:
            return  # it was not a number
        heart.report((phase, current, total))
        now = time.monotonic()
        if phase != self._told_phase or now - self._told_events >= 0.5:
            self._told_phase, self._told_events = phase, now
            self._event("progress", {"phase": phase, "current": current, "total": total})

    def _event(self, kind: str, data: dict[str, Any]) -> None:
        try:
            with self._factory.begin() as session:
                jobs.add_event_held(session, self._lease, kind, data)
        except SQLAlchemyError as error:
            log.warning("no event for %s: %s", self._job.id, error)

    def _keep(self, message: dict[str, Any]) -> None:
        try:
            with self._factory.begin() as session:
                if jobs.save_checkpoint(session, self._lease, message["state"]):
                    keep_for_job(session, self._job.id, message["blobs"])
        except SQLAlchemyError as error:
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
        elif now > self._kill_at:
            if self._killed:
                self._nursery.close()
                raise WorkerLost("The job process could not be ended")
            self._killed = True
            self._kill_at = now + UNKILLABLE_SECONDS
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
            self._commit(ending.outcome)
        elif ending.problem is not None and ending.problem["code"] == StorageFull.default_code:
            self._lose(StorageFull(ending.problem["detail"]))
        elif ending.problem is not None:
            self._fail(ending.problem)
        elif self._why == "cancel":
            error = JobCancelled("Canceled while running").as_problem()
            self._write(lambda s, job: end(s, job, JobStatus.CANCELED, error=error))
        elif self._why == "timeout":
            limit = self._job.timeout_seconds
            self._fail(JobTimeout(f"The job ran longer than {limit:g} s").as_problem())
        elif self._why == "drain" or (ending.stopped and _drains_soon()):
            self._write(lambda s, job: requeue(s, job, reason="drained", counted=False, delay=0.0))
        else:
            self._lose(WorkerLost(f"The job process {_ended(ending.status)}"))

    def _give_up(self, error: DermSynthError) -> None:
        """End the attempt: another one follows when time alone may mend the error."""
        if error.code in _PASSING:
            self._lose(error)
        else:
            self._fail(error.as_problem())

    def _lose(self, error: DermSynthError) -> None:
        log.warning("the attempt is lost: %s", error)
        current_span().fail(error.code)
        self._write(lambda session, job: lose(session, job, error))

    def _fail(self, problem: dict[str, Any]) -> None:
        log.warning("the job failed: %s", problem.get("code"))
        current_span().fail(str(problem.get("code")))
        self._write(lambda session, job: end(session, job, JobStatus.FAILED, error=problem))

    def _commit(self, made: dict[str, Any]) -> None:
        try:
            outcome = Outcome.model_validate(made)
            self._store.publish(self._staging / "blobs", outcome.blobs)
            committed = self._patiently(
                lambda session: commit_outcome(session, self._lease, outcome, self._store)
            )
        except DermSynthError as error:
            self._give_up(error)
        except OSError as error:
            log.exception("the volume failed %s", self._job.id)
            self._lose(WorkerLost(f"The shared volume failed: {error.strerror}"))
        except Exception as error:
            if is_away(error):
                raise
            # a further attempt would make the same: NaN in a result, say
            log.exception("what %s made cannot be written", self._job.id)
            detail = f"What the job made cannot be stored ({type(error).__name__})"
            self._fail(JobFailed(detail, code="internal_error").as_problem())
        else:
            if not committed:
                log.warning("stale: commit of %s refused", self._job.id)

    def _write(self, change: Callable[[Session, Job], None]) -> None:
        """Apply a change to the job under its fence; a stale one changes nothing."""

        def fenced(session: Session) -> bool:
            job = jobs.lock_held(session, self._lease)
            if job is None:
                log.warning("stale: the lease of %s is lost, nothing is written", self._job.id)
                return False
            change(session, job)
            return True

        self._patiently(fenced)

    def _patiently(self, work: Callable[[Session], T]) -> T:
        """Run a transaction; while the database is away, try again for some minutes."""
        until = time.monotonic() + DATABASE_PATIENCE_SECONDS
        while True:
            try:
                with transaction(self._factory) as session:
                    return work(session)
            except DBAPIError as error:
                if not is_away(error) or time.monotonic() > until or draining():
                    raise
                log.warning("the database is away, %s waits: %s", self._job.id, error)
                time.sleep(TICK_SECONDS)


def _drains_soon() -> bool:
    """Tell whether this worker is told to stop, now that its job was.

    An init system signals a worker and its job at the same moment. One that signals the job alone
    (because memory runs out, say) has ended it: that counts as an attempt.
    """
    until = time.monotonic() + DRAIN_NEWS_SECONDS
    while not draining() and time.monotonic() < until:
        time.sleep(0.02)
    return draining()


def is_away(error: Exception) -> bool:
    """Tell whether the database was not there, or busy, rather than unwilling."""
    return isinstance(error, DBAPIError) and (
        isinstance(error, OperationalError) or error.connection_invalidated
    )


def storable(value: Any) -> Any:
    """Return JSON that PostgreSQL takes: no NUL, no lone surrogates; NaN and infinities are null.

    For what must be written whatever it holds; a result that is not storable is an error.
    """
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [storable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _located(inputs: Inputs, data_dir: Path) -> Inputs:
    """Say where uploads lie on this host: the volume may be mounted elsewhere on the API's."""
    uploads = {
        name: upload.model_copy(update={"path": str(data_dir / "uploads" / name)})
        for name, upload in inputs.uploads.items()
    }
    return inputs.model_copy(update={"uploads": uploads})


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
