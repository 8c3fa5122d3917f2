"""What is old goes, what anything refers to stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core.config import Settings, get_settings
from core.db.models import (
    Artifact,
    AuditEntry,
    BrowserSession,
    Dataset,
    DatasetVersion,
    IdempotencyKey,
    Job,
    JobEvent,
    Tenant,
    TrainedModel,
)
from core.db.repositories.jobs import seconds_from_now
from core.ids import new_id
from core.services import retention
from core.services.housekeeping import Round, keep_house
from tests.integration.engine import Engine, engine

DAY = 86400.0


@pytest.fixture
def stack(empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("DERMSYNTH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DERMSYNTH_DIAGNOSTICS", "1")
    get_settings.cache_clear()
    with engine(empty_database, tmp_path) as made:
        yield made
    get_settings.cache_clear()


def finish(stack: Engine, days: float, children: int = 0) -> str:
    """Run a job to its end and let that be days ago."""
    job_id = stack.submit()
    lease = stack.claim(job_id)
    assert lease is not None
    if children:
        assert stack.commit(lease, children=children)
        for child in stack.children(job_id):
            done = stack.claim(child)
            assert done is not None and stack.commit(done, artifact=True)
        lease = stack.claim(job_id)
        assert lease is not None
    assert stack.commit(lease, artifact=True)
    with stack.sessions.begin() as session:
        session.execute(
            update(Job)
            .where((Job.id == job_id) | (Job.parent_id == job_id))
            .values(finished_at=seconds_from_now(-days * DAY))
        )
    for job in (job_id, *stack.children(job_id)):
        log = stack.store.log(job)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    return job_id


def keep(stack: Engine, **settings: float) -> Round:
    done = keep_house(stack.sessions, Settings(data_dir=stack.folder, **settings))  # type: ignore[arg-type]
    assert done is not None
    return done


def count(session: Session, model: type) -> int:
    return session.scalar(select(func.count()).select_from(model)) or 0


def test_by_default_nothing_of_jobs_is_ever_deleted(stack: Engine) -> None:
    job_id = finish(stack, days=3650)
    done = keep(stack)
    assert (done.jobs, done.event_lists, done.logs) == (0, 0, 0)
    assert stack.artifacts(job_id) == 1
    assert stack.store.log(job_id).exists()


def test_old_trees_go_whole_and_give_their_bytes_back(
    stack: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "TREES", 2)
    old = [finish(stack, days=31, children=n) for n in (0, 2, 1)]
    young, running = finish(stack, days=29), stack.submit()
    logs = [stack.store.log(job.id) for job in stack.all() if job.id not in (young, running)]
    assert keep(stack, keep_jobs_days=30.0).jobs == 6
    assert [job.id for job in stack.all()] == [young, running]
    assert not any(log.exists() for log in logs)
    with stack.sessions() as session:
        assert count(session, Artifact) == 1
        assert session.scalar(select(Tenant.bytes_used)) == 1
    with stack.sessions() as session:
        told = session.scalars(select(AuditEntry).where(AuditEntry.action == "retention.delete"))
        assert {(e.target_id, e.details["jobs"], e.actor_id) for e in told} == {
            (job_id, 1 + children, "system")
            for job_id, children in zip(old, (0, 2, 1), strict=True)
        }
    stack.check_invariants()


def test_a_job_whose_product_exists_stays_with_its_tree(stack: Engine) -> None:
    by_model, by_version = finish(stack, days=31, children=1), finish(stack, days=31)
    finish(stack, days=31)
    owner = {"tenant_id": stack.principal.tenant_id}
    with stack.sessions.begin() as session:
        trainer = session.scalars(select(Job.id).where(Job.parent_id == by_model)).one()
        session.add(TrainedModel(id="mdl_1", name="m", job_id=trainer, files={}, info={}, **owner))
        session.add(Dataset(id="ds_1", name="d", kind="real", **owner))
        session.flush()
        session.add(
            DatasetVersion(
                id="dsv_1", dataset_id="ds_1", number=1, kind="real", parents=[], licence="",
                manifest_blob="0" * 64, manifest_sha256="0" * 64, image_count=0, classes=[],
                info={}, job_id=by_version, **owner,
            )
        )  # fmt: skip
    assert keep(stack, keep_jobs_days=30.0).jobs == 1
    assert {job.id for job in stack.all() if job.parent_id is None} == {by_model, by_version}
    assert stack.children(by_model) == [trainer]


def test_of_old_events_the_last_stays_and_tells_how_it_ended(
    stack: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "JOBS", 2)
    old = [finish(stack, days=8) for _ in range(3)]
    young = finish(stack, days=6)
    assert keep(stack, keep_events_days=7.0).event_lists == 3
    with stack.sessions() as session:
        rows = session.execute(select(JobEvent.job_id, JobEvent.seq, JobEvent.type)).all()
    assert {(row.job_id, row.type) for row in rows if row.job_id in old} == {
        (job_id, "succeeded") for job_id in old
    }
    assert len([row for row in rows if row.job_id == young]) == stack.job(young).last_seq
    assert [stack.store.log(job_id).exists() for job_id in (*old, young)] == [False] * 3 + [True]
    assert keep(stack, keep_events_days=7.0).event_lists == 0


def test_logs_without_a_job_go(stack: Engine) -> None:
    job_id = finish(stack, days=1)
    lost = stack.store.log(new_id("job"))
    lost.parent.mkdir(parents=True, exist_ok=True)
    lost.touch()
    assert keep(stack).logs == 1
    assert stack.store.log(job_id).exists() and not lost.exists()


def test_old_answers_and_sessions_are_forgotten_and_new_ones_kept(stack: Engine) -> None:
    owner = {"tenant_id": stack.principal.tenant_id}
    with stack.sessions.begin() as session:
        for key, days in (("old", 7.1), ("new", 6.9)):
            session.add(
                IdempotencyKey(
                    key=key, request_hash="x", status=202, headers={}, body={},
                    created_at=seconds_from_now(-days * DAY), **owner,
                )
            )  # fmt: skip
            expires = seconds_from_now((5.0 - days) * DAY)
            session.add(BrowserSession(id=key, login_hash=key, expires_at=expires, **owner))
        session.add(
            BrowserSession(id="live", login_hash="l", expires_at=seconds_from_now(60), **owner)
        )
    keep(stack)
    with stack.sessions() as session:
        assert session.scalars(select(IdempotencyKey.key)).all() == ["new"]
        assert session.scalars(select(BrowserSession.id)).all() == ["live"]


def test_caches_are_pruned_by_the_settings(stack: Engine) -> None:
    for folder in ("features", "thumbnails"):
        for number in range(3):
            path = stack.folder / folder / "x" / f"{number}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * 100)
    done = keep(stack, feature_cache_bytes=250, thumbnail_cache_bytes=100)
    assert done.features is not None and done.thumbnails is not None
    assert (done.features.left_bytes, done.thumbnails.left_bytes) == (200, 100)
