"""What is taken is written once, in order, and nothing is written after the end."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.write_behind import SMALL_BYTES, WriteBehind
from core.services.uploads import Buffer

PIECES = st.lists(st.sampled_from([1, 7, SMALL_BYTES - 1, SMALL_BYTES, 3 * SMALL_BYTES]))


@given(sizes=PIECES, batch=st.sampled_from([1, 1000, 4 * SMALL_BYTES]))
def test_all_is_written_in_order(sizes: list[int], batch: int) -> None:
    pieces = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    batches: list[list[Buffer]] = []

    async def go() -> None:
        async with WriteBehind(batches.append, batch) as body:
            for piece in pieces:
                await body.take(piece)
            await body.take(b"")
            await body.flush()

    asyncio.run(go())
    assert b"".join(b"".join(one) for one in batches) == b"".join(pieces)
    assert all(sum(map(len, one)) >= batch for one in batches[:-1])
    assert all(piece for one in batches for piece in one)


def test_many_small_pieces_are_few_when_written() -> None:
    batches: list[list[Buffer]] = []

    async def go() -> None:
        async with WriteBehind(batches.append, SMALL_BYTES * 4) as body:
            for _ in range(SMALL_BYTES * 4):
                await body.take(b"x")

    asyncio.run(go())
    assert [len(one) for one in batches] == [4]


def test_one_batch_is_written_while_the_next_fills() -> None:
    begun, go_on, sizes = threading.Event(), threading.Event(), list[int]()

    def write(pieces: list[Buffer]) -> None:
        begun.set()
        assert go_on.wait(15)
        sizes.append(sum(map(len, pieces)))

    async def go() -> None:
        async with WriteBehind(write, 10) as body:
            await body.take(b"x" * 10)
            await asyncio.to_thread(begun.wait, 15)
            await body.take(b"y" * 9)  # does not wait
            late = asyncio.create_task(body.take(b"z"))
            await asyncio.sleep(0.05)
            assert not late.done()  # a batch behind: now it does
            go_on.set()
            await late
            await body.flush()

    asyncio.run(go())
    assert sizes == [10, 10]


def test_an_error_of_the_thread_comes_out() -> None:
    def refuse(_: list[Buffer]) -> None:
        raise OSError("full")

    async def go() -> None:
        async with WriteBehind(refuse, 1) as body:
            await body.take(b"x")
            with pytest.raises(OSError, match="full"):
                await body.flush()

    asyncio.run(go())


def test_leaving_waits_for_the_thread() -> None:
    done = threading.Event()

    def write(_: list[Buffer]) -> None:
        threading.Event().wait(0.1)
        done.set()

    async def go() -> None:
        with pytest.raises(LookupError):
            async with WriteBehind(write, 1) as body:
                await body.take(b"x")
                raise LookupError
        assert done.is_set()

    asyncio.run(go())
