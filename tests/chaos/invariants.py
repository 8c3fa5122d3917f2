"""What must hold after any campaign, read from the database and the volume alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.models import Artifact, DatasetVersion, IdempotencyKey, Job, JobEvent, Tenant
from core.jobs.states import TERMINAL
from core.storage.blobs import BlobStore, sha256_of

UNCOUNTED = {"drained", "children_done"}
"""Why a job goes back to the queue without having used an attempt."""
EXPECTED_ENDS = {"worker_lost", "storage_full"}
EXPECTED_ARTIFACTS = {"sleep": {"slept.txt"}, "noop": set(), "crash": set()}


@dataclass
class Findings:
    """What does not hold."""

    jobs: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stale_commits: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Snapshot:
    """All rows that the check compares."""

    jobs: dict[str, Job]
    events: dict[str, list[JobEvent]]
    artifacts: list[Artifact]
    versions: list[DatasetVersion]
    active: dict[str, int]
    keys: list[IdempotencyKey]


def read(session: Session) -> Snapshot:
    events: dict[str, list[JobEvent]] = {}
    for event in session.scalars(select(JobEvent).order_by(JobEvent.job_id, JobEvent.seq)):
        events.setdefault(event.job_id, []).append(event)
    return Snapshot(
        {job.id: job for job in session.scalars(select(Job))},
        events,
        list(session.scalars(select(Artifact))),
        list(session.scalars(select(DatasetVersion))),
        {row[0]: row[1] for row in session.execute(select(Tenant.id, Tenant.jobs_active))},
        list(session.scalars(select(IdempotencyKey))),
    )


def check(seen: Snapshot, store: BlobStore, accepted: Collection[str]) -> Findings:
    """Compare everything with everything; all jobs should have ended."""
    found = Findings(jobs=len(seen.jobs))
    found.lost += [
        f"{job_id} was accepted and is gone" for job_id in set(accepted) - set(seen.jobs)
    ]
    for job in seen.jobs.values():
        _check_end(job, seen.events.get(job.id, []), found)
        _check_events(job, seen.events.get(job.id, []), found)
        _check_counters(job, seen, found)
    _check_results(seen, found)
    _check_tenants(seen, found)
    _check_volume(seen, store, found)
    return found


def _losses(events: Iterable[JobEvent]) -> int:
    """Count the attempts of a job that ended with the worker."""
    again = [e for e in events if e.type == "requeued" and e.data["reason"] == "worker_lost"]
    last = [e for e in events if e.type == "failed" and _code(e) == "worker_lost"]
    return len(again) + len(last)


def _code(event: JobEvent) -> str | None:
    code = (event.data.get("error") or {}).get("code")
    return None if code is None else str(code)


def _odd(events: Iterable[JobEvent]) -> list[str]:
    """Return reasons to fail or to wait that nobody who holds the lease of a sleeping job can have.

    A stale worker finds its staging folder gone: its next attempt is under way.
    """
    again = {str(e.data["reason"]) for e in events if e.type == "requeued"}
    ends = {str(_code(e)) for e in events if e.type == "failed"}
    return sorted((again - UNCOUNTED - EXPECTED_ENDS) | (ends - EXPECTED_ENDS))


def _check_end(job: Job, events: list[JobEvent], found: Findings) -> None:
    if job.status not in TERMINAL:
        found.lost.append(f"{job.kind} {job.id} is still {job.status}")
    if (job.error or {}).get("code") == "worker_lost" and _losses(events) < job.max_attempts:
        found.lost.append(f"{job.id} failed worker_lost after {_losses(events)} losses")
    slept = job.kind == "sleep" and job.status == "succeeded"
    claim = (job.result or {}).get("claim")
    if slept and claim != job.claims:
        found.stale_commits.append(f"{job.id}: claim {claim} committed, {job.claims} had the lease")
    if job.kind == "sleep":
        found.stale_commits += [
            f"{job.id}: {why}, written by a stale worker" for why in _odd(events)
        ]
    if job.status in TERMINAL and job.lease_token is not None:
        found.problems.append(f"{job.id} has ended and holds a lease")


def _check_events(job: Job, events: list[JobEvent], found: Findings) -> None:
    if [event.seq for event in events] != list(range(1, job.last_seq + 1)):
        found.problems.append(f"the events of {job.id} have gaps")
    ends = [event.type for event in events if event.type in TERMINAL]
    if len(ends) > 1:
        found.doubled.append(f"{job.id} ended {len(ends)} times: {ends}")
    elif job.status in TERMINAL and (ends != [job.status] or events[-1].type != job.status):
        found.problems.append(f"{job.id} is {job.status}, its events end with {ends}")


def _check_counters(job: Job, seen: Snapshot, found: Findings) -> None:
    below = sum(
        child.parent_id == job.id and child.status not in TERMINAL for child in seen.jobs.values()
    )
    if job.pending_children != below:
        found.problems.append(f"{job.id} waits for {job.pending_children} children of {below}")
    events = seen.events.get(job.id, [])
    started = sum(event.type == "started" for event in events)
    free = sum(e.type == "requeued" and e.data["reason"] in UNCOUNTED for e in events)
    if job.attempt > job.max_attempts:
        found.problems.append(f"{job.id} had {job.attempt} attempts of {job.max_attempts}")
    if started != job.claims or not job.claims - free <= job.attempt <= job.claims:
        found.problems.append(
            f"{job.id}: {job.claims} claims, {started} starts, {free} free, {job.attempt} attempts"
        )


def _check_results(seen: Snapshot, found: Findings) -> None:
    names: dict[str, list[str]] = {}
    for artifact in seen.artifacts:
        names.setdefault(artifact.job_id, []).append(artifact.name)
    versions = Counter(version.job_id for version in seen.versions if version.job_id)
    for job in seen.jobs.values():
        made = names.get(job.id, [])
        if len(made) != len(set(made)) or versions[job.id] > 1:
            found.doubled.append(f"{job.id} has {made} and {versions[job.id]} versions")
        if job.status in ("failed", "canceled") and (made or versions[job.id]):
            found.problems.append(f"{job.id} {job.status} and shows {made}")
        expected = EXPECTED_ARTIFACTS.get(job.kind)
        if expected is not None and job.status == "succeeded" and set(made) != expected:
            found.problems.append(f"{job.id} ({job.kind}) shows {made}")
    keys = Counter(str(key.body.get("id")) for key in seen.keys if "kind" in key.body)
    found.doubled += [f"{n} keys name {job_id}" for job_id, n in keys.items() if n > 1]


def _check_tenants(seen: Snapshot, found: Findings) -> None:
    for tenant_id, active in seen.active.items():
        unfinished = sum(
            job.tenant_id == tenant_id and job.parent_id is None and job.status not in TERMINAL
            for job in seen.jobs.values()
        )
        if active != unfinished:
            found.problems.append(f"{tenant_id} counts {active} active jobs of {unfinished}")


def _check_volume(seen: Snapshot, store: BlobStore, found: Findings) -> None:
    for artifact in seen.artifacts:
        path = store.path(artifact.sha256)
        if not path.is_file():
            found.problems.append(f"{artifact.id} {artifact.name} of {artifact.job_id} has no blob")
        elif path.stat().st_size != artifact.bytes:
            found.problems.append(f"{artifact.id} {artifact.name} has another size than its blob")
    for path in (store.root / "blobs").rglob("*"):
        if path.is_file() and sha256_of(path) != path.name:
            found.problems.append(f"blob {path.name} does not hold what its name says")
    for version in seen.versions:
        if not store.path(version.manifest_blob).is_file():
            found.problems.append(f"{version.id} has no manifest")
