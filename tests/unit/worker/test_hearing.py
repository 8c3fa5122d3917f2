"""A worker is deaf when a slot stays idle while jobs wait and no hint comes."""

from __future__ import annotations

from worker.hearing import LOOKS, Hearing


def looks(hearing: Hearing, *idle: set[str]) -> list[bool]:
    return [hearing.look(slots) for slots in idle]


def test_a_slot_that_stays_idle_while_jobs_wait_is_deaf_and_is_counted_anew() -> None:
    hearing = Hearing()
    assert looks(hearing, *[{"a", "b"}] * LOOKS) == [False] * (LOOKS - 1) + [True]
    assert looks(hearing, *[{"a"}] * LOOKS) == [False] * (LOOKS - 1) + [True]


def test_slots_between_two_jobs_are_not_idle() -> None:
    assert not any(looks(Hearing(), *[{"a"}, {"b"}] * 10))


def test_nothing_that_waits_means_nothing() -> None:
    assert not any(looks(Hearing(), {"a"}, {"a"}, set(), {"a"}, {"a"}, set()))


def test_who_hears_a_hint_is_not_deaf() -> None:
    hearing = Hearing()
    for _ in range(5):
        assert not any(looks(hearing, *[{"a"}] * (LOOKS - 1)))
        hearing.hear()
