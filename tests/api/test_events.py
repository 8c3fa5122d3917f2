"""Events: gap-free, resumable, ending with the job."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import text

from tests.api.world import World

STREAM = {"Accept": "text/event-stream"}


def submit(api: httpx.Client) -> str:
    return str(api.post("/v1/jobs/sleep", json={}).json()["id"])


def messages(response: httpx.Response) -> Iterator[tuple[int, str]]:
    number = -1
    for line in response.iter_lines():
        if line.startswith("id: "):
            number = int(line[4:])
        if line.startswith("data: "):
            event = json.loads(line[6:])
            assert event["seq"] == number
            yield number, event["type"]


def test_pages(world: World, api: httpx.Client) -> None:
    job = submit(api)
    for n in range(5):
        world.event(job, "progress", {"n": n})
    path = f"/v1/jobs/{job}/events"
    first = api.get(path, params={"limit": 4}).json()
    rest = api.get(path, params={"limit": 4, "cursor": first["next_cursor"]}).json()
    assert [e["seq"] for e in first["items"] + rest["items"]] == [1, 2, 3, 4, 5, 6]
    assert first["items"][0]["type"] == "submitted"
    assert rest["next_cursor"] is None
    assert [e["seq"] for e in api.get(path, params={"after": 5}).json()["items"]] == [6]


def test_a_stream_ends_with_the_job(world: World, api: httpx.Client) -> None:
    job = submit(api)
    with api.stream("GET", f"/v1/jobs/{job}/events", headers=STREAM) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        got = messages(response)
        assert next(got) == (1, "submitted")
        world.event(job, "progress", {})
        assert next(got) == (2, "progress")
        world.finish(job)
        assert list(got) == [(3, "succeeded")]


def test_a_stream_goes_on_where_it_broke(world: World, api: httpx.Client) -> None:
    """However often the connection is dropped, each event comes once."""
    job = submit(api)
    seen: list[int] = []
    total = 40

    def feed() -> None:
        for n in range(total):
            world.event(job, "progress", {"n": n})
        world.finish(job)

    feeder = threading.Thread(target=feed)
    feeder.start()
    ended = False
    while not ended:
        headers = STREAM | ({"Last-Event-ID": str(seen[-1])} if seen else {})
        with api.stream("GET", f"/v1/jobs/{job}/events", headers=headers) as response:
            for count, (number, kind) in enumerate(messages(response), 1):
                seen.append(number)
                ended = kind == "succeeded"
                if count == 7:
                    break  # drop the connection
    feeder.join()
    assert seen == list(range(1, total + 3))


def test_many_listeners_of_one_job_all_hear_everything(world: World, api: httpx.Client) -> None:
    job = submit(api)
    heard: list[list[int]] = []

    def listen() -> None:
        with api.stream("GET", f"/v1/jobs/{job}/events", headers=STREAM) as response:
            heard.append([number for number, _ in messages(response)])

    threads = [threading.Thread(target=listen) for _ in range(6)]
    for thread in threads:
        thread.start()
    for n in range(10):
        world.event(job, "progress", {"n": n})
    world.finish(job)
    for thread in threads:
        thread.join(20)
    assert heard == [list(range(1, 13))] * 6


def test_after_the_end_there_is_nothing_to_come(world: World, api: httpx.Client) -> None:
    job = submit(api)
    world.finish(job)
    path = f"/v1/jobs/{job}/events"
    with api.stream("GET", path, headers=STREAM) as response:
        assert [kind for _, kind in messages(response)] == ["submitted", "succeeded"]
    assert api.get(path, headers=STREAM | {"Last-Event-ID": "2"}).status_code == 204
    assert api.get(path, headers=STREAM | {"Last-Event-ID": "99999"}).status_code == 204
    bad = api.get(path, headers=STREAM | {"Last-Event-ID": "x"})
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid_event_id")


def follower(world: World, api: httpx.Client) -> tuple[str, httpx.Client]:
    made = api.post("/v1/keys", json={"name": "x", "scopes": ["jobs:read"]}).json()
    return made["id"], world.client(made["key"])


def test_a_stream_ends_when_its_key_is_revoked(world: World, api: httpx.Client) -> None:
    """At once, long before the heartbeat; a stream of another key goes on."""
    job = submit(api)
    key_id, weak = follower(world, api)
    path = f"/v1/jobs/{job}/events"
    with (
        weak.stream("GET", path, headers=STREAM) as response,
        api.stream("GET", path, headers=STREAM) as other,
    ):
        got, others = messages(response), messages(other)
        assert next(got) == next(others) == (1, "submitted")
        assert api.delete(f"/v1/keys/{key_id}").status_code == 204
        world.event(job, "progress", {})
        assert list(got) == []
        assert next(others) == (2, "progress")


@pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
@pytest.mark.parametrize("busy", [False, True])
def test_a_stream_ends_when_its_key_ends_elsewhere(
    world: World, api: httpx.Client, monkeypatch: pytest.MonkeyPatch, column: str, busy: bool
) -> None:
    """By the next heartbeat, in silence as well as while there are events."""
    monkeypatch.setattr(world.app.state.events, "heartbeat_seconds", 0.2)
    job = submit(api)
    key_id, weak = follower(world, api)
    ended = threading.Event()

    def feed() -> None:
        while not ended.wait(0.02):
            world.event(job, "progress", {})

    feeder = threading.Thread(target=feed if busy else ended.wait)
    with weak.stream("GET", f"/v1/jobs/{job}/events", headers=STREAM) as response:
        got = messages(response)
        assert next(got) == (1, "submitted")
        feeder.start()
        with world.sessions.begin() as session:
            session.execute(
                text(f"UPDATE api_keys SET {column} = clock_timestamp() WHERE id = :id"),
                {"id": key_id},
            )
        assert {kind for _, kind in got} <= {"progress"}
    ended.set()
    feeder.join()
    assert api.get(f"/v1/jobs/{job}").json()["status"] == "queued"


def test_heartbeats_go_on_while_the_key_is_good(
    world: World, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.app.state.events, "heartbeat_seconds", 0.05)
    job = submit(api)
    with api.stream("GET", f"/v1/jobs/{job}/events", headers=STREAM) as response:
        lines = response.iter_lines()
        beats = 0
        while beats < 3:
            beats += next(lines) == ": still here"
        world.finish(job)
        assert any(line == "event: succeeded" for line in lines)
