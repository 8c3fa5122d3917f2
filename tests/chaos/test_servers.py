"""What befalls database and broker, and the hints in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.tally import Tally

Campaign = Callable[[str], Tally]


@pytest.mark.parametrize("case", ["broker_lost", "database_restarted", "hints_tripled"])
def test_case(campaign: Campaign, case: str) -> None:
    assert sum(campaign(case).faults.values()) > 0
