from __future__ import annotations

import pytest

from core.jobs.spec import JOB_KINDS
from worker.slot import profile_of


def test_a_slot_preloads_torch_when_a_kind_of_its_queues_wants_it() -> None:
    assert profile_of(["gpu"]) == "torch"
    assert profile_of(["io", "cpu", "gpu", "interactive"]) == "torch"


@pytest.mark.parametrize("queue", ["io"])
def test_a_slot_of_light_kinds_stays_light(queue: str) -> None:
    assert {kind.profile for _, kind in JOB_KINDS if kind.queue == queue} == {"light"}
    assert profile_of([queue]) == "light"
