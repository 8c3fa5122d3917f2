"""What one caller can take up: sizes, waiting, requests, jobs."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
from sqlalchemy import text

from api.rate_limit import RateLimit
from core.config import Settings
from tests.api.world import World

DEADLINE = 15.0
"""No test waits longer; the settings under test are of one second."""


@contextmanager
def connected(world: World) -> Iterator[socket.socket]:
    address = urlsplit(world.url)
    with socket.create_connection((address.hostname, address.port), timeout=DEADLINE) as made:
        yield made


def to_the_end(connection: socket.socket) -> bytes:
    """Read until the server closes; a server that never does ends in TimeoutError."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def problem(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["code"]


def test_a_head_without_end_is_cut_off(world: World) -> None:
    most = Settings().max_header_bytes
    with connected(world) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Filler: ")
        connection.sendall(b"a" * (most + 1))
        assert problem(to_the_end(connection)) == (431, "head_too_large")


def test_many_headers_are_too_much_as_well(world: World) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (n, b"a" * 100) for n in range(1000))
    with connected(world) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n")
        assert problem(to_the_end(connection)) == (431, "head_too_large")


def test_a_head_below_the_limit_is_read(world: World) -> None:
    filler = "a" * (Settings().max_header_bytes - 1000)
    assert world.client().get("/healthz", headers={"X-Filler": filler}).status_code == 200


def test_a_slow_head_is_given_up(world: World) -> None:
    with connected(world) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
        assert problem(to_the_end(connection)) == (408, "head_too_slow")


def test_a_silent_connection_is_closed(world: World) -> None:
    with connected(world) as connection:
        assert to_the_end(connection) == b""


def test_a_second_request_on_a_connection_has_the_same_limits(world: World) -> None:
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(world) as connection:
        connection.sendall(whole)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(whole[:-1])
        assert problem(to_the_end(connection)) == (408, "head_too_slow")


def test_a_body_that_stops_is_refused(world: World) -> None:
    head = (
        "POST /v1/jobs/noop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {world.key()}\r\nContent-Length: 10\r\n\r\n{{"
    )
    with connected(world) as connection:
        connection.sendall(head.encode())
        assert problem(to_the_end(connection)) == (408, "request_timeout")


def test_an_upload_that_stops_keeps_what_came(world: World, api: httpx.Client) -> None:
    upload = api.post("/v1/uploads", json={"length": 10}).json()["id"]
    head = (
        f"PATCH /v1/uploads/{upload} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: 0\r\n"
        "Content-Type: application/offset+octet-stream\r\n"
        f"Authorization: Bearer {world.key()}\r\nContent-Length: 10\r\n\r\nabcd"
    )
    with connected(world) as connection:
        connection.sendall(head.encode())
        assert problem(to_the_end(connection)) == (408, "request_timeout")
    assert api.head(f"/v1/uploads/{upload}").headers["upload-offset"] == "4"


def test_waiting_for_a_job_is_not_a_body_that_stops(api: httpx.Client) -> None:
    answer = api.post("/v1/jobs/noop", json={}, headers={"Prefer": "wait=2"})
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")


def test_too_many_requests_of_a_key(world: World) -> None:
    """Through the whole application, and of that key alone."""
    from api.main import create_app

    app = create_app()
    app.state.rate_limit = RateLimit(60, clock=lambda: 0.0)
    transport = httpx.ASGITransport(app)
    codes = []

    async def ask() -> None:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for secret, count in ((world.key(), 11), (world.key(), 1)):
                for _ in range(count):
                    headers = {"Authorization": f"Bearer {secret}"}
                    answer = await client.get("/v1/jobs", headers=headers)
                    codes.append((answer.status_code, answer.headers.get("retry-after")))

    asyncio.run(ask())
    assert codes == [(200, None)] * 10 + [(429, "1"), (200, None)]


def test_unfinished_jobs_of_a_tenant_are_counted(
    world: World, api: httpx.Client, stranger: httpx.Client
) -> None:
    with world.sessions.begin() as session:
        session.execute(text("UPDATE tenants SET max_active_jobs = 2 WHERE name = 'default'"))
    first = api.post("/v1/jobs/noop", json={}).json()["id"]
    assert api.post("/v1/jobs/noop", json={}).status_code == 202
    refused = api.post("/v1/jobs/noop", json={})
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_jobs")
    assert int(refused.headers["retry-after"]) > 0
    assert stranger.post("/v1/jobs/noop", json={}).status_code == 202
    world.start(first)
    assert api.post("/v1/jobs/noop", json={}).status_code == 429  # a running one counts as well
    second = api.get("/v1/jobs", params={"status": "queued"}).json()["items"][0]["id"]
    assert api.post(f"/v1/jobs/{second}/cancel").status_code == 200
    assert api.post("/v1/jobs/noop", json={}).status_code == 202
