"""One shape of refusal, everywhere; every route guarded; hostile input is never a 500."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from core.db.session import engine
from tests.api.walk import UNKNOWN
from tests.api.world import World


def check_problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(problem)
    assert problem["status"] == status
    assert re.fullmatch(r"[a-z0-9_]+", problem["code"])
    assert problem["request_id"] == answer.headers["x-request-id"]
    if code is not None:
        assert problem["code"] == code
    return problem


def test_what_is_not_there_is_404(api: httpx.Client) -> None:
    check_problem(api.get("/nowhere"), 404, "not_found")
    check_problem(api.get("/v1/jobs/nonsense"), 404, "job_not_found")
    check_problem(api.get(f"/v1/jobs/{UNKNOWN['job']}"), 404, "job_not_found")


def test_a_wrong_method_names_the_right_ones(api: httpx.Client) -> None:
    answer = api.put(f"/v1/uploads/{UNKNOWN['upl']}")
    check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "HEAD, PATCH"


def test_a_body_over_the_limit_is_413(api: httpx.Client) -> None:
    huge = {"seconds": 1, "label": "x" * 300_000}
    check_problem(api.post("/v1/jobs/sleep", json=huge), 413, "payload_too_large")

    def chunks() -> Iterator[bytes]:
        for _ in range(10):
            yield b" " * 50_000

    answer = api.post(
        "/v1/jobs/sleep", content=chunks(), headers={"Content-Type": "application/json"}
    )
    check_problem(answer, 413, "payload_too_large")


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b'{"seconds": NaN}',
        b'{"seconds": 1e999}',
        b'{"seconds": Infinity}',
        b'{"seconds": ' + b"9" * 5000 + b"}",
        b'{"seconds": "\\u0000"}',
        b'{"\\u0000": 1}',
        b'{"x": "\\ud800"}',
        b'{"x": "\xff"}',
        b"[" * 5000,
        b"[" * 100 + b"]" * 100,
        b"null",
        b"[]",
        b'"text"',
    ],
)
def test_hostile_json_is_422(api: httpx.Client, raw: bytes) -> None:
    answer = api.post("/v1/jobs/sleep", content=raw, headers={"Content-Type": "application/json"})
    check_problem(answer, 422)


def test_json_under_another_name_is_415(api: httpx.Client) -> None:
    answer = api.post("/v1/jobs/sleep", content=b"{}", headers={"Content-Type": "text/plain"})
    check_problem(answer, 415, "unsupported_media_type")


def test_an_upload_to_a_json_route_is_refused_unread(world: World) -> None:
    """Uploads may be long: a route that holds its body in memory must not wait for one."""
    place = urlsplit(world.url)
    head = (
        f"POST /v1/jobs/sleep HTTP/1.1\r\nHost: {place.netloc}\r\n"
        f"Authorization: Bearer {world.key()}\r\nContent-Length: 3000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    with socket.create_connection((str(place.hostname), int(place.port or 0)), 10) as connection:
        connection.sendall(head.encode())
        assert b" 415 " in connection.recv(4000).split(b"\r\n")[0]


def test_a_long_body_is_checked_like_a_short_one(api: httpx.Client) -> None:
    raw = b'{"x": "' + b"a" * 100_000 + b'", "y": NaN}'
    answer = api.post("/v1/jobs/sleep", content=raw, headers={"Content-Type": "application/json"})
    check_problem(answer, 422, "invalid_json")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs?label=%00",
        "/v1/jobs?label=%ff",
        "/v1/jobs/%00",
        "/v1/jobs?limit=0",
        "/v1/jobs?limit=201",
        "/v1/jobs?limit=" + "9" * 5000,
        "/v1/jobs?cursor=x",
        "/v1/jobs?cursor=%F0%9F%92%A9",
        "/v1/jobs?cursor=MQ",
        "/v1/jobs?status=nonsense",
        "/v1/jobs?created_after=yesterday",
        "/v1/jobs?created_after=2026-01-01T00:00:00",
    ],
)
def test_hostile_queries_are_422(api: httpx.Client, path: str) -> None:
    check_problem(api.get(path), 422)


@pytest.mark.parametrize("path", ["/v1/jobs/nothing", "/v1/jobs/" + "x" * 5000])
def test_hostile_kinds_are_404(api: httpx.Client, path: str) -> None:
    check_problem(api.post(path, json={}), 404)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.1@evil"])
def test_only_known_hosts_are_answered(api: httpx.Client, host: str) -> None:
    check_problem(api.get("/healthz", headers={"Host": host}), 400, "unknown_host")


def test_a_request_without_host_is_refused(world: World) -> None:
    place = urlsplit(world.url)
    with socket.create_connection((str(place.hostname), int(place.port or 0))) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b" 400 " in connection.recv(4000).split(b"\r\n")[0]


def test_security_headers_are_on_every_answer(api: httpx.Client) -> None:
    for path in ("/", "/docs", "/v1/jobs", "/nowhere", "/static/page.js"):
        headers = api.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-request-id"]


def test_the_callers_request_id_is_kept_when_harmless(api: httpx.Client) -> None:
    given = {"X-Request-ID": "ward-3.17"}
    assert api.get("/healthz", headers=given).headers["x-request-id"] == "ward-3.17"
    given = {"X-Request-ID": "<script>"}
    assert api.get("/healthz", headers=given).headers["x-request-id"].startswith("req_")


def test_a_fault_of_ours_tells_nothing(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("api.routes.catalog.catalog", broken)
    answer = api.get("/v1/catalog")
    problem = check_problem(answer, 500, "internal_error")
    assert "secret" not in json.dumps(problem)


def test_a_database_that_is_away_is_503(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.orm import sessionmaker

    from core.db.session import make_engine

    away = make_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    monkeypatch.setattr("api.deps.reads", lambda: sessionmaker(away))
    answer = api.get("/v1/jobs")
    check_problem(answer, 503, "database_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert engine() is not away


def test_the_rate_limit_says_when_to_come_back() -> None:
    from api.rate_limit import RateLimit
    from core.errors import TooManyRequests

    now = [0.0]
    limit = RateLimit(60, clock=lambda: now[0])
    for _ in range(10):
        limit.take("a")
    with pytest.raises(TooManyRequests) as caught:
        limit.take("a")
    assert caught.value.retry_after == 1
    limit.take("b")
    now[0] = 1.0
    limit.take("a")
