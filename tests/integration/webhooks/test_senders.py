"""Senders: many at once, slow receivers, killed while they send."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from core.config import Settings
from core.db.models import Webhook, WebhookDelivery
from core.db.repositories.jobs import seconds_from_now
from core.services.webhook_sending import claim_due, deliver
from tests.integration.engine import Engine
from tests.integration.harness import eventually
from tests.integration.webhooks.world import (
    deliveries,
    end,
    hook,
    only,
    send_due,
)
from tests.receiver import Receiver, receiver
from worker.webhooks import Sender


def test_many_senders_claim_each_delivery_once(engine: Engine, there: Receiver) -> None:
    hooks = 6
    for _ in range(hooks):
        hook(engine, there.url)
    for _ in range(3):
        end(engine)
    gate = threading.Barrier(8)

    def claim(_: int) -> list[Any]:
        gate.wait()
        return claim_due(engine.sessions, Settings(), failing=False, most=100)

    with ThreadPoolExecutor(8) as pool:
        claims = [held for found in pool.map(claim, range(8)) for held in found]
    assert 0 < len(claims) <= hooks  # one of each web hook at a time
    assert len({held.webhook_id for held in claims}) == len(claims)
    assert len({held.delivery_id for held in claims}) == len(claims)


def test_a_claim_that_was_lost_writes_nothing(engine: Engine, there: Receiver) -> None:
    hook(engine, there.url)
    end(engine)
    (stale,) = claim_due(engine.sessions, Settings(), failing=False, most=1)

    def slow(*_: Any) -> Any:
        with engine.sessions.begin() as session:
            session.execute(update(WebhookDelivery).values(lease_expires_at=seconds_from_now(-1)))
        assert send_due(engine) == [True]
        from core.webhooks.connection import Failed

        raise Failed("timeout", "too late")

    deliver(engine.sessions, Settings(), stale, slow)
    delivery = only(engine)
    assert (delivery.status, delivery.attempts, len(delivery.tries)) == ("delivered", 2, 1)


def running(engine: Engine, **settings: Any) -> tuple[Sender, threading.Thread]:
    sender = Sender(engine.sessions, Settings(**settings))
    thread = threading.Thread(target=sender.run, daemon=True)
    thread.start()
    return sender, thread


def stopped(sender: Sender, thread: threading.Thread) -> None:
    sender.stop()
    thread.join()
    assert sender.wait(30)


def test_slow_receivers_hold_up_nobody_else(engine: Engine, there: Receiver) -> None:
    release = threading.Event()
    with receiver() as slow:
        slow.answer = lambda _: (200, {}) if release.wait(60) else (500, {})
        hook(engine, slow.url)
        hook(engine, there.url)
        for _ in range(10):
            end(engine)
        sender, thread = running(engine, webhook_threads=2)
        try:
            eventually(lambda: len(there.got) == 10)
            assert len(slow.got) == 1  # one at a time, and it still waits
            release.set()
            eventually(lambda: all(d.status == "delivered" for d in deliveries(engine)))
        finally:
            release.set()
            stopped(sender, thread)
    assert len(slow.got) == 10


def test_receivers_that_fail_get_half_of_the_threads_at_most(
    engine: Engine, there: Receiver
) -> None:
    release = threading.Event()
    with receiver() as bad:
        bad.answer = lambda _: (500 + release.wait(60), {})
        for _ in range(6):
            hook(engine, bad.url)
        with engine.sessions.begin() as session:
            session.execute(update(Webhook).values(failing_since=seconds_from_now(-60)))
        end(engine)
        sender, thread = running(engine, webhook_threads=4)
        try:
            eventually(lambda: len(bad.got) == 2)
            hook(engine, there.url, kinds=["sleep"])
            hook(engine, there.url, kinds=["sleep"])
            end(engine, kind="sleep")
            eventually(lambda: len(there.got) == 2)
            assert len(bad.got) == 2
        finally:
            release.set()
            stopped(sender, thread)


def test_a_sender_killed_while_it_sends_loses_nothing(
    engine: Engine, there: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once: the message comes a second time, under the same id."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where a sender says that it is alive
    hang = threading.Event()
    there.answer = lambda _: (200, {}) if hang.wait(60) else (500, {})
    hook(engine, there.url)
    end(engine)
    first = alone()
    try:
        eventually(lambda: there.got)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    there.answer = lambda _: (200, {})
    hang.set()
    assert only(engine).status == "pending"
    with engine.sessions.begin() as session:
        session.execute(update(WebhookDelivery).values(lease_expires_at=seconds_from_now(-1)))
    second = alone()
    try:
        eventually(lambda: only(engine).status == "delivered")
        assert checked() == 0
    finally:
        second.send_signal(signal.SIGTERM)
        assert second.wait(30) == 0
    assert [got.id for got in there.got] == [only(engine).id] * 2
    assert checked() == 1


def alone() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "worker.webhooks"])


def checked() -> int:
    ended = subprocess.run([sys.executable, "-m", "worker.webhooks", "--check"], check=False)
    return ended.returncode
