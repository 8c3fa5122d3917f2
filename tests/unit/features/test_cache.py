"""Packs give back what was written, or nothing: never wrong data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import StorageFull
from core.features import cache as module
from core.features.cache import FeatureCache, Key, key_of

D = 5


def _key(number: int, view: int = 0) -> Key:
    return key_of(f"{number:064x}", view)


def _row(number: int) -> np.ndarray:
    return np.random.default_rng(number).random(D, dtype=np.float32)


def _cache(folder: Path, logged: list[str] | None = None) -> FeatureCache:
    return FeatureCache(folder, D, (logged if logged is not None else []).append)


def _write(folder: Path, numbers: list[int]) -> None:
    _cache(folder).write([_key(n) for n in numbers], np.stack([_row(n) for n in numbers]))


def test_what_was_written_is_loaded(tmp_path: Path) -> None:
    _write(tmp_path, [1, 2])
    _write(tmp_path, [3])
    found = dict(_cache(tmp_path).load([_key(1), _key(3), _key(4)]))
    assert set(found) == {_key(1), _key(3)}
    assert np.array_equal(found[_key(3)], _row(3))


def test_views_are_kept_apart(tmp_path: Path) -> None:
    _cache(tmp_path).write([_key(1, 2)], _row(9)[np.newaxis])
    assert dict(_cache(tmp_path).load([_key(1, 0)])) == {}
    assert np.array_equal(dict(_cache(tmp_path).load([_key(1, 2)]))[_key(1, 2)], _row(9))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_pack_never_gives_wrong_data(data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, [1, 2, 3])
        (pack,) = folder.glob("*.pack")
        raw = bytearray(pack.read_bytes())
        if data.draw(st.booleans(), label="truncate"):
            raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
        else:
            place = data.draw(st.integers(0, len(raw) - 1))
            raw[place] ^= 1 << data.draw(st.integers(0, 7))
        pack.write_bytes(raw)
        for key, row in _cache(folder).load([_key(n) for n in range(5)]):
            number = int.from_bytes(key[:32], "big")
            assert np.array_equal(row, _row(number))


def test_a_damaged_row_is_found_in_another_pack(tmp_path: Path) -> None:
    logged: list[str] = []
    _write(tmp_path, [1, 2])
    (pack,) = tmp_path.glob("*.pack")
    raw = bytearray(pack.read_bytes())
    raw[-1] ^= 1  # the last value of row 2
    pack.write_bytes(raw)
    _write(tmp_path, [2])
    found = dict(_cache(tmp_path, logged).load([_key(1), _key(2)]))
    assert np.array_equal(found[_key(2)], _row(2))
    assert np.array_equal(found[_key(1)], _row(1))
    assert "checksum" in logged[0]


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 70000])
def test_junk_is_logged_and_ignored(tmp_path: Path, junk: bytes) -> None:
    logged: list[str] = []
    (tmp_path / "0.pack").write_bytes(junk)
    _write(tmp_path, [7])
    assert set(dict(_cache(tmp_path, logged).load([_key(7)]))) == {_key(7)}
    assert len(logged) == 1


def test_unfinished_files_are_not_packs(tmp_path: Path) -> None:
    _write(tmp_path, [1])
    (pack,) = tmp_path.glob("*.pack")
    pack.rename(tmp_path / f".{pack.stem}.1.tmp")
    assert dict(_cache(tmp_path).load([_key(1)])) == {}


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageFull):
        _write(tmp_path, [1])
    assert list(tmp_path.iterdir()) == []


def test_many_small_packs_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MERGE_COUNT", 6)
    for number in range(6):
        _write(tmp_path, [number])
    _cache(tmp_path).merge_small()
    assert len(list(tmp_path.glob("*.pack"))) == 1
    assert not list(tmp_path.glob(".*.tmp"))
    found = dict(_cache(tmp_path).load([_key(n) for n in range(6)]))
    assert all(np.array_equal(found[_key(n)], _row(n)) for n in range(6))


def test_packs_that_vanish_while_reading_count_as_absent(tmp_path: Path) -> None:
    _write(tmp_path, [1])
    cache = _cache(tmp_path)
    places = cache.find([_key(1)])
    for pack in tmp_path.glob("*.pack"):
        pack.unlink()
    assert dict(cache.read(places)) == {}
