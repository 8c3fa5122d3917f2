"""Hints that are posted go out by a thread, together, and nobody waits for the broker."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from core.services import hints

Hints = list[tuple[str, str]]


class SlowBroker:
    """Takes what is sent once it is allowed to."""

    def __init__(self) -> None:
        self.batches: list[Hints] = []
        self.asked, self.answers = threading.Event(), threading.Event()

    def send(self, sent: Sequence[tuple[str, str]]) -> int:
        self.asked.set()
        self.answers.wait(60)
        self.batches.append(list(sent))
        return len(sent)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> SlowBroker:
    slow = SlowBroker()
    monkeypatch.setattr(hints, "send_hints", slow.send)
    return slow


def test_posting_waits_for_nobody_and_what_came_meanwhile_goes_together(broker: SlowBroker) -> None:
    posted = [(f"job_{number}", "cpu") for number in range(5)]
    with hints.in_background():
        hints.post_hints(posted[:1])
        assert broker.asked.wait(60)
        for hint in posted[1:]:
            hints.post_hints([hint])
        assert broker.batches == []
        broker.answers.set()
    assert broker.batches == [posted[:1], posted[1:]]


def test_without_the_thread_they_are_sent_at_once(broker: SlowBroker) -> None:
    broker.answers.set()
    hints.post_hints([("job_a", "cpu"), ("job_b", "gpu")])
    assert broker.batches == [[("job_a", "cpu"), ("job_b", "gpu")]]


def test_a_broker_that_never_answers_does_not_hold_up_the_end(
    broker: SlowBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "FLUSH_SECONDS", 0.01)
    with hints.in_background():
        hints.post_hints([("job_a", "cpu")])
        assert broker.asked.wait(60)
    assert broker.batches == []
    broker.answers.set()
