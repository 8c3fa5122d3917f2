"""The state machine of jobs on a real database: every move, every race that a call can show."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from core.config import get_settings
from core.db.models import Artifact, JobEvent, Upload
from core.db.repositories import jobs, uploads
from core.db.repositories.jobs import Lease
from core.db.repositories.new_jobs import TOGETHER
from core.db.session import engine as made_db_engine
from core.db.session import forget_engine
from core.errors import Conflict, NotFound
from core.ids import new_id
from tests.integration.conftest import fresh_database
from tests.integration.engine import Engine
from tests.integration.engine import engine as made_engine

STATES = (
    *("queued", "backing_off", "running", "expired", "canceling", "waiting", "merging"),
    *("succeeded", "failed", "canceled"),
)
CALLS = ("claim", "renew", "commit", "lose", "drain", "cancel", "reap")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with fresh_database() as url:
        yield url


@pytest.fixture
def engine(database: str, tmp_path: Path) -> Iterator[Engine]:
    with made_engine(database, tmp_path) as made:
        yield made


def claimed(engine: Engine, job_id: str) -> Lease:
    lease = engine.claim(job_id)
    assert lease is not None
    return lease


def in_state(engine: Engine, state: str) -> tuple[str, Lease]:
    """Return a job in a state, and the newest lease on it (a made-up one if there was none)."""
    job_id = engine.submit()
    lease = Lease(job_id, "req_none")
    if state == "queued":
        return job_id, lease
    if state == "backing_off":
        lease = claimed(engine, job_id)
        engine.give_up(lease, "lose")
        return job_id, lease
    if state == "canceled":
        engine.cancel(job_id)
        return job_id, lease
    lease = claimed(engine, job_id)
    match state:
        case "expired":
            engine.expire(job_id)
        case "canceling":
            engine.cancel(job_id)
        case "waiting":
            engine.commit(lease, children=2)
        case "merging":
            engine.commit(lease, children=1)
            engine.commit(claimed(engine, engine.children(job_id)[0]))
            lease = claimed(engine, job_id)
        case "succeeded":
            engine.commit(lease)
        case "failed":
            engine.give_up(lease, "fail")
    return job_id, lease


def called(engine: Engine, call: str, job_id: str, lease: Lease) -> str:
    """Do it and say in a word what came of it."""
    match call:
        case "renew":
            beat = engine.renew(lease)
            return "no" if beat is None else "cancel" if beat.cancel_requested else "yes"
        case "cancel":
            try:
                engine.cancel(job_id)
            except Conflict:
                return "conflict"
            return "yes"
        case "claim":
            done: object = engine.claim(job_id)
        case "commit":
            done = engine.commit(lease)
        case "reap":
            done = engine.reap(job_id)
        case _:
            done = engine.give_up(lease, call)
    return "yes" if done else "no"


HELD = {"renew": "yes", "commit": "yes", "lose": "yes", "drain": "yes", "cancel": "yes"}
ENDED = {"cancel": "conflict"}
ANSWERS: dict[str, dict[str, str]] = {
    "queued": {"claim": "yes", "cancel": "yes"},
    "backing_off": {"cancel": "yes"},
    "running": HELD,
    # until somebody reaps it, a late worker may still end it
    "expired": HELD | {"reap": "yes"},
    "canceling": HELD | {"renew": "cancel"},
    "waiting": {"cancel": "yes"},
    "merging": HELD,
    "succeeded": ENDED,
    "failed": ENDED,
    "canceled": {"cancel": "yes"},
}
LEAVES: dict[tuple[str, str], str] = {
    **{(state, "commit"): "succeeded" for state in ("running", "expired", "canceling", "merging")},
    **{(s, how): "queued" for s in ("running", "expired", "merging") for how in ("lose", "drain")},
    **{("canceling", how): "canceled" for how in ("lose", "drain")},
    **{(s, "cancel"): "canceled" for s in ("queued", "backing_off", "waiting", "canceled")},
    ("queued", "claim"): "running",
    ("expired", "reap"): "queued",
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("call", CALLS)
def test_every_call_in_every_state(engine: Engine, state: str, call: str) -> None:
    job_id, lease = in_state(engine, state)
    before = engine.job(job_id).status
    assert called(engine, call, job_id, lease) == ANSWERS[state].get(call, "no")
    assert engine.job(job_id).status == LEAVES.get((state, call), before)
    engine.check_invariants()


@pytest.mark.parametrize("state", ["running", "merging"])
def test_a_lost_lease_opens_nothing_once_another_has_it(engine: Engine, state: str) -> None:
    job_id, old = in_state(engine, state)
    engine.expire(job_id)
    assert engine.reap(job_id)
    engine.make_due()
    new = claimed(engine, job_id)
    for call in ("renew", "commit", "lose", "drain"):
        assert called(engine, call, job_id, old) == "no"
    assert engine.commit(new, artifact=True)
    assert engine.artifacts(job_id) == 1
    engine.check_invariants()


def test_without_the_fence_a_stale_commit_doubles_the_result(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the test above can fail."""
    job_id, old = in_state(engine, "running")
    engine.expire(job_id)
    engine.reap(job_id)
    engine.make_due()
    new = claimed(engine, job_id)
    monkeypatch.setattr(
        jobs, "lock_held", lambda session, lease: jobs.lock_with_ancestors(session, lease.job_id)
    )
    assert engine.commit(old), "the stale one gets through"
    with pytest.raises((RuntimeError, DBAPIError)):
        engine.commit(new, artifact=True)


