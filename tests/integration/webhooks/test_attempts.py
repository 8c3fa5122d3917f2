"""Attempts: repeated, put off, given up; signed, to addresses that are allowed."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select, update
from standardwebhooks.webhooks import Webhook as Verifier

from core.config import Settings, get_settings
from core.db.models import Webhook, WebhookDelivery
from core.db.repositories import webhooks as rows
from core.db.repositories.jobs import seconds_from_now
from core.services import webhooks as service
from core.services.webhook_sending import backoff
from core.services.webhooks import Wanted
from tests.integration.engine import Engine
from tests.integration.webhooks.world import (
    deliveries,
    end,
    hook,
    make_due,
    only,
    row_of,
    send_due,
)
from tests.receiver import Receiver


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
        service.redeliver(session, engine.principal, webhook, found)
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
