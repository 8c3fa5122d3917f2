"""The supervisor on a real database, with a nursery whose job says what the test wants."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, OperationalError

from core.config import Settings
from core.db.models import Job
from core.db.repositories import blob_references, jobs
from core.errors import StorageFull, WorkerLost
from core.jobs.runtime import Outcome
from core.jobs.spec import QUEUES
from core.services import uploads
from tests.integration.conftest import fresh_database
from tests.integration.engine import Engine
from tests.integration.engine import engine as made_engine
from worker import reaper, supervisor
from worker.supervisor import Supervisor


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with fresh_database() as url:
        yield url


@pytest.fixture
def engine(database: str, tmp_path: Path) -> Iterator[Engine]:
    with made_engine(database, tmp_path) as made:
        yield made


class Nursery:
    """A zygote that is not there: the job has said its lines and ended, or never ends."""

    def __init__(self, lines: Sequence[dict[str, Any]], *, ends: bool = True) -> None:
        self.lines = lines
        self.control, self.zygote = socket.socketpair()
        self.killed: list[int] = []
        self.closed = False
        self.survivor: socket.socket | None = None
        if ends:
            self.zygote.send(b"!")

    def start(self, task: str, log: Path) -> socket.socket:
        json.loads(task)
        ours, self.survivor = socket.socketpair()
        ours.settimeout(5)
        for line in self.lines:
            self.survivor.sendall(json.dumps(line).encode() + b"\n")
        return ours  # the other end stays open, as with a process that the job left behind

    def messages(self) -> Iterator[dict[str, Any]]:
        self.control.recv(1)
        yield {"exit": 0}

    def kill(self, number: int) -> None:
        self.killed.append(number)

    def close(self) -> None:
        self.closed = True


def supervise(engine: Engine, nursery: Any, job_id: str | None = None, **settings: Any) -> Job:
    job_id = job_id or engine.submit()
    with engine.sessions.begin() as session:
        job = jobs.claim(session, job_id, QUEUES, "w", 60.0)
    assert job is not None
    values: dict[str, Any] = {
        "data_dir": engine.folder,
        "kill_grace_seconds": 0.0,
        "heartbeat_seconds": 0.05,
    }
    Supervisor(job, nursery, engine.sessions, Settings(**values | settings)).run()
    return engine.job(job_id)


def outcome(**made: Any) -> dict[str, Any]:
    return {"type": "outcome", "outcome": Outcome(result={}).model_dump(mode="json") | made}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(supervisor, "UNKILLABLE_SECONDS", 0.1)


def test_an_end_is_noticed_though_something_holds_the_socket(engine: Engine) -> None:
    job = supervise(engine, Nursery([outcome()]))
    assert job.status == "succeeded"
    engine.check_invariants()


@pytest.mark.parametrize(
    "made",
    [
        {"result": {"x": float("nan")}},
        {"result": {"x": "a\0b"}},
        {"metrics": {"x": float("inf")}},
        {"result": {"x": 1}, "surprise": True},
    ],
)
def test_what_cannot_be_stored_fails_the_job_at_once(engine: Engine, made: dict[str, Any]) -> None:
    job = supervise(engine, Nursery([outcome(**made)]))
    assert (job.status, job.attempt) == ("failed", 1)
    assert (job.error or {})["code"] == "internal_error"
    engine.check_invariants()


def test_an_error_is_stored_whatever_it_holds(engine: Engine) -> None:
    problem = {"code": "bad", "detail": "a\0b\ud800", "value": float("nan"), "list": ["\0"]}
    job = supervise(engine, Nursery([{"type": "error", "problem": problem}]))
    assert job.error == {"code": "bad", "detail": "a\ufffdb?", "value": None, "list": ["\ufffd"]}
    assert job.status == "failed"


def test_progress_and_checkpoints_that_cannot_be_stored_cost_nothing_else(engine: Engine) -> None:
    lines: list[dict[str, Any]] = [
        {"type": "progress", "phase": "a\0", "current": float("nan"), "total": 1},
        {"type": "progress", "phase": "b\0", "current": 1, "total": 2},
        {"type": "checkpoint", "state": {"x": float("nan")}},
        outcome(),
    ]
    assert supervise(engine, Nursery(lines)).status == "succeeded"
    engine.check_invariants()


def test_a_full_disk_costs_attempts_and_after_the_last_one_is_the_error(engine: Engine) -> None:
    class Full(Nursery):
        def start(self, task: str, log: Path) -> socket.socket:
            raise StorageFull("The disk is full")

    problem = {"type": "error", "problem": StorageFull("The disk is full").as_problem()}
    job_id = engine.submit()
    for nursery in (Full([]), Nursery([problem])):
        job = supervise(engine, nursery, job_id)
        assert (job.status, job.uncounted) == ("queued", False)
        engine.make_due()
    job = supervise(engine, Full([]), job_id)
    assert (job.status, job.attempt, (job.error or {})["code"]) == ("failed", 3, "storage_full")
    engine.check_invariants()


def test_what_a_checkpoint_publishes_is_kept_for_the_job(engine: Engine) -> None:
    told = {"type": "checkpoint", "state": {"done": 1}, "blobs": ["a" * 64, "b" * 64]}
    stopped = {"type": "error", "problem": StorageFull("The disk is full").as_problem()}
    job = supervise(engine, Nursery([told, stopped]))
    with engine.sessions() as session:
        kept = blob_references.among(session, ["a" * 64, "b" * 64, "c" * 64])
    assert (job.checkpoint, kept) == ({"done": 1}, {"a" * 64, "b" * 64})


def test_a_volume_that_fails_costs_an_attempt(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("core.storage.blobs.BlobStore.publish", fail)
    job = supervise(engine, Nursery([outcome()]))
    assert (job.status, job.uncounted) == ("queued", False)


def test_a_process_that_cannot_be_ended_is_given_up(engine: Engine) -> None:
    job_id = engine.submit()
    with engine.sessions.begin() as session:
        row = session.get_one(Job, job_id)
        row.timeout_seconds = 0.05
    nursery = Nursery([], ends=False)
    job = supervise(engine, nursery, job_id)
    assert nursery.killed == [15, 9]
    assert nursery.closed
    assert job.status == "queued"


def test_a_surprise_ends_the_job_process(engine: Engine) -> None:
    class Odd(Nursery):
        def messages(self) -> Iterator[dict[str, Any]]:
            raise ZeroDivisionError

    nursery = Odd([])
    with pytest.raises(ZeroDivisionError):
        supervise(engine, nursery)
    assert nursery.closed


def test_a_lost_lease_ends_the_process_and_writes_nothing(engine: Engine) -> None:
    class Reaped(Nursery):
        def start(self, task: str, log: Path) -> socket.socket:
            job_id = json.loads(task)["job_id"]
            engine.expire(job_id)
            engine.reap(job_id)
            return super().start(task, log)

        def kill(self, number: int) -> None:
            super().kill(number)
            self.zygote.send(b"!")

    nursery = Reaped([outcome()], ends=False)
    job = supervise(engine, nursery)
    assert nursery.killed[0] == 15
    assert (job.status, job.result) == ("queued", None)
    engine.check_invariants()


def test_a_dead_zygote_costs_an_attempt(engine: Engine) -> None:
    class Dead(Nursery):
        def messages(self) -> Iterator[dict[str, Any]]:
            raise WorkerLost("The zygote died")

    job = supervise(engine, Dead([]))
    assert (job.status, job.uncounted) == ("queued", False)


@pytest.mark.parametrize(("drains", "uncounted"), [(True, True), (False, False)])
def test_a_job_that_another_told_to_stop_is_free_only_when_the_worker_drains(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, drains: bool, uncounted: bool
) -> None:
    monkeypatch.setattr(supervisor, "DRAIN_NEWS_SECONDS", 0.05)
    news = iter([False, False, False])  # the news of the main process comes a little later
    monkeypatch.setattr(supervisor, "draining", lambda: next(news, drains))
    job = supervise(engine, Nursery([{"type": "stopped"}]))
    assert (job.status, job.uncounted) == ("queued", uncounted)


def test_the_limits_of_the_settings_reach_the_job(engine: Engine) -> None:
    seen: dict[str, Any] = {}

    class Curious(Nursery):
        def start(self, task: str, log: Path) -> socket.socket:
            seen.update(json.loads(task)["limits"])
            return super().start(task, log)

    limits: dict[str, Any] = {
        "max_archive_files": 1,
        "max_archive_bytes": 2,
        "max_archive_ratio": 3.0,
        "max_image_pixels": 4,
        "max_decoder_bytes": 5,
        "max_decoder_cpu_seconds": 6,
        "max_decoder_seconds": 7.0,
    }
    supervise(engine, Curious([outcome()]), **limits)
    assert seen == {
        "archive_files": 1, "archive_bytes": 2, "archive_ratio": 3.0, "image_pixels": 4,
        "decoder": {"memory_bytes": 5, "cpu_seconds": 6, "seconds": 7.0},
    }  # fmt: skip


def test_a_locked_job_does_not_keep_the_others_from_being_reaped(engine: Engine) -> None:
    locked, free = engine.submit(), engine.submit()
    for job_id in (locked, free):
        assert engine.claim(job_id)
        engine.expire(job_id)
    with engine.sessions() as session, session.begin():
        session.scalars(select(Job).where(Job.id == locked).with_for_update()).one()
        reaper.sweep(engine.sessions, Settings(data_dir=engine.folder))
    assert engine.job(free).status == "queued"
    assert engine.job(locked).status == "running"


def test_a_reaper_that_is_frozen_stops_no_other(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, thawed, settings = Event(), Event(), Settings(data_dir=engine.folder)

    def freeze(_: object) -> dict[str, int]:
        if not frozen.is_set():
            frozen.set()
            assert thawed.wait(20)
        return {}

    monkeypatch.setattr(reaper, "trim_hints", freeze)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(reaper.sweep, engine.sessions, settings)
        assert frozen.wait(20)
        job_id = engine.submit()
        assert engine.claim(job_id)
        engine.expire(job_id)
        reaper.sweep(engine.sessions, settings)
        thawed.set()
        other.result(20)
    assert engine.job(job_id).status == "queued"


def test_a_brief_transaction_loses_its_locks_when_it_does_nothing(engine: Engine) -> None:
    locked = select(Job).where(Job.id == engine.submit())
    with suppress(DBAPIError), engine.sessions() as slow:  # an internal error, for psycopg
        jobs.be_brief(slow, 0.05, 0.05)
        slow.scalars(locked.with_for_update()).one()
        with engine.sessions() as waiting:
            jobs.be_brief(waiting, 5, 5)
            waiting.scalars(locked.with_for_update()).one()
    with engine.sessions() as first, engine.sessions() as second:
        first.scalars(locked.with_for_update()).one()
        jobs.be_brief(second, 0.05, 5)
        with pytest.raises(OperationalError, match="lock timeout"):
            second.scalars(locked.with_for_update()).one()


@pytest.mark.parametrize(("held", "sent"), [(10_000, False), (0, True)])
def test_a_queue_that_has_its_hints_gets_no_more(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, held: int, sent: bool
) -> None:
    job_id = engine.submit()
    engine.make_due()
    hints: list[tuple[str, str]] = []
    monkeypatch.setattr(reaper, "trim_hints", lambda queues: dict.fromkeys(queues, held))
    monkeypatch.setattr("core.services.transaction.post_hints", hints.extend)
    reaper.sweep(engine.sessions, Settings(data_dir=engine.folder, hint_age_seconds=0.001))
    assert ((job_id, "cpu") in hints) == sent


def test_what_dead_requests_left_is_removed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "upload_path", lambda name: engine.folder / "uploads" / name)
    (engine.folder / "uploads").mkdir()
    direct = engine.folder / "staging" / "direct"
    for name in ("old", "new"):
        (engine.folder / "uploads" / name).touch()
        (direct / name).mkdir(parents=True)
    for old in (engine.folder / "uploads" / "old", direct / "old"):
        os.utime(old, (0, 0))
    reaper.sweep(engine.sessions, Settings(data_dir=engine.folder))
    for folder in (engine.folder / "uploads", direct):
        assert [path.name for path in folder.iterdir()] == ["new"]
