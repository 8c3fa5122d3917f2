"""The Range header: what is a range, and which bytes it means."""

from __future__ import annotations

import pytest

from api.byte_ranges import ByteRange, byte_range


@pytest.mark.parametrize(
    ("header", "bounds"),
    [
        ("bytes=0-9", (0, 10)),
        ("bytes=5-", (5, 100)),
        (" bytes=-30 ", (70, 100)),
        ("bytes=-300", (0, 100)),
        ("bytes=90-500", (90, 100)),
    ],
)
def test_a_range_within_a_file(header: str, bounds: tuple[int, int]) -> None:
    wanted = byte_range(header)
    assert wanted is not None
    assert wanted.bounds(100) == bounds


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=-0", "bytes=200-300"])
def test_a_range_beyond_a_file_is_empty(header: str) -> None:
    start, stop = (byte_range(header) or ByteRange()).bounds(100)
    assert start >= stop


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes=",
        "bytes=-",
        "bytes=9-3",
        "bytes=0-1,3-4",
        "lines=0-1",
        "bytes=1" + "0" * 18 + "-",
    ],
)
def test_what_is_no_range_is_ignored(header: str | None) -> None:
    assert byte_range(header) is None
