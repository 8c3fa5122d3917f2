"""What one caller can take up: sizes, waiting, requests, jobs."""

from __future__ import annotations

import asyncio
import secrets

import httpx
from sqlalchemy import text

from api.failed_attempts import FailedAttempts
from api.known_keys import KnownKeys
from api.rate_limit import RateLimit
from core.services.keys import _with_checksum
from tests.api.sockets import connected, problem, to_the_end
from tests.api.world import World


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


def test_too_many_wrong_keys_of_an_address(world: World) -> None:
    """Well-formed ones, cookies and login links alike; who was known before goes on."""
    from api.main import create_app

    app = create_app()
    app.state.failed_attempts = FailedAttempts(4, clock=lambda: 0.0)
    good = world.key()
    wrong = [_with_checksum(secrets.token_urlsafe(32)) for _ in range(3)]

    async def ask() -> list[tuple[int, str | None]]:
        answers = []
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for secret in (good, *wrong[:2]):
                headers = {"Authorization": f"Bearer {secret}"}
                answers.append(await client.get("/v1/jobs", headers=headers))
            cookie = {"Cookie": "dermsynth_session=guessed"}
            answers.append(await client.get("/v1/jobs", headers=cookie))
            answers.append(await client.get("/login?token=guessed"))
            app.state.known_keys = KnownKeys(0.0)
            for secret in (wrong[2], good):
                headers = {"Authorization": f"Bearer {secret}"}
                answers.append(await client.get("/v1/jobs", headers=headers))
            for path, headers in (("/login?token=again", {}), ("/v1/jobs", cookie)):
                answers.append(await client.get(path, headers=headers))
        return [(a.status_code, a.headers.get("retry-after")) for a in answers]

    late = (429, "15")
    assert asyncio.run(ask()) == [
        (200, None), *[(401, None)] * 4, late, (200, None), late, late,
    ]  # fmt: skip


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
