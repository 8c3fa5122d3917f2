"""Following a job: server-sent events while they come, polling where they do not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

import httpx

from api.client.failures import ApiProblem, WaitTimeout
from api.client.records import Event, Job, parse
from api.client.sse import Message, SseParser
from api.client.transport import Transport, path_of

SILENCE_SECONDS = 30.0
"""A stream that says nothing for so long, not even a comment, is opened anew."""
LOOK_SECONDS = 0.4
"""The job is read again at most this often while progress events come."""
POLL_SECONDS = (0.5, 5.0)
MAX_BROKEN_STREAMS = 3
"""So many streams in a row without one event: poll instead."""
FREQUENT = frozenset({"progress", "log", "metric"})

GetJob = Callable[[str], Job]


class _NoStream(Exception):
    """The server, or a proxy before it, does not stream events."""


def follow_events(
    transport: Transport, get_job: GetJob, job_id: str, *, after: int = 0
) -> Iterator[Event]:
    """Yield each event once, in order; ends when the job has ended.

    Streams that break are opened again with Last-Event-ID; without streams, lists are polled.
    """
    last = after
    try:
        for event in _events_and_ticks(transport, get_job, job_id, after):
            if event is not None:
                last = event.seq
                yield event
    except _NoStream:
        yield from _listed_events(transport, get_job, job_id, last)


def _listed_events(
    transport: Transport, get_job: GetJob, job_id: str, last: int
) -> Iterator[Event]:
    while True:
        ended = get_job(job_id).ended  # before the list: what comes after it is in the list
        items = transport.pages(path_of("jobs", job_id, "events"), limit=200)
        fresh = [event for item in items if (event := parse(Event, item)).seq > last]
        for event in sorted(fresh, key=lambda event: event.seq):
            last = event.seq
            yield event
        if ended:
            return
        transport.sleep(POLL_SECONDS[1])


def watch(
    transport: Transport, get_job: GetJob, job_id: str, *, timeout: float | None = None
) -> Iterator[Job]:
    """Yield the job now, whenever it changed, and at last once ended."""
    deadline = None if timeout is None else time.monotonic() + timeout
    job = get_job(job_id)
    yield job
    if job.ended:
        return
    seen = job
    for job in _looks(transport, get_job, job_id):
        if job != seen or job.ended:
            yield job
            seen = job
        if job.ended:
            return
        if deadline is not None and time.monotonic() >= deadline:
            raise WaitTimeout(f"Job {job_id} is still {job.status} after {timeout:g} s.")


def _looks(transport: Transport, get_job: GetJob, job_id: str) -> Iterator[Job]:
    """Yield the job again and again, at moments when it may have changed; without end."""
    looked = -LOOK_SECONDS
    try:
        with closing(_events_and_ticks(transport, get_job, job_id, 0)) as stream:
            for event in stream:
                now = time.monotonic()
                frequent = event is not None and event.type in FREQUENT
                if not frequent or now - looked >= LOOK_SECONDS:
                    looked = now
                    yield get_job(job_id)
        yield get_job(job_id)
    except _NoStream:
        pass
    pause = POLL_SECONDS[0]
    while True:
        transport.sleep(pause)
        pause = min(pause * 1.3, POLL_SECONDS[1])
        yield get_job(job_id)


def _events_and_ticks(
    transport: Transport, get_job: GetJob, job_id: str, after: int
) -> Generator[Event | None, None, None]:
    """Yield events, and None after each silence, until the job has ended."""
    last = after
    broken = 0
    while True:
        heard = False
        try:
            for message in _messages(transport, job_id, last):
                event = _event(message, last)
                if event is None or event.seq > last:  # an event sent twice is told once
                    last = event.seq if event else last
                    heard = heard or event is not None
                    yield event
        except httpx.ReadTimeout:
            yield None
        except httpx.TransportError as error:
            broken = 0 if heard else broken + 1
            if broken >= MAX_BROKEN_STREAMS:
                raise _NoStream(str(error)) from error
            transport.pause(broken + 1, None, "the event stream broke")
        else:
            broken = 0 if heard else broken + 1
            if get_job(job_id).ended:
                return
            if broken >= MAX_BROKEN_STREAMS:
                raise _NoStream("streams end without an event")
            transport.pause(broken + 1, None, "the event stream ended early")


def _messages(transport: Transport, job_id: str, last: int) -> Iterator[Message | None]:
    """Open one stream after event ``last``; None for each portion that completes no message."""
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if last:
        headers["Last-Event-ID"] = str(last)
    parser = SseParser(str(last) if last else "")
    path = path_of("jobs", job_id, "events")
    try:
        with transport.stream(path, headers=headers, timeout=SILENCE_SECONDS) as response:
            if response.status_code == 204:  # the job has ended, and there is nothing new
                return
            kind = response.headers.get("content-type", "")
            if not kind.startswith("text/event-stream"):
                raise _NoStream(f"it answered with {kind or 'no type'}")
            for chunk in response.iter_bytes():
                messages = parser.feed(chunk)
                yield from messages
                if not messages:
                    yield None
    except ApiProblem as problem:
        if problem.status in (401, 403, 404):
            raise
        if transport.worth_another(problem):
            raise httpx.RemoteProtocolError(str(problem)) from problem
        raise _NoStream(str(problem)) from problem


def _event(message: Message | None, last: int) -> Event | None:
    if message is None:
        return None
    try:
        data: Any = json.loads(message.data)
    except ValueError:
        data = message.data
    number = int(message.id) if message.id.isascii() and message.id.isdigit() else last + 1
    body = data if isinstance(data, dict) and "data" in data else {"data": data}
    return parse(Event, {**body, "seq": number, "type": _type(message, body)})


def _type(message: Message, body: dict[str, Any]) -> str:
    return str(body.get("type", message.event)) if message.event == "message" else message.event