def test_of_two_claims_at_once_exactly_one_wins(engine: Engine) -> None:
    for _ in range(10):
        job_id = engine.submit()
        gate = threading.Barrier(4)

        def race(worker: int, job_id: str = job_id, gate: threading.Barrier = gate) -> Any:
            gate.wait()
            return engine.claim(job_id, f"w{worker}")

        with ThreadPoolExecutor(4) as pool:
            won = [lease for lease in pool.map(race, range(4)) if lease]
        assert len(won) == 1
        assert engine.job(job_id).claims == 1
        assert engine.commit(won[0])


def test_siblings_that_end_at_once_queue_their_parent_once(engine: Engine) -> None:
    job_id = engine.submit()
    engine.commit(claimed(engine, job_id), children=6)
    leases = [claimed(engine, child) for child in engine.children(job_id)]
    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(engine.commit, leases))
    parent = engine.job(job_id)
    assert (parent.status, parent.pending_children, parent.uncounted) == ("queued", 0, True)
    engine.check_invariants()
    assert engine.commit(claimed(engine, job_id))
    assert (engine.job(job_id).attempt, engine.job(job_id).claims) == (1, 2)


def test_a_merge_that_loses_its_worker_merges_again(engine: Engine) -> None:
    job_id, lease = in_state(engine, "merging")
    engine.give_up(lease, "lose")
    engine.make_due()
    assert engine.commit(claimed(engine, job_id))
    job = engine.job(job_id)
    assert (job.status, job.attempt, job.claims) == ("succeeded", 2, 3)
    assert len(engine.children(job_id)) == 1
    engine.check_invariants()


def test_a_second_round_begins_after_the_first(engine: Engine) -> None:
    job_id, lease = in_state(engine, "merging")
    engine.commit(lease, children=2)
    assert engine.job(job_id).round_start == 1
    assert [engine.job(c).ordinal for c in engine.children(job_id)] == [0, 1, 2]
    for child in engine.children(job_id)[1:]:
        engine.commit(claimed(engine, child))
    assert engine.commit(claimed(engine, job_id))
    engine.check_invariants()


def test_a_failed_child_cancels_its_siblings_and_fails_its_parent(engine: Engine) -> None:
    job_id = engine.submit()
    engine.commit(claimed(engine, job_id), children=3)
    first, second, third = engine.children(job_id)
    running = claimed(engine, second)
    engine.give_up(claimed(engine, first), "fail")
    assert engine.job(third).status == "canceled"
    beat = engine.renew(running)
    assert beat is not None
    assert beat.cancel_requested
    assert engine.job(job_id).status == "running"
    engine.give_up(running, "stop")
    parent = engine.job(job_id)
    assert parent.status == "failed"
    assert (parent.error or {})["code"] == "child_failed"
    assert (parent.error or {})["child_id"] == first
    engine.check_invariants()


def test_many_children_are_written_in_several_pieces_and_each_once(engine: Engine) -> None:
    job_id, many = engine.submit(), 2 * TOGETHER + 1
    engine.commit(claimed(engine, job_id), children=many)
    written = [engine.job(child) for child in engine.children(job_id)]
    assert sorted(child.ordinal for child in written) == list(range(many))
    assert {child.status for child in written} == {"queued"}
    assert engine.job(job_id).pending_children == many
    with engine.sessions() as session:
        created = select(func.count()).where(JobEvent.job_id.in_([c.id for c in written]))
        assert session.scalar(created) == many


def test_cancel_reaches_grandchildren(engine: Engine) -> None:
    job_id = engine.submit()
    engine.commit(claimed(engine, job_id), children=2)
    child, queued = engine.children(job_id)
    engine.commit(claimed(engine, child), children=2)
    running, waiting = engine.children(child)
    lease = claimed(engine, running)
    engine.cancel(job_id)
    assert {engine.job(j).status for j in (queued, waiting)} == {"canceled"}
    beat = engine.renew(lease)
    assert beat is not None
    assert beat.cancel_requested
    engine.give_up(lease, "stop")
    assert {engine.job(j).status for j in (job_id, child, running)} == {"canceled"}
    engine.check_invariants()


def test_a_job_that_was_called_off_gets_no_children(engine: Engine) -> None:
    job_id = engine.submit()
    lease = claimed(engine, job_id)
    engine.cancel(job_id)
    assert engine.commit(lease, children=3, artifact=True)
    assert engine.job(job_id).status == "canceled"
    assert engine.children(job_id) == []
    assert engine.artifacts(job_id) == 0
    engine.check_invariants()


