from __future__ import annotations

import signal

import pytest

from core.jobs.spec import JOB_KINDS
from worker import drain, slot
from worker.slot import profile_of


def test_a_slot_preloads_torch_when_a_kind_of_its_queues_wants_it() -> None:
    assert profile_of(["gpu"]) == "torch"
    assert profile_of(["io", "cpu", "gpu", "interactive"]) == "torch"


@pytest.mark.parametrize("queue", ["io"])
def test_a_slot_of_light_kinds_stays_light(queue: str) -> None:
    assert {kind.profile for _, kind in JOB_KINDS if kind.queue == queue} == {"light"}
    assert profile_of([queue]) == "light"


def test_sigterm_while_a_job_runs_ends_the_slot_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(drain, "_told", False)
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("end"))
    try:
        with slot._sigterm_drains():
            assert not drain.draining()
            signal.raise_signal(signal.SIGTERM)
            assert drain.draining()
            seen.append("job given back")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == ["job given back", "end"]
