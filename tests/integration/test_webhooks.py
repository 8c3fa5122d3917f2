"""Web hooks on a real database, with real receivers and real senders."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from standardwebhooks.webhooks import Webhook as Verifier

from core.config import Settings, get_settings
from core.db.models import Webhook, WebhookDelivery
from core.db.repositories import webhooks as rows
from core.db.repositories.jobs import seconds_from_now
from core.services import keys, webhook_outbox
from core.services import webhooks as service
from core.services.principal import SCOPES, Principal
from core.services.webhook_sending import backoff, claim_due, deliver
from core.services.webhooks import Wanted
from tests.integration.conftest import fresh_database
from tests.integration.engine import Engine
from tests.integration.engine import engine as made_engine
from tests.integration.harness import eventually
from tests.receiver import Receiver, receiver
from worker.webhooks import Sender

EVENTS = list(webhook_outbox.JOB_EVENTS)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with fresh_database() as url:
        yield url


@pytest.fixture
def engine(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    values = {
        "DATABASE_URL": database,
        "DERMSYNTH_DATA_DIR": str(tmp_path),
        "DERMSYNTH_WEBHOOK_NETWORKS": "127.0.0.0/8",
        "DERMSYNTH_WEBHOOK_HTTP": "1",
        "DERMSYNTH_WEBHOOK_POLL_SECONDS": "0.05",
        "DERMSYNTH_DIAGNOSTICS": "1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    with made_engine(database, tmp_path) as made:
        yield made
        with made.sessions.begin() as session:
            session.execute(text("TRUNCATE webhooks, jobs CASCADE"))
            session.execute(text("UPDATE tenants SET jobs_active = 0"))
    get_settings.cache_clear()


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def hook(engine: Engine, url: str, **wanted: Any) -> tuple[str, str]:
    """Create a web hook; returns its id and secret."""
    with engine.sessions.begin() as session:
        options = {"events": EVENTS} | wanted
        row, secret = service.create(session, engine.principal, Wanted(url=url, **options))
        return row.id, secret


def row_of(engine: Engine, webhook_id: str) -> Webhook:
    with engine.sessions() as session:
        return session.get_one(Webhook, webhook_id)


def deliveries(engine: Engine) -> list[WebhookDelivery]:
    with engine.sessions() as session:
        return list(session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id)))


def only(engine: Engine) -> WebhookDelivery:
    (found,) = deliveries(engine)
    return found


def end(engine: Engine, how: str = "succeeded", kind: str = "noop") -> str:
    """Run a job to its end."""
    job_id = engine.submit(kind, **({"seconds": 0.0} if kind == "sleep" else {}))
    if how == "canceled":
        engine.cancel(job_id)
        return job_id
    lease = engine.claim(job_id)
    assert lease is not None
    assert engine.commit(lease) if how == "succeeded" else engine.give_up(lease, "fail")
    return job_id


def send_due(engine: Engine, **settings: Any) -> list[bool]:
    """Make every attempt that is due, one after the other."""
    chosen = Settings(**settings)
    claims = [
        held
        for failing in (False, True)
        for held in claim_due(engine.sessions, chosen, failing=failing, most=100)
    ]
    return [deliver(engine.sessions, chosen, held) for held in claims]


def make_due(engine: Engine) -> None:
    with engine.sessions.begin() as session:
        session.execute(update(WebhookDelivery).values(available_at=seconds_from_now(-1)))


# The outbox


@pytest.mark.parametrize("how", ["succeeded", "failed", "canceled"])
def test_the_end_of_a_job_is_told_signed_and_without_details(
    engine: Engine, there: Receiver, how: str
) -> None:
    _, secret = hook(engine, there.url)
    job_id = end(engine, how)
    assert send_due(engine) == [True]
    (got,) = there.got
    told = Verifier(secret).verify(got.body, got.headers)
    assert told["type"] == f"job.{how}"
    data = told["data"]
    assert (data["job_id"], data["kind"], data["status"]) == (job_id, "noop", how)
    assert data["url"] == f"/v1/jobs/{job_id}"
    codes = {"succeeded": None, "failed": "worker_lost", "canceled": "canceled"}
    assert (data["error"] or {}).get("code") == codes[how]
    assert "detail" not in (data["error"] or {})
    delivery = only(engine)
    assert (delivery.id, delivery.status, delivery.attempts) == (got.id, "delivered", 1)
    assert delivery.tries[0]["status_code"] == 204


def test_only_those_who_want_to_know_are_told(engine: Engine, there: Receiver) -> None:
    with engine.sessions.begin() as session:
        stranger = Principal(keys.ensure_tenant(session, "else").id, "k", frozenset(SCOPES))
        service.create(session, stranger, Wanted(url=there.url, events=EVENTS))
    hook(engine, there.url, events=["job.failed"])
    hook(engine, there.url, kinds=["sleep"])
    off, _ = hook(engine, there.url)
    with engine.sessions.begin() as session:
        locked = rows.locked(session, engine.principal, off)
        service.change(session, engine.principal, locked, Wanted(enabled=False))
    end(engine)
    assert deliveries(engine) == []
    end(engine, "failed")
    end(engine, kind="sleep")
    assert [d.event for d in deliveries(engine)] == ["job.failed", "job.succeeded"]


def test_children_are_not_told_of_and_their_parent_is_once(engine: Engine, there: Receiver) -> None:
    hook(engine, there.url)
    parent = engine.submit()
    lease = engine.claim(parent)
    assert lease is not None
    engine.commit(lease, children=2)
    for child in engine.children(parent):
        held = engine.claim(child)
        assert held is not None
        engine.commit(held)
    merge = engine.claim(parent)
    assert merge is not None
    engine.commit(merge)
    assert [d.job_id for d in deliveries(engine)] == [parent]


def test_what_is_rolled_back_is_not_told(engine: Engine, there: Receiver) -> None:
    from core.services import lifecycle

    hook(engine, there.url)
    job_id = engine.submit()
    with pytest.raises(ZeroDivisionError), engine.sessions.begin() as session:
        lifecycle.cancel(session, job_id)
        session.flush()
        raise ZeroDivisionError
    assert deliveries(engine) == []


def test_a_web_hook_deleted_meanwhile_does_not_stop_a_job_from_ending(
    engine: Engine, there: Receiver
) -> None:
    webhook_id, _ = hook(engine, there.url)
    job_id = engine.submit()
    with ThreadPoolExecutor(1) as pool:
        with engine.sessions.begin() as session:
            rows.remove(session, rows.locked(session, engine.principal, webhook_id))
            ending = pool.submit(engine.cancel, job_id)
            eventually(lambda: _waiting(engine))
        ending.result()
    assert engine.job(job_id).status == "canceled"
    assert deliveries(engine) == []


def _waiting(engine: Engine) -> bool:
    with engine.sessions() as session:
        query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        return bool(session.execute(text(query)).scalar())


# Attempts


def test_a_failure_is_tried_again_with_the_same_id_later_and_later(
    engine: Engine, there: Receiver
) -> None:
    webhook_id, secret = hook(engine, there.url)
    there.answer = lambda _: (503, {})
    end(engine)
    waits = []
    for attempt in range(1, 5):
        assert send_due(engine) == [False]
        delivery = only(engine)
        assert (delivery.status, delivery.attempts) == ("pending", attempt)
        waits.append((delivery.available_at - delivery.created_at).total_seconds())
        assert send_due(engine) == []  # it is not due
        make_due(engine)
    assert waits == sorted(waits)
    assert waits[0] > 3
    assert waits[3] > 200
    assert row_of(engine, webhook_id).failing_since is not None
    there.answer = lambda _: (200, {})
    assert send_due(engine) == [True]
    assert row_of(engine, webhook_id).failing_since is None
    assert len({got.id for got in there.got}) == 1
    assert [t["status_code"] for t in only(engine).tries] == [503] * 4 + [200]
    for got in there.got:
        Verifier(secret).verify(got.body, got.headers)


def test_backoff_is_bounded_scattered_and_fills_about_a_day() -> None:
    settings = Settings()
    low = [backoff(n, settings, lambda: 0.0) for n in range(1, 60)]
    high = [backoff(n, settings, lambda: 1.0) for n in range(1, 60)]
    assert max(high) <= 1.25 * settings.webhook_backoff_max_seconds
    assert all(a < b for a, b in zip(low, high, strict=True))
    middle = [backoff(n, settings, lambda: 0.5) for n in range(1, 60)]
    day = settings.webhook_give_up_hours * 3600
    within = next(n for n in range(60) if sum(middle[:n]) > day)
    assert 8 <= within <= 14
    assert backoff(0, settings, lambda: 0.5) == backoff(1, settings, lambda: 0.5)


def test_a_receiver_may_ask_for_more_time(engine: Engine, there: Receiver) -> None:
    hook(engine, there.url)
    there.answer = lambda _: (429, {"Retry-After": "3000"})
    end(engine)
    send_due(engine)
    delivery = only(engine)
    assert (delivery.available_at - delivery.created_at).total_seconds() > 2999


def test_after_a_day_a_delivery_has_failed_and_can_be_sent_again(
    engine: Engine, there: Receiver
) -> None:
    webhook_id, _ = hook(engine, there.url)
    there.answer = lambda _: (500, {})
    end(engine)
    with engine.sessions.begin() as session:
        session.execute(update(WebhookDelivery).values(retry_until=seconds_from_now(1)))
    send_due(engine)
    assert only(engine).status == "failed"
    make_due(engine)
    assert send_due(engine) == []
    there.answer = lambda _: (200, {})
    with engine.sessions.begin() as session:
        webhook = rows.locked(session, engine.principal, webhook_id)
        found = rows.delivery_of(session, webhook, only(engine).id)
        service.redeliver(session, webhook, found)
    assert send_due(engine) == [True]
    assert (only(engine).status, only(engine).attempts) == ("delivered", 1)
    assert len({got.id for got in there.got}) == 1


def test_410_switches_a_web_hook_off_with_all_that_waits(engine: Engine, there: Receiver) -> None:
    webhook_id, _ = hook(engine, there.url)
    there.answer = lambda _: (410, {})
    end(engine)
    end(engine)
    send_due(engine)
    row = row_of(engine, webhook_id)
    assert row.disabled_at is not None
    assert "410" in str(row.disabled_reason)
    assert [d.status for d in deliveries(engine)] == ["failed", "failed"]
    end(engine)
    assert len(deliveries(engine)) == 2
    with engine.sessions.begin() as session:
        locked = rows.locked(session, engine.principal, webhook_id)
        service.change(session, engine.principal, locked, Wanted(enabled=True))
    there.answer = lambda _: (200, {})
    end(engine)
    assert send_due(engine) == [True]


def test_days_of_failure_switch_a_web_hook_off(engine: Engine, there: Receiver) -> None:
    webhook_id, _ = hook(engine, there.url)
    there.answer = lambda _: (302, {"Location": there.url})
    end(engine)
    send_due(engine)
    assert row_of(engine, webhook_id).disabled_at is None
    with engine.sessions.begin() as session:
        session.execute(update(Webhook).values(failing_since=seconds_from_now(-6 * 86400)))
    make_due(engine)
    send_due(engine)
    assert "failed since" in str(row_of(engine, webhook_id).disabled_reason)
    assert only(engine).tries[-1]["detail"] == "Redirects are not followed"


def test_an_address_inside_is_refused_at_delivery_too(engine: Engine, there: Receiver) -> None:
    hook(engine, there.url)
    end(engine)
    assert send_due(engine, webhook_networks="") == [False]
    assert only(engine).tries[0]["error"] == "address_refused"
    assert there.got == []


def test_a_replaced_secret_signs_for_some_hours_more(engine: Engine, there: Receiver) -> None:
    webhook_id, old = hook(engine, there.url)
    with engine.sessions.begin() as session:
        locked = rows.locked(session, engine.principal, webhook_id)
        new = service.rotate(session, engine.principal, locked)
    end(engine)
    send_due(engine)
    for secret in (old, new):
        Verifier(secret).verify(there.got[0].body, there.got[0].headers)
    with engine.sessions.begin() as session:
        session.execute(update(Webhook).values(previous_until=seconds_from_now(-1)))
    end(engine)
    send_due(engine)
    Verifier(new).verify(there.got[1].body, there.got[1].headers)
    assert " " not in there.got[1].headers["webhook-signature"]


def test_secrets_do_not_lie_readable_in_the_database(engine: Engine, there: Receiver) -> None:
    webhook_id, secret = hook(engine, there.url)
    assert secret.removeprefix("whsec_") not in row_of(engine, webhook_id).secret
    end(engine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERMSYNTH_KEY_PEPPER", "another one")
        get_settings.cache_clear()
        assert send_due(engine) == [False]
    get_settings.cache_clear()
    assert only(engine).tries[0]["error"] == "secret_unreadable"
    assert there.got == []


def test_old_deliveries_are_forgotten_and_waiting_ones_are_not(
    engine: Engine, there: Receiver
) -> None:
    hook(engine, there.url)
    end(engine)
    send_due(engine)
    end(engine)
    with engine.sessions.begin() as session:
        session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.status == "delivered")
            .values(finished_at=seconds_from_now(-3600))
        )
        rows.forget_older(session, 7200)
        assert session.scalar(select(func.count()).select_from(WebhookDelivery)) == 2
        rows.forget_older(session, 1800)
    assert only(engine).status == "pending"


# Senders


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
