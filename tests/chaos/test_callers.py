"""What callers see."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.tally import Tally

Campaign = Callable[[str], Tally]


@pytest.mark.parametrize(
    "case", ["api_killed", "events_dropped", "rolling_restart", "transfers_restarted"]
)
def test_case(campaign: Campaign, case: str) -> None:
    assert sum(campaign(case).faults.values()) > 0
