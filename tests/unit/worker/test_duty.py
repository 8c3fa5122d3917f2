"""A duty outlives its failures, and says when it wants to be done again."""

from __future__ import annotations

import time

import pytest
from sqlalchemy.exc import SQLAlchemyError

from worker.duty import repeat


class Over(BaseException):
    """Ends a test: nothing that a duty may raise does."""


@pytest.mark.parametrize(("at_once", "first"), [(False, 5.0), (True, 0.0)])
def test_a_duty_outlives_every_surprise(
    at_once: bool,
    first: float,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcomes = iter([None, 0.5, SQLAlchemyError("away"), ZeroDivisionError("odd"), Over()])
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)

    def duty() -> float | None:
        outcome = next(outcomes)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    with pytest.raises(Over):
        repeat(duty, 5.0, "it was disturbed", at_once=at_once)
    assert waits == [first, 5.0, 0.5, 5.0, 5.0]
    told = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "worker.duty"]
    assert told == [("WARNING", "it was disturbed: away"), ("ERROR", "it was disturbed")]
