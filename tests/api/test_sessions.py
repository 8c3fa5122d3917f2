"""One-time links and the cookies that they become."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import text

from core.services.browser_sessions import login_token
from tests.api.world import World
from tests.integration.harness import eventually

OURS = {"Sec-Fetch-Site": "same-origin"}


def logged_in(world: World) -> httpx.Client:
    browser = world.client()
    assert browser.get("/login", params={"token": login_token(world.sessions)}).status_code == 303
    return browser


def test_of_many_browsers_at_once_one_gets_in(world: World) -> None:
    token = login_token(world.sessions)
    clients = [world.client() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda c: c.get("/login", params={"token": token}), clients))
    assert sorted(a.status_code for a in answers) == [303] + [401] * 5


def test_an_old_link_is_refused(world: World) -> None:
    token = login_token(world.sessions)
    with world.sessions.begin() as session:
        session.execute(text("UPDATE sessions SET expires_at = clock_timestamp()"))
    answer = world.client().get("/login", params={"token": token})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_login_link")


def test_an_old_session_is_refused(world: World) -> None:
    browser = logged_in(world)
    assert browser.get("/v1/jobs").status_code == 200
    with world.sessions.begin() as session:
        session.execute(text("UPDATE sessions SET expires_at = clock_timestamp()"))
    answer = browser.get("/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_session")


def test_a_login_with_another_host_is_refused_and_the_link_still_works(world: World) -> None:
    token = login_token(world.sessions)
    evil = world.client().get("/login", params={"token": token}, headers={"Host": "evil.example"})
    assert (evil.status_code, evil.json()["code"]) == (400, "unknown_host")
    assert world.client().get("/login", params={"token": token}).status_code == 303


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}])
def test_nobody_else_logs_a_browser_out(world: World, headers: dict[str, str]) -> None:
    browser = logged_in(world)
    assert browser.post("/logout", headers=headers).status_code == 403
    assert browser.get("/v1/jobs").status_code == 200


def test_logging_out_ends_the_session_and_its_cookie(world: World) -> None:
    browser = logged_in(world)
    cookie = dict(browser.cookies)
    answer = browser.post("/logout", headers=OURS)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "max-age=0" in answer.headers["set-cookie"].lower()
    assert not browser.cookies
    kept = world.client(cookies=cookie).get("/v1/jobs")
    assert (kept.status_code, kept.json()["code"]) == (401, "invalid_session")
    assert browser.post("/logout", headers=OURS).status_code == 303


def test_sessions_are_listed_and_revoked(
    world: World, api: httpx.Client, stranger: httpx.Client
) -> None:
    login_token(world.sessions)
    browser = logged_in(world)
    newest, unused = api.get("/v1/sessions").json()["items"]
    assert (newest["logged_in"], unused["logged_in"]) == (True, False)
    assert newest["last_used_at"] is not None
    assert stranger.get("/v1/sessions").json()["items"] == []
    for _ in range(2):
        assert api.delete(f"/v1/sessions/{newest['id']}").status_code == 204
    assert browser.get("/v1/jobs").status_code == 401
    entries = api.get("/v1/audit", params={"target_id": newest["id"]}).json()["items"]
    assert [e["action"] for e in entries] == ["session.revoke", "session.login"]
    assert entries[1]["actor"] == {"kind": "session", "id": newest["id"]}


def test_a_revoked_link_lets_nobody_in(world: World, api: httpx.Client) -> None:
    token = login_token(world.sessions)
    (link,) = api.get("/v1/sessions").json()["items"]
    api.delete(f"/v1/sessions/{link['id']}")
    assert world.client().get("/login", params={"token": token}).status_code == 401


def test_what_a_browser_does_is_audited_as_its_session(world: World, api: httpx.Client) -> None:
    browser = logged_in(world)
    made = browser.post(
        "/v1/keys", json={"name": "x", "scopes": ["jobs:read"]}, headers=OURS
    ).json()
    (entry,) = api.get("/v1/audit", params={"target_id": made["id"]}).json()["items"]
    (session,) = api.get("/v1/sessions").json()["items"]
    assert entry["actor"] == {"kind": "session", "id": session["id"]}


def test_the_access_log_keeps_no_token(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    # the asking side prints what it asks for; the handler itself stays at INFO
    caplog.set_level(logging.WARNING, "httpx")
    caplog.handler.setLevel(logging.INFO)
    token = login_token(world.sessions)
    assert world.client().get("/login", params={"token": token, "a": "1"}).status_code == 303
    (line,) = eventually(  # it is written once the answer is on its way
        lambda: [
            r for r in caplog.records if r.name == "api.access" and r.__dict__["path"] == "/login"
        ]
    )
    assert line.getMessage() == "GET /login 303"
    assert token not in caplog.text
    assert token not in str([record.__dict__ for record in caplog.records])


def test_a_stream_ends_when_its_session_does(world: World) -> None:
    browser, admin = logged_in(world), world.client(world.key())
    job = admin.post("/v1/jobs/noop", json={}).json()["id"]
    path = f"/v1/jobs/{job}/events"
    with browser.stream("GET", path, headers={"Accept": "text/event-stream"}) as response:
        lines = response.iter_lines()
        assert "event: submitted" in [next(lines) for _ in range(5)]
        (row,) = admin.get("/v1/sessions").json()["items"]
        assert admin.delete(f"/v1/sessions/{row['id']}").status_code == 204
        world.finish(job)
        assert not any("succeeded" in line for line in lines)
