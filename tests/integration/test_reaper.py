from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.config import Settings, get_settings
from core.services.staging import DIRECT_SECONDS
from tests.integration.engine import Engine, engine
from tests.integration.harness import eventually
from worker import reaper
from worker.reaper import pause_before_next, sweep


@pytest.fixture
def stack(empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("DERMSYNTH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DERMSYNTH_DIAGNOSTICS", "1")
    get_settings.cache_clear()
    with engine(empty_database, tmp_path) as made:
        yield made
    get_settings.cache_clear()


def test_staging_of_dead_attempts_is_removed_and_of_living_ones_kept(stack: Engine) -> None:
    running, ended = stack.submit(), stack.submit()
    for _ in range(2):
        lease = stack.claim(running)
        if stack.job(running).claims == 1:
            assert lease is not None
            stack.give_up(lease, "drain")
    done = stack.claim(ended)
    assert done is not None and stack.commit(done)
    dead = [
        stack.store.staging(running, 1),
        stack.store.staging(ended, 1),
        stack.store.staging("job_nobody_knows", 1),
        stack.folder / "staging" / "direct" / "old",
    ]
    alive = [stack.store.staging(running, 2), stack.folder / "staging" / "direct" / "new"]
    for folder in dead + alive:
        folder.mkdir(parents=True)
    past = stack.store.now() - DIRECT_SECONDS - 60
    os.utime(dead[-1], (past, past))
    sweep(stack.sessions, Settings(data_dir=stack.folder))
    assert [folder for folder in dead if folder.exists()] == []
    assert [folder for folder in alive if not folder.exists()] == []


def test_the_next_round_comes_sooner_while_a_job_waits_or_its_backoff_ends(stack: Engine) -> None:
    settings = Settings(
        data_dir=stack.folder, reaper_seconds=3600, hint_age_seconds=600, backoff_seconds=5
    )

    def pause() -> float:
        return pause_before_next(stack.sessions, settings)

    assert pause() == 3600
    lost = stack.submit()
    assert pause() == 600, "its hint may have been lost"
    lease = stack.claim(lost)
    assert lease is not None and pause() == 3600
    stack.give_up(lease, "lose")
    assert pause() < 600, "it is hinted when its backoff is over"


def test_a_lost_job_whose_row_was_locked_is_looked_at_once_more(
    stack: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper, "LOCK_SECONDS", 0.05)
    locked, free = stack.submit(), stack.submit()
    for job_id in (locked, free):
        assert stack.claim(job_id) is not None
        stack.expire(job_id)
    order: list[str] = []

    def noted(session: Session, job_id: str) -> bool:
        order.append(job_id)
        return reap(session, job_id)

    reap = reaper.reap
    monkeypatch.setattr(reaper, "reap", noted)
    with stack.sessions() as other:
        row = text("SELECT 1 FROM jobs WHERE id = :id FOR UPDATE")
        other.execute(row, {"id": locked})
        sweeping = threading.Thread(
            target=sweep, args=(stack.sessions, Settings(data_dir=stack.folder))
        )
        sweeping.start()
        eventually(lambda: stack.job(free).status == "queued")
        assert stack.job(locked).status == "running", "it held up no other"
        eventually(lambda: order.count(locked) == 2)
        other.rollback()
    sweeping.join()
    assert stack.job(locked).status == "queued", "the same round has come back to it"
