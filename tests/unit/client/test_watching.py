"""Following jobs: streams, reconnecting, polling, logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from api.client import ApiProblem, Client, Job, JobNotSucceeded, WaitTimeout
from tests.unit.client.scripted import Connection, Script, job, listening, problem, scripted_client


def event(number: int, kind: str = "progress") -> bytes:
    data = json.dumps({"seq": number, "type": kind, "data": {"n": number}})
    return f"id: {number}\nevent: {kind}\ndata: {data}\n\n".encode()


class Story:
    """A job with ten events; each stream sends ``portion`` of them and then ``breaks`` or ends."""

    def __init__(self, portion: int, end: Callable[[Connection], None]) -> None:
        self.portion, self.end = portion, end
        self.sent = 0
        self.seen_ids: list[str | None] = []

    def __call__(self, connection: Connection) -> None:
        if "/events" not in connection.path:
            connection.answer_json(job(status="succeeded" if self.sent >= 10 else "running"))
            return
        if connection.headers["Accept"] != "text/event-stream":
            items = [{"seq": n, "data": {"n": n}} for n in range(1, self.sent + 1)]
            connection.answer_json({"items": items, "next_cursor": None})
            return
        self.seen_ids.append(connection.headers["Last-Event-ID"])
        after = int(connection.headers["Last-Event-ID"] or 0)
        connection.start_stream()
        # one event is repeated, as a server may do after a reconnect
        for number in range(max(1, after), min(10, after + self.portion) + 1):
            connection.chunk(event(number, "status" if number == 10 else "progress"))
            self.sent = max(self.sent, number)
        self.end(connection)


ENDS = {"ends": Connection.end_stream, "breaks": Connection.break_off}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("portion", [1, 3, 10])
def test_events_have_no_gap_and_no_double_however_often_the_stream_breaks(
    end: Callable[[Connection], None], portion: int
) -> None:
    story = Story(portion, end)
    with listening(story) as url, Client(url, sleep=lambda _: None) as client:
        events = list(client.jobs.follow_events("job_1"))
    assert [e.seq for e in events] == list(range(1, 11))
    assert [e.data["n"] for e in events] == list(range(1, 11))
    assert story.seen_ids[0] is None
    assert story.seen_ids[1:2] in ([], [str(portion)])


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_waiting_ends_with_the_job(end: Callable[[Connection], None]) -> None:
    with listening(Story(4, end)) as url, Client(url, sleep=lambda _: None) as client:
        assert client.jobs.wait("job_1").succeeded


@pytest.mark.parametrize(
    "refusal",
    [
        problem(406, "not_acceptable"),
        httpx.Response(200, json={"items": [], "next_cursor": None}),
        problem(501, "http_501"),
    ],
)
def test_without_a_stream_the_job_is_polled(refusal: httpx.Response) -> None:
    statuses = ["running", "running", "running", "succeeded"]

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return refusal
        return httpx.Response(200, json=job(status=statuses.pop(0)))

    client, waits = scripted_client(handler)
    assert client.jobs.wait("job_1").succeeded
    assert len(waits) == 3 and waits == sorted(waits)


def test_streams_that_always_break_are_given_up_for_polling() -> None:
    statuses = iter(["running"] * 3)
    streams = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal streams
        if request.url.path.endswith("/events"):
            streams += 1
            raise httpx.RemoteProtocolError("cut")
        return httpx.Response(200, json=job(status=next(statuses, "succeeded")))

    client, _ = scripted_client(handler)
    assert client.jobs.wait("job_1").succeeded
    assert streams == 3


def test_a_failed_job_is_raised_with_its_reason() -> None:
    failed = job(status="failed", error={"code": "out_of_memory", "detail": "It ate all of it."})
    client, _ = scripted_client(Script([httpx.Response(200, json=failed)] * 2))
    with pytest.raises(JobNotSucceeded, match="ate all") as caught:
        client.jobs.wait("job_1")
    assert caught.value.job.error == failed["error"]


def test_waiting_has_an_end() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return problem(406, "no")
        return httpx.Response(200, json=job())

    client, _ = scripted_client(handler)
    with pytest.raises(WaitTimeout):
        client.jobs.wait("job_1", timeout=0.0)


def test_each_change_is_told_once() -> None:
    states = [job(), job(), job(status="succeeded")]

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return problem(406, "no")
        return httpx.Response(200, json=states.pop(0))

    client, _ = scripted_client(handler)
    assert [seen.status for seen in client.jobs.watch("job_1")] == ["running", "succeeded"]


def test_following_a_job_that_is_not_there_is_a_problem() -> None:
    client, _ = scripted_client(lambda _: problem(404, "not_found"))
    with pytest.raises(ApiProblem):
        list(client.jobs.follow_events("job_1"))


def test_without_a_stream_events_are_listed_until_the_end() -> None:
    lists = [[1], [1, 2], [3, 2, 1]]

    def handler(request: httpx.Request) -> httpx.Response:
        if request.headers["accept"] == "text/event-stream":
            return problem(406, "no")
        if request.url.path.endswith("/events"):
            items = [{"seq": number, "type": "progress"} for number in lists.pop(0)]
            return httpx.Response(200, json={"items": items, "next_cursor": None})
        return httpx.Response(200, json=job(status="running" if len(lists) > 1 else "succeeded"))

    client, _ = scripted_client(handler)
    assert [event.seq for event in client.jobs.follow_events("job_1")] == [1, 2, 3]


def test_the_children_at_work_are_asked_for_by_their_parent() -> None:
    page = {"items": [job("job_4"), job("job_2")], "next_cursor": None}
    script = Script([httpx.Response(200, json=page)])
    client, _ = scripted_client(script)
    parent = Job.model_validate(job("job_1"))
    assert [child.id for child in client.jobs.running_children(parent)] == ["job_2", "job_4"]
    params = script.requests[0].url.params
    assert (params["status"], params["parent_id"]) == ("running", "job_1")


def test_a_stream_with_nothing_left_to_tell_is_the_end() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.headers["accept"] == "text/event-stream":
            return httpx.Response(204)
        return httpx.Response(200, json=job(status="succeeded"))

    client, waits = scripted_client(handler)
    assert list(client.jobs.follow_events("job_1", after=9)) == []
    assert waits == []


def log_server(
    log: bytes, growth: int, ranges: bool
) -> tuple[Callable[[httpx.Request], Any], list[str]]:
    """Return a handler whose log is ``growth`` bytes longer at each look, and the ranges asked."""
    shown = growth
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal shown
        if not request.url.path.endswith("/logs"):
            return httpx.Response(
                200, json=job(status="succeeded" if shown >= len(log) else "running")
            )
        there = log[:shown]
        shown += growth
        asked.append(request.headers.get("range", ""))
        start = int(asked[-1].removeprefix("bytes=").rstrip("-") or 0)
        if not ranges:
            return httpx.Response(200, content=there)
        if start >= len(there):
            return problem(416, "http_416")
        return httpx.Response(206 if start else 200, content=there[start:])

    return handler, asked


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("growth", [1, 3, 7, 1000])
def test_a_followed_log_is_whole_whatever_the_portions(growth: int, ranges: bool) -> None:
    log = "naïve → fertig\n".encode() * 3
    handler, asked = log_server(log, growth, ranges)
    client, _ = scripted_client(handler)
    assert "".join(client.jobs.logs("job_1", follow=True)) == log.decode()
    assert asked[0] == ""


def test_a_log_is_printed_once_without_follow() -> None:
    handler, asked = log_server(b"one\n", 1000, True)
    client, _ = scripted_client(handler)
    assert list(client.jobs.logs("job_1")) == ["one\n"]
    assert len(asked) == 1
