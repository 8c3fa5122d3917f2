from __future__ import annotations

import os
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from core.storage.caches import ABANDONED_SECONDS, prune

NOW = time.time()
DAY = 86400.0


def fill(folder: Path, ages: dict[str, float], size: int = 10) -> None:
    for name, days in ages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        os.utime(path, (NOW - days * DAY, NOW - days * DAY))


def names(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert prune(tmp_path / "none", NOW, seconds=1, size=1).files == 0


def test_without_limits_everything_stays_but_what_was_abandoned(tmp_path: Path) -> None:
    fill(tmp_path, {"a/old": 900, ".a.tmp": ABANDONED_SECONDS / DAY + 1, ".b.tmp": 0.5})
    assert prune(tmp_path, NOW).files == 1
    assert names(tmp_path) == {"a/old", ".b.tmp"}


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    fill(tmp_path, {"a/old": 91, "b/young": 89})
    found = prune(tmp_path, NOW, seconds=90 * DAY)
    assert (found.files, found.bytes, found.left_bytes) == (1, 10, 10)
    assert names(tmp_path) == {"b/young"}


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(1, 100))
def test_the_oldest_go_until_the_rest_fits(tmp_path_factory, ages: list[int], size: int) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("cache")
    fill(folder, {f"{n:02}": float(age) for n, age in enumerate(ages)})
    found = prune(folder, NOW, size=size)
    left = names(folder)
    assert found.left_bytes == 10 * len(left) <= size
    assert len(left) == min(len(ages), size // 10)
    oldest_left = max((ages[int(n)] for n in left), default=0)
    assert all(age >= oldest_left for n, age in enumerate(ages) if f"{n:02}" not in left)
