"""Features of erased images leave every pack, and nothing else does."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.features import cache as module
from core.features.cache import FeatureCache, Key, key_of
from core.features.forgetting import OLD_SECONDS, count_rows, forget

NUMBERS = st.sets(st.integers(0, 12), max_size=8)


def sha256(number: int) -> str:
    return hashlib.sha256(bytes([number])).hexdigest()


def row(number: int, dimension: int) -> np.ndarray:
    return np.random.default_rng(number).random(dimension, dtype=np.float32)


def write(root: Path, backbone: str, numbers: list[int], dimension: int = 5) -> FeatureCache:
    cache = FeatureCache(root / backbone, dimension, lambda _: None)
    keys = [key_of(sha256(n), view) for n in numbers for view in (0, 3)]
    rows = [row(n, dimension) for n in numbers for _ in (0, 3)]
    if keys:
        cache.write(keys, np.stack(rows))
    return cache


def load(cache: FeatureCache, numbers: range) -> dict[Key, np.ndarray]:
    return dict(cache.load([key_of(sha256(n), view) for n in numbers for view in (0, 3)]))


@settings(max_examples=60, deadline=None)
@given(st.lists(NUMBERS, max_size=4), st.lists(NUMBERS, max_size=3), NUMBERS)
def test_exactly_the_wanted_rows_go(
    first: list[set[int]], second: list[set[int]], gone: set[int]
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for numbers in first:
            write(root, "a", sorted(numbers))
        for numbers in second:
            write(root, "b", sorted(numbers), dimension=3)
        wanted = {sha256(n) for n in gone}
        rows = 2 * sum(len(numbers & gone) for numbers in first + second)
        assert count_rows(root, wanted) == rows
        assert forget(root, wanted) == rows
        assert count_rows(root, wanted) == 0
        for folder, written, dimension in (("a", first, 5), ("b", second, 3)):
            cache = FeatureCache(root / folder, dimension, lambda _: None)
            left = {n for numbers in written for n in numbers} - gone
            found = load(cache, range(13))
            assert set(found) == {key_of(sha256(n), view) for n in left for view in (0, 3)}
            for number in left:
                for view in (0, 3):
                    features = found[key_of(sha256(number), view)]
                    assert np.array_equal(features, row(number, dimension))
        data = b"".join(p.read_bytes() for p in root.rglob("*.pack"))
        assert not any(bytes.fromhex(one) in data for one in wanted)


def test_what_cannot_be_read_goes_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path, "a", [1])
    (pack,) = (tmp_path / "a").glob("*.pack")
    pack.write_bytes(pack.read_bytes()[:-3])
    forget(tmp_path, {sha256(2)})
    assert list(tmp_path.rglob("*.pack")) == []


def test_unfinished_packs_of_dead_writers_go(tmp_path: Path) -> None:
    write(tmp_path, "a", [1])
    old, new = tmp_path / "a" / ".old.1.tmp", tmp_path / "a" / ".new.2.tmp"
    for path in (old, new):
        path.write_bytes(b"rows")
    long_ago = old.stat().st_mtime - OLD_SECONDS - 1
    os.utime(old, (long_ago, long_ago))
    forget(tmp_path, {sha256(2)})
    assert (old.exists(), new.exists()) == (False, True)


def test_nothing_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert forget(tmp_path / "features", {sha256(1)}) == 0


def _merge(folder: Path, begin: object, started: object) -> None:
    begin.wait(30)  # type: ignore[attr-defined]
    started.set()  # type: ignore[attr-defined]
    module.MERGE_COUNT = 2
    FeatureCache(folder, 5, lambda _: None).merge_small()


def test_a_merge_waits_for_the_one_who_forgets(tmp_path: Path) -> None:
    """Else it would write rows anew that it had read before."""
    for number in range(4):
        cache = write(tmp_path, "a", [number])
    context = multiprocessing.get_context("fork")
    begin, started = context.Event(), context.Event()
    other = context.Process(target=_merge, args=(cache.folder, begin, started))
    other.start()  # before the lock is taken: a fork would share it
    with cache._alone():
        begin.set()
        assert started.wait(30)
        other.join(0.3)
        assert other.is_alive()
        assert len(list(cache.folder.glob("*.pack"))) == 4
    other.join(30)
    assert other.exitcode == 0
    assert len(list(cache.folder.glob("*.pack"))) == 3  # two became one
    forget(tmp_path, {sha256(2)})
    assert count_rows(tmp_path, {sha256(n) for n in range(4)}) == 6
