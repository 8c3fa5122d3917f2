"""Web hooks from the client and the command line, against the service in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import cli
from api.client import Client
from api.commands import session, webhooks
from api.commands.exits import Exit
from api.schemas.webhooks import NewWebhook, WebhookChange
from core.services.webhook_outbox import JOB_EVENTS
from tests.unit.client.scripted import KEY

HOOK = {
    "id": "whk_1", "name": "ward", "url": "https://r.example/", "events": ["job.failed"],
    "kinds": [], "enabled": True, "disabled_reason": None, "failing_since": None, "pending": 2,
    "created_at": "2026-11-01T10:00:00Z",
}  # fmt: skip
TRY = {"at": "2026-11-01T10:00:00Z", "seconds": 1.0, "status_code": 500, "error": "not_taken",
       "detail": "\x1b[2J"}  # fmt: skip
DELIVERY = {
    "id": "whd_1", "webhook_id": "whk_1", "event": "job.failed", "job_id": "job_1",
    "status": "pending", "attempts": 1, "tries": [TRY], "payload": {},
}  # fmt: skip


class Service:
    """Keeps the requests and answers each by its path."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.hook: dict[str, Any] = dict(HOOK)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, request.url.raw_path.decode(), body))
        last = request.url.path.rpartition("/")[2]
        if request.method == "DELETE":
            return httpx.Response(204)
        if last in ("test", "redeliver"):
            return httpx.Response(202, json=DELIVERY)
        if last == "deliveries":
            return httpx.Response(200, json={"items": [DELIVERY], "next_cursor": None})
        if last == "rotate" or (last, request.method) == ("webhooks", "POST"):
            return httpx.Response(201, json=self.hook | {"secret": "whsec_x"})
        if last == "webhooks":
            return httpx.Response(200, json={"items": [self.hook], "next_cursor": None})
        return httpx.Response(200, json=self.hook)

    def connect(self, url: str, key: str | None, **options: Any) -> Client:
        return Client(url, key, transport=httpx.MockTransport(self), **options)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Service:
    monkeypatch.setenv("DERMSYNTH_URL", "http://service.test")
    monkeypatch.setenv("DERMSYNTH_API_KEY", KEY)
    monkeypatch.setattr(session, "PROJECT", tmp_path)
    return Service()


def run(service: Service, *argv: str) -> int:
    return cli.main(("webhooks", *argv), connect=service.connect)


def test_the_events_of_the_command_line_are_those_of_the_service() -> None:
    assert sorted(webhooks.EVENTS) == sorted(JOB_EVENTS)
    assert NewWebhook(url="https://x/").events == list(JOB_EVENTS)


def test_create_prints_the_secret_alone_on_stdout(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--event", "job.failed", "--kind", "pipeline", "--name", "ward")
    assert run(service, "create", "https://r.example/", *options) == Exit.OK
    assert capsys.readouterr().out == "whsec_x\n"
    method, path, body = service.asked[0]
    assert (method, path) == ("POST", "/v1/webhooks")
    assert NewWebhook.model_validate(body).model_dump() == {
        "url": "https://r.example/", "name": "ward", "events": ["job.failed"],
        "kinds": ["pipeline"],
    }  # fmt: skip


def test_the_server_chooses_what_is_not_given(service: Service) -> None:
    run(service, "create", "https://r.example/")
    assert service.asked[0][2] == {"url": "https://r.example/"}


@pytest.mark.parametrize(
    ("argv", "body"),
    [
        (("--enable",), {"enabled": True}),
        (("--disable",), {"enabled": False}),
        (("--to", "https://n.example/"), {"url": "https://n.example/"}),
        (("--event", "job.failed", "--name", ""), {"events": ["job.failed"], "name": ""}),
    ],
)
def test_change_sends_what_is_given(service: Service, argv: tuple[str, ...], body: Any) -> None:
    assert run(service, "change", "whk_1", *argv) == Exit.OK
    assert service.asked == [("PATCH", "/v1/webhooks/whk_1", body)]
    WebhookChange.model_validate(body)


def test_a_list_tells_what_is_wrong(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    service.hook["failing_since"] = "2026-11-20T10:00:00Z"
    assert run(service, "list") == Exit.OK
    assert "failing since 2026-11-20 10:00" in capsys.readouterr().out
    service.hook |= {"enabled": False, "disabled_reason": "the receiver answered 410 Gone"}
    assert run(service, "show", "whk_1") == Exit.OK
    assert "off: the receiver answered 410 Gone" in capsys.readouterr().out


def test_deliveries_show_the_last_attempt_safely(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(service, "deliveries", "whk_1", "--status", "pending") == Exit.OK
    out = capsys.readouterr().out
    assert "500 not_taken" in out
    assert "\x1b" not in out
    assert "status=pending" in service.asked[0][1]


@pytest.mark.parametrize(
    ("argv", "request_line"),
    [
        (("rotate", "whk_1"), ("POST", "/v1/webhooks/whk_1/rotate")),
        (("delete", "whk_1"), ("DELETE", "/v1/webhooks/whk_1")),
        (("test", "whk_1"), ("POST", "/v1/webhooks/whk_1/test")),
        (
            ("redeliver", "whk_1", "whd_1"),
            ("POST", "/v1/webhooks/whk_1/deliveries/whd_1/redeliver"),
        ),
    ],
)
def test_the_other_commands(
    service: Service,
    argv: tuple[str, ...],
    request_line: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(service, *argv, "--json") == Exit.OK
    assert service.asked[0][:2] == request_line
    assert json.loads(capsys.readouterr().out)
