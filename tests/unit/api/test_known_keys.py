from __future__ import annotations

import pytest

from api import known_keys
from api.known_keys import KnownKeys
from core.services.keys import Verified
from core.services.principal import Principal


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def verified(key_id: str = "key_a", seconds_left: float | None = None) -> Verified:
    return Verified(Principal("tnt_a", key_id, frozenset({"jobs:read"})), seconds_left)


def kept(clock: Clock, seconds: float = 1.0, left: float | None = None) -> KnownKeys:
    known = KnownKeys(seconds, clock)
    known.keep("digest", verified(seconds_left=left), known.asked())
    return known


def test_a_key_is_known_for_its_time_and_not_longer() -> None:
    clock = Clock()
    known = kept(clock)
    clock.now += 0.99
    assert known.find("digest") == verified().principal
    assert known.find("other") is None
    clock.now += 0.01
    assert known.find("digest") is None


def test_the_time_runs_from_the_question_not_from_the_answer() -> None:
    clock = Clock()
    known = KnownKeys(1.0, clock)
    asked = known.asked()
    clock.now += 1.0  # the database was slow: the key may have been revoked meanwhile
    known.keep("digest", verified(), asked)
    assert known.find("digest") is None


def test_a_key_does_not_outlive_its_expiry() -> None:
    clock = Clock()
    known = kept(clock, left=0.25)
    clock.now += 0.25
    assert known.find("digest") is None


def test_zero_seconds_remember_nothing() -> None:
    assert kept(Clock(), seconds=0.0).find("digest") is None


def test_a_revoked_key_is_forgotten_and_no_other() -> None:
    known = kept(Clock())
    known.keep("second", verified("key_b"), known.asked())
    known.forget("key_a")
    assert known.find("digest") is None
    assert known.find("second") is not None


def test_a_look_up_that_a_revocation_overtook_is_not_kept() -> None:
    known = KnownKeys(1.0, Clock())
    asked = known.asked()  # and then the database says yes, slowly
    known.forget("key_a")
    known.keep("digest", verified(), asked)
    assert known.find("digest") is None
    known.keep("digest", verified(), known.asked())
    assert known.find("digest") is not None


def test_the_number_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "MAX_KEYS", 3)
    known = KnownKeys(1.0, Clock())
    for number in range(5):
        known.keep(f"digest {number}", verified(), known.asked())
    assert [known.find(f"digest {n}") is not None for n in range(5)] == [False] * 2 + [True] * 3
