"""The same seed gives the same schedule."""

from __future__ import annotations

import random
from collections import Counter

from tests.chaos.cases import CASES
from tests.chaos.schedule import draw
from tests.chaos.tally import Tally, summary


def test_a_seed_repeats_a_schedule_and_every_kind_comes() -> None:
    one, same, other = (draw(random.Random(s), 10, ("a", "b", "c"), (0.0, 1.0)) for s in (1, 1, 2))
    assert one == same != other
    assert Counter(fault.kind for fault in one) == {"a": 4, "b": 3, "c": 3}


def test_the_report_has_the_promised_members() -> None:
    row = Tally(jobs=3, lost=1).row()
    assert not row["ok"]
    report = summary(1, 85.0, {"x": row, "y": Tally(jobs=2).row()}, caught=True)
    assert list(report) == [
        "seed", "jobs", "faults", "lost", "doubled", "stale_refused", "worst_recovery_s",
        "recovery_bound_s", "control_caught", "by_fault",
    ]  # fmt: skip
    assert (report["jobs"], report["lost"]) == (5, 1)


def test_every_case_says_what_it_does() -> None:
    assert all(case.__doc__ for case in CASES.values())
