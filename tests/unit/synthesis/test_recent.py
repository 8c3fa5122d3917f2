"""The last few of what was found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from core.synthesis.recent import Recent


def test_what_was_asked_for_longest_ago_is_forgotten() -> None:
    found: list[int] = []
    recent: Recent[int, int] = Recent(2)

    def ask(key: int) -> int:
        return recent.get(key, lambda: found.append(key) or key * 10)  # type: ignore[func-returns-value]

    assert [ask(key) for key in (1, 2, 1, 3, 1, 2)] == [10, 20, 10, 30, 10, 20]
    assert found == [1, 2, 3, 2]


def test_a_failure_is_not_kept() -> None:
    recent: Recent[str, int] = Recent(2)
    with pytest.raises(ZeroDivisionError):
        recent.get("a", lambda: 1 // 0)
    assert recent.get("a", lambda: 1) == 1


def test_threads_get_the_value_of_their_key() -> None:
    recent: Recent[int, int] = Recent(3)
    with ThreadPoolExecutor(4) as pool:
        keys = [n % 7 for n in range(400)]
        assert list(pool.map(lambda key: recent.get(key, lambda: key), keys)) == keys
