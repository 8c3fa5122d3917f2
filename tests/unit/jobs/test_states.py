from __future__ import annotations

import itertools

import pytest

from core.jobs.states import TERMINAL, JobStatus, may_move

ALLOWED = {
    ("queued", "running"), ("queued", "failed"), ("queued", "canceled"),
    ("running", "queued"), ("running", "succeeded"), ("running", "failed"), ("running", "canceled"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), list(itertools.product(JobStatus, JobStatus)))
def test_exactly_the_allowed_moves_are_allowed(old: JobStatus, new: JobStatus) -> None:
    assert may_move(old, new) == ((old.value, new.value) in ALLOWED)


def test_nothing_leaves_a_terminal_state() -> None:
    assert {s.value for s in TERMINAL} == {"succeeded", "failed", "canceled"}
