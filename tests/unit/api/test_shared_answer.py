from __future__ import annotations

import asyncio
import threading

import pytest

from api.shared_answer import SharedAnswer
from tests.unit.api.test_known_keys import Clock


class Probe:
    """Counts how often it was asked; waits until it may answer."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = threading.Event()
        self.error: Exception | None = None

    def __call__(self) -> int:
        self.asked += 1
        assert self.may_answer.wait(30)
        if self.error is not None:
            raise self.error
        return self.asked


def test_all_who_ask_at_once_have_one_answer_and_who_leaves_takes_nothing_along() -> None:
    probe = Probe()

    async def ask() -> list[int]:
        shared = SharedAnswer(probe, 1.0, Clock())
        waiting = [asyncio.create_task(shared.get()) for _ in range(50)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        probe.may_answer.set()
        return await asyncio.gather(*waiting[1:])

    assert asyncio.run(ask()) == [1] * 49
    assert probe.asked == 1


def test_an_answer_holds_for_its_time() -> None:
    probe, clock = Probe(), Clock()
    probe.may_answer.set()

    async def ask() -> list[int]:
        shared, found = SharedAnswer(probe, 1.0, clock), []
        for seconds in (0.0, 0.99, 0.01, 0.5):
            clock.now += seconds
            found.append(await shared.get())
        return found

    assert asyncio.run(ask()) == [1, 1, 2, 2]


def test_an_error_is_told_and_not_kept() -> None:
    probe = Probe()
    probe.may_answer.set()
    probe.error = OSError("gone")

    async def ask() -> int:
        shared = SharedAnswer(probe, 1.0, Clock())
        with pytest.raises(OSError, match="gone"):
            await shared.get()
        probe.error = None
        return await shared.get()

    assert asyncio.run(ask()) == 2
