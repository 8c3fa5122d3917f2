"""The outbox: what is told of a job, in the transaction that ends it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from standardwebhooks.webhooks import Webhook as Verifier

from core.db.repositories import webhooks as rows
from core.services import keys
from core.services import webhooks as service
from core.services.principal import SCOPES, Principal
from core.services.webhooks import Wanted
from tests.integration.engine import Engine
from tests.integration.harness import eventually
from tests.integration.webhooks.world import (
    EVENTS,
    deliveries,
    end,
    hook,
    only,
    send_due,
)
from tests.receiver import Receiver


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
