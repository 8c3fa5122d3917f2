from __future__ import annotations

import pytest

from api import known_failures
from api.known_failures import KnownFailures
from core.ingest.rejects import Rejected
from tests.unit.api.test_known_keys import Clock


def test_a_failure_is_known_for_a_while() -> None:
    clock = Clock()
    known = KnownFailures(60, clock)
    assert known.find("a") is None
    try:
        raise Rejected("code", "detail")
    except Rejected as reason:
        known.keep("a", reason)
    clock.now += 59
    found = known.find("a")
    assert found is not None
    assert (found.code, found.detail, found.__traceback__) == ("code", "detail", None)
    assert known.find("b") is None
    clock.now += 1
    assert known.find("a") is None


def test_memory_is_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_failures, "MOST", 3)
    clock = Clock()
    known = KnownFailures(60, clock)
    for name in "abcad":
        known.keep(name, Rejected(name, ""))
    assert [name for name in "abcd" if known.find(name)] == ["a", "c", "d"]
    clock.now += 60
    known.keep("e", Rejected("e", ""))
    assert list(known._reasons) == ["e"]
