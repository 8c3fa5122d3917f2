"""Hints get lost in ways that nobody is told of; jobs run all the same."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis

from core.db.models import Job
from core.db.repositories import jobs
from core.jobs.spec import JOB_KINDS
from core.services import hints
from core.services.submit import submit
from tests.integration.harness import Harness

NEVER = "3600"


class Way:
    """The way to a server, which may go dark: open connections carry nothing, nor do they end."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._dark = threading.Event()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        login, at, _ = self._server.netloc.rpartition("@")
        port = self._listener.getsockname()[1]
        return urlunsplit(self._server._replace(netloc=f"{login}{at}127.0.0.1:{port}"))

    def go_dark(self) -> None:
        """Carry nothing on the connections of now; later ones are served."""
        self._dark.set()
        self._dark = threading.Event()

    def close(self) -> None:
        for one in [self._listener, *self._open]:
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                server = socket.create_connection((self._server.hostname, self._server.port))
                self._open += [caller, server]
                for pair in ((caller, server), (server, caller)):
                    threading.Thread(target=_carry, args=(*pair, self._dark), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket, dark: threading.Event) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            if not dark.is_set():
                target.sendall(data)
        if not dark.is_set():
            target.shutdown(socket.SHUT_WR)


def _submit_without_hint(stack: Harness) -> str:
    with stack.sessions.begin() as session:  # not a transaction() of the service
        return submit(session, stack.principal, JOB_KINDS.get("noop"), {}).id


def test_a_slot_that_hears_any_hint_takes_what_was_overlooked(stack: Harness) -> None:
    overlooked = _submit_without_hint(stack)
    stack.start_worker(DERMSYNTH_REAPER_SECONDS=NEVER)
    assert stack.wait(stack.submit("noop")).status == "succeeded"
    assert stack.wait(overlooked).status == "succeeded"


def test_a_long_queue_needs_no_more_hints(stack: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "ENOUGH", 3)
    ids = [stack.submit("noop") for _ in range(6)]
    assert redis.Redis.from_url(stack.redis_url).llen("cpu") == 3
    stack.start_worker(DERMSYNTH_REAPER_SECONDS=NEVER)
    assert {stack.wait(job_id).status for job_id in ids} == {"succeeded"}


def test_hints_that_nobody_took_away_are_trimmed_to_the_oldest(
    stack: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "ENOUGH", 3)
    stack.use()
    hints.send_hints([(f"job_{number}", "cpu") for number in range(10)])
    broker = redis.Redis.from_url(stack.redis_url)
    oldest = broker.lrange("cpu", -3, -1)
    assert hints.trim_hints(["cpu", "gpu"]) == {"cpu": 3, "gpu": 0}
    assert broker.lrange("cpu", 0, -1) == oldest


def test_a_worker_whose_way_to_the_broker_went_dark_connects_anew(stack: Harness) -> None:
    way = Way(stack.redis_url)
    try:
        stack.start_worker(REDIS_URL=way.url)
        assert stack.wait(stack.submit("noop")).status == "succeeded"
        way.go_dark()
        assert stack.wait(stack.submit("noop")).status == "succeeded"
    finally:
        way.close()


def test_what_is_due_is_taken_in_the_order_of_its_submission(stack: Harness) -> None:
    first, second, later, other = (_submit_without_hint(stack) for _ in range(4))
    ago = {first: 10, second: 20, later: -60, other: 30}  # the first one was given back since
    with stack.sessions.begin() as session:
        for job_id, seconds in ago.items():
            session.get_one(Job, job_id).available_at = jobs.seconds_from_now(-seconds)
        session.get_one(Job, other).queue = "gpu"

    def take(*queues: str) -> str | None:
        with stack.sessions.begin() as session:
            job = jobs.claim_next(session, queues, "w", 60)
            return None if job is None else job.id

    taken = [take("cpu"), take("gpu", "cpu"), take("cpu"), take("io", "gpu")]
    assert taken == [first, second, None, other]
