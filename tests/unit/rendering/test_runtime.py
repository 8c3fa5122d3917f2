"""Tiles when memory is full, and where kernels are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import OutOfMemory, StorageFull
from core.rendering import runtime


@settings(deadline=None)
@given(rows=st.integers(1, 500), fits=st.integers(1, 500), first=st.integers(0, 50), data=st.data())
def test_tiles_cover_all_rows_in_order_and_are_as_large_as_fits(
    rows: int, fits: int, first: int, data: st.DataObject
) -> None:
    smallest = data.draw(st.integers(1, fits))

    def render(top: int, bottom: int) -> tuple[int, int]:
        if bottom - top > fits:
            raise RuntimeError("Failed to allocate 123 bytes on device 'cuda:0'")
        return top, bottom

    done = runtime.in_tiles(first, first + rows, smallest, render)
    assert [top for top, _ in done] == [first, *(bottom for _, bottom in done[:-1])]
    assert done[-1][1] == first + rows
    assert len(done) == 1 or rows > fits


def test_a_full_memory_ends_with_a_typed_error() -> None:
    tried: list[int] = []

    def render(top: int, bottom: int) -> None:
        tried.append(bottom - top)
        raise MemoryError("no room")

    with pytest.raises(OutOfMemory, match="smaller images"):
        runtime.in_tiles(0, 100, 16, render)
    assert tried == [100, 50, 25, 12]


def test_other_errors_are_not_taken_for_a_full_memory() -> None:
    def render(top: int, bottom: int) -> None:
        raise RuntimeError("kernel has a fault")

    with pytest.raises(RuntimeError, match="fault"):
        runtime.in_tiles(0, 100, 16, render)


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFull, match="WARP_CACHE_PATH"):
        runtime.start(tmp_path / "file" / "kernels")
