"""What befalls workers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.tally import Tally

Campaign = Callable[[str], Tally]


@pytest.mark.parametrize("case", ["worker_killed", "worker_frozen", "drained"])
def test_case(campaign: Campaign, case: str) -> None:
    assert sum(campaign(case).faults.values()) > 0


def test_without_the_fence_the_same_check_finds_a_stale_commit(campaign: Campaign) -> None:
    assert campaign("unfenced_control").control_caught
