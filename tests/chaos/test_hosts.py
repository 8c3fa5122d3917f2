"""What befalls hosts: their disks and clocks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.tally import Tally

Campaign = Callable[[str], Tally]


@pytest.mark.parametrize("case", ["disk_full", "disk_slow", "clock_wrong"])
def test_case(campaign: Campaign, case: str) -> None:
    assert sum(campaign(case).faults.values()) > 0
