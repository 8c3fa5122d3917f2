"""What a worker reports of itself, and what the health check of its host makes of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from core.config import get_settings
from core.db.models import Job, Worker
from core.db.repositories import jobs, workers
from core.db.repositories.jobs import seconds_from_now
from tests.integration.engine import Engine, engine
from worker import health

HOST = socket.gethostname()


@pytest.fixture
def stack(empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("DERMSYNTH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DERMSYNTH_DIAGNOSTICS", "1")
    get_settings.cache_clear()
    with engine(empty_database, tmp_path) as made:
        monkeypatch.setattr(health, "sessions", lambda: made.sessions)
        yield made
    get_settings.cache_clear()


def report(stack: Engine, worker_id: str, host: str = HOST, gpus: int = 0) -> None:
    row = {
        "id": worker_id, "host": host, "pid": 1, "queues": ["cpu", "io"], "slots": 2,
        "available": [], "gpus": [{"index": n} for n in range(gpus)],
    }  # fmt: skip
    with stack.sessions.begin() as session:
        workers.report(session, row, changing=("available", "gpus"))


def silence(stack: Engine, worker_id: str, seconds: float) -> None:
    with stack.sessions.begin() as session:
        seen = update(Worker).where(Worker.id == worker_id)
        session.execute(seen.values(last_seen=seconds_from_now(-seconds)))


def test_a_host_is_healthy_while_a_worker_of_it_reports(stack: Engine) -> None:
    assert "no worker of this host" in (health.problem() or "")
    report(stack, "wrk_elsewhere", host="elsewhere")
    assert "no worker of this host" in (health.problem() or "")
    report(stack, "wrk_here")
    assert health.problem() is None
    silence(stack, "wrk_here", health.SILENT_SECONDS + 5)
    assert "no worker of this host" in (health.problem() or "")


def test_a_host_that_claims_nothing_while_jobs_wait_is_not_healthy(stack: Engine) -> None:
    report(stack, "wrk_here")
    overdue, other = stack.submit(), stack.submit()
    assert health.problem() is None, "they have just come"
    long_ago = seconds_from_now(-health.IDLE_SECONDS - 5)
    with stack.sessions.begin() as session:
        session.execute(update(Job).values(available_at=long_ago))
    assert "idle while 2 due jobs wait" in (health.problem() or "")
    assert stack.claim(other, worker=f"{HOST}:1") is not None
    assert stack.job(overdue).status == "queued" and health.problem() is None


def test_a_report_renews_what_changes_and_silent_workers_are_forgotten(stack: Engine) -> None:
    for worker_id in ("wrk_old", "wrk_new"):
        report(stack, worker_id)
    silence(stack, "wrk_old", 100)
    with stack.sessions.begin() as session:
        workers.forget_silent(session, 50)
    silence(stack, "wrk_new", 100)
    report(stack, "wrk_new", gpus=2)
    with stack.sessions() as session:
        (left,) = session.scalars(select(Worker))
        assert (left.id, left.slots, len(left.gpus)) == ("wrk_new", 2, 2)
        assert jobs.database_now(session) - left.last_seen < timedelta(seconds=50)
