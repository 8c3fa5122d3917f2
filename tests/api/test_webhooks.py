"""``/v1/webhooks``: what is shown, what is refused, and that secrets are shown once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import update

from core.db.models import IdempotencyKey, Webhook, WebhookDelivery
from core.errors import OutOfMemory
from tests.api.world import World

URL = "https://receiver.example/hook"


def created(api: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/webhooks", json={"url": URL, **body})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_secret_is_shown_once(world: World, api: httpx.Client) -> None:
    answer = api.post("/v1/webhooks", json={"url": URL, "name": "ward 3"})
    made = answer.json()
    assert made["secret"].startswith("whsec_")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["location"] == f"/v1/webhooks/{made['id']}"
    assert made["events"] == ["job.succeeded", "job.failed", "job.canceled"]
    assert (made["kinds"], made["enabled"], made["pending"]) == ([], True, 0)
    shown = api.get(answer.headers["location"]).json()
    assert shown == {key: value for key, value in made.items() if key != "secret"}
    assert api.get("/v1/webhooks").json()["items"] == [shown]


def test_a_repeated_request_repeats_the_secret_which_is_kept_sealed(
    world: World, api: httpx.Client
) -> None:
    here, body = "/v1/webhooks", {"url": URL}
    for _ in range(2):
        key = {"Idempotency-Key": here}
        answers = [api.post(here, json=body or None, headers=key) for _ in range(2)]
        made, again = (answer.json() for answer in answers)
        assert made == again
        assert answers[0].status_code == answers[1].status_code
        with world.sessions() as session:
            kept = str([row.body for row in session.query(IdempotencyKey)])
        assert made["secret"].removeprefix("whsec_") not in kept
        here, body = f"/v1/webhooks/{made['id']}/rotate", {}
    assert len(api.get("/v1/webhooks").json()["items"]) == 1


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"url": "http://receiver.example/"}, "webhook_scheme_refused", "/url"),
        ({"url": "https://10.0.0.1/"}, "webhook_address_refused", "/url"),
        ({"url": "https://[::1]/"}, "webhook_address_refused", "/url"),
        ({"url": "https://169.254.169.254/"}, "webhook_address_refused", "/url"),
        ({"url": "https://2130706433/"}, "webhook_invalid_url", "/url"),
        ({"url": "hello"}, "webhook_scheme_refused", "/url"),
        ({"url": ""}, "invalid_input", "/url"),
        ({}, "invalid_input", "/url"),
        ({"url": URL, "events": []}, "invalid_input", "/events"),
        ({"url": URL, "events": ["job.started"]}, "invalid_input", "/events/0"),
        ({"url": URL, "kinds": ["pipelin"]}, "unknown_job_kind", "/kinds/0"),
        ({"url": URL, "secret": "x"}, "invalid_input", "/secret"),
    ],
)
def test_what_is_refused(api: httpx.Client, body: dict[str, Any], code: str, pointer: str) -> None:
    answer = api.post("/v1/webhooks", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert api.get("/v1/webhooks").json()["items"] == []


def test_there_is_a_limit(api: httpx.Client) -> None:
    for _ in range(20):
        created(api)
    answer = api.post("/v1/webhooks", json={"url": URL})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_webhooks")
    first = api.get("/v1/webhooks?limit=1").json()
    assert api.get(f"/v1/webhooks?limit=200&cursor={first['next_cursor']}").json()["items"][18]
    assert api.delete(f"/v1/webhooks/{first['items'][0]['id']}").status_code == 204
    created(api)


def test_changing(api: httpx.Client) -> None:
    here = f"/v1/webhooks/{created(api)['id']}"
    body = {"name": "new", "events": ["job.failed"], "kinds": ["pipeline", "pipeline"]}
    shown = api.patch(here, json=body).json()
    assert (shown["name"], shown["events"], shown["kinds"]) == ("new", ["job.failed"], ["pipeline"])
    assert shown["url"] == URL
    off = api.patch(here, json={"enabled": False}).json()
    assert (off["enabled"], off["disabled_reason"]) == (False, "switched off by its owner")
    assert api.patch(here, json={"enabled": False}).json() == off
    answer = api.post(f"{here}/test")
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_disabled")
    assert api.patch(here, json={"enabled": True}).json()["disabled_at"] is None
    refused = api.patch(here, json={"url": "https://127.0.0.1/"})
    assert refused.json()["code"] == "webhook_address_refused"


def test_deliveries_of_jobs_and_pings(world: World, api: httpx.Client) -> None:
    here = f"/v1/webhooks/{created(api)['id']}"
    done = api.post("/v1/jobs/noop", json={}).json()["id"]
    world.finish(done)
    broken = api.post("/v1/jobs/noop", json={}).json()["id"]
    world.fail(broken, OutOfMemory("The job ran out of memory: mrs_smith.jpg"))
    answer = api.post(f"{here}/test")
    assert answer.status_code == 202
    pinged = answer.json()
    assert api.get(answer.headers["location"]).json() == pinged
    items = api.get(f"{here}/deliveries").json()["items"]
    assert [(d["event"], d["job_id"], d["status"]) for d in items] == [
        ("ping", None, "pending"),
        ("job.failed", broken, "pending"),
        ("job.succeeded", done, "pending"),
    ]
    assert items[1]["payload"]["data"]["error"] == {
        "code": "out_of_memory",
        "title": "Out of memory",
    }
    assert "mrs_smith" not in str(items)
    assert api.get(here).json()["pending"] == 3
    pages = api.get(f"{here}/deliveries?limit=2").json()
    rest = api.get(f"{here}/deliveries?limit=2&cursor={pages['next_cursor']}").json()
    assert pages["items"] + rest["items"] == items
    assert api.get(f"{here}/deliveries?status=delivered").json()["items"] == []


def test_redelivering(world: World, api: httpx.Client) -> None:
    here = f"/v1/webhooks/{created(api)['id']}"
    delivery = api.post(f"{here}/test").json()
    with world.sessions.begin() as session:
        session.execute(
            update(WebhookDelivery).values(
                status="failed", finished_at=WebhookDelivery.created_at, attempts=9
            )
        )
    again = api.post(f"{here}/deliveries/{delivery['id']}/redeliver")
    assert again.status_code == 202
    assert (again.json()["status"], again.json()["attempts"]) == ("pending", 0)
    assert again.json()["finished_at"] is None
    other = created(api)["id"]
    answer = api.post(f"/v1/webhooks/{other}/deliveries/{delivery['id']}/redeliver")
    assert (answer.status_code, answer.json()["code"]) == (404, "webhook_delivery_not_found")


def test_another_tenants_web_hook_is_not_there(
    world: World, api: httpx.Client, stranger: httpx.Client
) -> None:
    webhook_id = created(api)["id"]
    delivery = api.post(f"/v1/webhooks/{webhook_id}/test").json()["id"]
    here = f"/v1/webhooks/{webhook_id}"
    for method, path, body in (
        ("GET", here, None),
        ("PATCH", here, {"enabled": False}),
        ("DELETE", here, None),
        ("POST", f"{here}/rotate", None),
        ("POST", f"{here}/test", None),
        ("GET", f"{here}/deliveries", None),
        ("GET", f"{here}/deliveries/{delivery}", None),
        ("POST", f"{here}/deliveries/{delivery}/redeliver", None),
    ):
        answer = stranger.request(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "webhook_not_found"), path
    assert stranger.get("/v1/webhooks").json()["items"] == []
    assert api.get(here).json()["enabled"] is True


def test_who_has_jobs_told_must_be_allowed_to_read_them(world: World) -> None:
    writer = world.client(world.key(scopes=["jobs:write"]))
    assert writer.post("/v1/webhooks", json={"url": URL}).json()["code"] == "missing_scope"
    reader = world.client(world.key(scopes=["jobs:read"]))
    assert reader.get("/v1/webhooks").status_code == 200
    assert reader.post("/v1/webhooks", json={"url": URL}).json()["code"] == "missing_scope"


def test_deleting_takes_the_deliveries_along(world: World, api: httpx.Client) -> None:
    here = f"/v1/webhooks/{created(api)['id']}"
    api.post(f"{here}/test")
    assert api.delete(here).status_code == 204
    assert api.get(here).status_code == 404
    with world.sessions() as session:
        assert session.query(WebhookDelivery).count() == session.query(Webhook).count() == 0


def test_what_is_done_to_a_web_hook_is_audited(api: httpx.Client) -> None:
    url = "https://receiver.example/secret-path"
    made = api.post("/v1/webhooks", json={"url": url, "kinds": ["pipeline"]}).json()["id"]
    here = f"/v1/webhooks/{made}"
    api.patch(here, json={"enabled": False, "events": ["job.failed"]})
    assert api.post(f"{here}/rotate").status_code == 200
    assert api.delete(here).status_code == 204
    entries = api.get("/v1/audit", params={"target_id": made}).json()["items"]
    assert [e["action"] for e in entries] == [
        *("webhook.delete", "webhook.rotate", "webhook.change", "webhook.create"),
    ]
    assert entries[3]["details"] == {
        "host": "receiver.example",
        "events": ["job.succeeded", "job.failed", "job.canceled"],
        "kinds": ["pipeline"],
        "enabled": True,
    }
    assert (entries[2]["details"]["enabled"], entries[2]["details"]["events"]) == (
        False,
        ["job.failed"],
    )
    assert "secret" not in str(entries)
    assert {e["actor"]["kind"] for e in entries} == {"key"}
