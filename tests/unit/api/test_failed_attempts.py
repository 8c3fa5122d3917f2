from __future__ import annotations

import threading
from asyncio import CancelledError
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

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


def at_once(failed: FailedAttempts, stack: ExitStack, digest: str, count: int) -> None:
    """Begin attempts that are under way until the stack is closed."""
    for _ in range(count):
        stack.enter_context(failed.attempt("", digest))


def test_a_good_secret_in_many_requests_at_once_takes_one_token() -> None:
    """As after a restart, when nobody is known yet."""
    failed = FailedAttempts(2, Clock())
    with ExitStack() as under_way:
        at_once(failed, under_way, "good", 500)
        assert not refused(failed, "", "another")
    for number in range(2):  # both tokens are there again, and no more
        fails(failed, "", f"wrong {number}")
    assert refused(failed, "", "wrong")
    works(failed, "", "good")
    assert not failed._guesses


def test_threads_with_a_good_secret_are_all_let_in() -> None:
    failed = FailedAttempts(1, Clock())
    together = threading.Barrier(16)

    def ask() -> None:
        together.wait()
        for _ in range(50):
            works(failed, "", "good")

    with ThreadPoolExecutor(16) as pool:
        for asked in [pool.submit(ask) for _ in range(16)]:
            asked.result()
    fails(failed, "")
    assert refused(failed, "")


def test_wrong_secrets_at_once_take_a_token_each() -> None:
    failed = FailedAttempts(3, Clock())
    with ExitStack() as under_way:
        for number in range(3):
            at_once(failed, under_way, f"wrong {number}", 2)
        assert refused(failed, "", "wrong 3")


def test_a_wrong_secret_is_no_cover_for_itself() -> None:
    """Who always has one request under way does not look the same secret up for nothing."""
    failed = FailedAttempts(2, Clock())
    with ExitStack() as under_way:
        at_once(failed, under_way, "wrong", 3)
        fails(failed, "", "wrong")
        fails(failed, "", "wrong")
        assert refused(failed, "", "wrong")
    assert refused(failed, "", "wrong 2")  # no token came back for those that were under way


def test_an_attempt_that_is_cancelled_costs_nothing() -> None:
    failed = FailedAttempts(1, Clock())
    with pytest.raises(CancelledError), failed.attempt("", "any"):
        raise CancelledError
    assert not refused(failed, "", "good")


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