def test_a_drained_job_that_was_called_off_does_not_wait(engine: Engine) -> None:
    job_id = engine.submit()
    lease = claimed(engine, job_id)
    engine.cancel(job_id)
    engine.give_up(lease, "drain")
    assert engine.job(job_id).status == "canceled"


def test_the_last_attempt_fails_and_drains_do_not_count(engine: Engine) -> None:
    job_id = engine.submit()
    for _ in range(4):
        engine.give_up(claimed(engine, job_id), "drain")
    for attempt in range(1, 4):
        engine.make_due()
        lease = claimed(engine, job_id)
        assert engine.job(job_id).attempt == attempt
        engine.give_up(lease, "lose")
    job = engine.job(job_id)
    assert (job.status, job.claims) == ("failed", 7)
    assert (job.error or {})["code"] == "worker_lost"
    engine.check_invariants()


def test_a_long_commit_does_not_hold_up_submissions(engine: Engine) -> None:
    """Rows that refer to the tenant lock it against changes of its key only."""
    job_id = engine.submit()
    with engine.sessions() as session, session.begin():
        session.add(
            Artifact(
                id=new_id("art"), tenant_id=engine.principal.tenant_id, job_id=job_id,
                name="a", sha256="0" * 64, bytes=1, media_type="text/plain",
            )
        )  # fmt: skip
        session.flush()
        with ThreadPoolExecutor(1) as pool:
            assert engine.job(pool.submit(engine.submit).result(5)).status == "queued"


def test_a_hint_on_another_queue_claims_nothing(engine: Engine) -> None:
    job_id = engine.submit()
    with engine.sessions.begin() as session:
        assert jobs.claim(session, job_id, ["gpu", "interactive"], "w", 60) is None
        assert jobs.claim(session, job_id, ["gpu", "cpu"], "w", 60) is not None


def test_a_job_is_hinted_as_soon_as_its_backoff_is_over(engine: Engine) -> None:
    engine.reset()
    job_id = engine.submit()
    with engine.sessions.begin() as session:
        assert jobs.seconds_to_next(session) is None
        assert jobs.unhinted(session, 60.0, ["cpu"]) == [], "its first hint is under way"
    engine.give_up(claimed(engine, job_id), "lose")
    with engine.sessions.begin() as session:
        assert 0 < (jobs.seconds_to_next(session) or 0) <= 5
        assert jobs.unhinted(session, 60.0, ["cpu"]) == []
    engine.make_due()
    with engine.sessions.begin() as session:
        assert jobs.unhinted(session, 60.0, ["cpu"]) == [(job_id, "cpu")]
        assert jobs.unhinted(session, 60.0, ["cpu"]) == []


def test_hints_are_repeated_for_queues_that_lack_them(engine: Engine) -> None:
    job_id = engine.submit()
    engine.make_due()
    with engine.sessions.begin() as session:
        assert jobs.due_by_queue(session)["cpu"] >= 1
        assert job_id not in dict(jobs.unhinted(session, 0.0, ["gpu"]))
        assert dict(jobs.unhinted(session, 0.0, ["gpu", "cpu"]))[job_id] == "cpu"
        assert job_id not in dict(jobs.unhinted(session, 60.0, ["cpu"]))


def add_upload(engine: Engine, seconds: float) -> str:
    upload_id = new_id("upl")
    with engine.sessions.begin() as session:
        row = Upload(
            id=upload_id, tenant_id=engine.principal.tenant_id, filename="a.zip",
            length=10, received=10, completed_at=jobs.NOW,
            expires_at=jobs.seconds_from_now(seconds),
        )  # fmt: skip
        session.add(row)
    return upload_id


def test_an_upload_lives_as_long_as_a_job_needs_it(engine: Engine) -> None:
    upload_id, idle = add_upload(engine, 3600), add_upload(engine, -1)
    job_id = engine.submit("import", upload_id=upload_id, name="x")
    with engine.sessions.begin() as session:
        session.execute(
            text("UPDATE uploads SET expires_at = clock_timestamp() WHERE id = :id"),
            {"id": upload_id},
        )
    with engine.sessions.begin() as session:
        assert [gone for gone, _ in uploads.take_expired(session)] == [idle]
    engine.cancel(job_id)
    with engine.sessions.begin() as session:
        assert [gone for gone, _ in uploads.take_expired(session)] == [upload_id]


def test_an_expired_upload_is_not_imported(engine: Engine) -> None:
    with pytest.raises(NotFound) as caught:
        engine.submit("import", upload_id=add_upload(engine, -1), name="x")
    assert caught.value.code == "upload_not_found"


def test_a_frozen_transaction_loses_its_locks_with_its_lease(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    for lease, idle in ((0.5, "2s"), (30, "30s"), (3600, "1min")):
        monkeypatch.setenv("DERMSYNTH_LEASE_SECONDS", str(lease))
        get_settings.cache_clear()
        forget_engine()
        with made_db_engine().connect() as connection:
            shown = connection.scalar(text("SHOW idle_in_transaction_session_timeout"))
        made_db_engine().dispose()
        assert shown == idle
    monkeypatch.undo()
    get_settings.cache_clear()
    forget_engine()
