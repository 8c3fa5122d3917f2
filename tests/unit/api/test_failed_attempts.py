from __future__ import annotations

import pytest

from api import failed_attempts, rate_limit
from api.failed_attempts import FailedAttempts
from core.errors import TooManyRequests, Unauthorized
from tests.unit.api.test_known_keys import Clock


def fails(failed: FailedAttempts, address: str = "192.0.2.1", digest: str = "wrong") -> None:
    with pytest.raises(Unauthorized), failed.attempt(address, digest):
        raise Unauthorized("wrong")


def refused(failed: FailedAttempts, address: str = "192.0.2.1", digest: str = "wrong") -> bool:
    try:
        with failed.attempt(address, digest):
            return False
    except TooManyRequests as error:
        assert error.code == "too_many_failures"
        return True


def works(failed: FailedAttempts, address: str, digest: str) -> None:
    with failed.attempt(address, digest):
        pass


def test_an_address_that_fails_too_often_waits() -> None:
    clock = Clock()
    failed = FailedAttempts(3, clock)
    for _ in range(3):
        fails(failed)
    assert refused(failed)
    assert refused(failed, digest="another")
    assert not refused(failed, "192.0.2.2", "a good one")
    clock.now += 20  # three a minute
    fails(failed)
    assert refused(failed)


def test_what_was_good_before_is_not_locked_out_by_its_neighbours() -> None:
    failed = FailedAttempts(1, Clock())
    works(failed, "192.0.2.1", "good")
    fails(failed)
    for _ in range(3):
        works(failed, "192.0.2.1", "good")
    fails(failed, digest="good")  # it was revoked: now it is as any other
    assert refused(failed, digest="good")


def test_success_and_faults_of_ours_cost_nothing() -> None:
    failed = FailedAttempts(1, Clock())
    for number in range(3):
        works(failed, "192.0.2.1", f"good {number}")
        with pytest.raises(OSError, match="database"), failed.attempt("192.0.2.1", "any"):
            raise OSError("database")
    fails(failed)
    assert refused(failed)


def test_attempts_at_once_are_counted_before_they_end() -> None:
    failed = FailedAttempts(2, Clock())
    first, second = failed.attempt("", "a"), failed.attempt("", "b")
    first.__enter__()
    second.__enter__()
    assert refused(failed, "", "c")
    first.__exit__(None, None, None)
    assert not refused(failed, "", "c")
    second.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_a_network_of_an_ipv6_address_is_one_client(one: str, other: str, same: bool) -> None:
    failed = FailedAttempts(1, Clock())
    fails(failed, one)
    assert refused(failed, other) is same


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_attempts, "MAX_GOOD", 3)
    monkeypatch.setattr(rate_limit, "MAX_KEYS", 3)
    failed = FailedAttempts(1, Clock())
    for number in range(9):
        works(failed, "192.0.2.9", f"good {number}")
        fails(failed, f"192.0.2.{number}")
    assert len(failed._good) == len(failed._limit._buckets) == 3
