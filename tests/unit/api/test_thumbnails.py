"""Processes that make thumbnails belong to one thread at a time, whatever becomes of requests."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from api.thumbnails import ThumbnailMaker
from core.config import Settings
from core.errors import InvalidInput, Unavailable
from core.ingest.decoder import DecoderLimits
from core.services.thumbnails import limits
from core.storage.blobs import BlobStore

SECONDS = 20.0


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


@pytest.fixture
def maker() -> Iterator[ThumbnailMaker]:
    """A maker with one process."""
    made = ThumbnailMaker(Settings(thumbnail_processes=1))
    yield made
    made.close()


def image(store: BlobStore, number: int) -> str:
    picture = io.BytesIO()
    Image.new("RGB", (90 + number, 60)).save(picture, "PNG")
    return store.add(picture.getvalue())


async def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def stopped_and_cancelled(maker: ThumbnailMaker, store: BlobStore) -> int:
    """Return the process, stopped at the picture of a request that was cancelled meanwhile."""
    await maker.make("a", store, image(store, 1), 64)
    pid = maker._idle[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    request = asyncio.create_task(maker.make("a", store, image(store, 2), 64))
    await until(lambda: not maker._idle)
    request.cancel()  # as uvicorn does it at the end
    with pytest.raises(asyncio.CancelledError):
        await request
    return pid


def test_a_process_ends_after_the_picture_that_it_is_at(
    maker: ThumbnailMaker, store: BlobStore
) -> None:
    async def go() -> None:
        pid = await stopped_and_cancelled(maker, store)
        maker.close()
        assert lives(pid)
        os.kill(pid, signal.SIGCONT)
        await until(lambda: not lives(pid))
        assert store.thumbnail(image(store, 2), 64).is_file()

    asyncio.run(go())


def test_who_comes_after_a_cancelled_request_waits_for_its_process(
    maker: ThumbnailMaker, store: BlobStore
) -> None:
    async def go() -> None:
        pid = await stopped_and_cancelled(maker, store)
        next_one = asyncio.create_task(maker.make("a", store, image(store, 3), 64))
        await asyncio.wait([next_one], timeout=0.1)
        os.kill(pid, signal.SIGCONT)
        assert (await next_one).is_file()
        assert maker._idle[0].pid == pid

    asyncio.run(go())


def test_nobody_waits_for_a_process_that_has_ended(maker: ThumbnailMaker, store: BlobStore) -> None:
    async def go() -> None:
        pid = await stopped_and_cancelled(maker, store)
        waiting = asyncio.create_task(maker.make("a", store, image(store, 3), 64))
        await asyncio.wait([waiting], timeout=0.1)
        maker.close()
        for request in (waiting, maker.make("b", store, image(store, 4), 64)):
            with pytest.raises(Unavailable) as caught:
                await request
            assert (caught.value.code, caught.value.retry_after) == ("restarting", 2)
        os.kill(pid, signal.SIGCONT)
        await until(lambda: not lives(pid))

    asyncio.run(go())


def test_what_cannot_be_shrunk_is_not_tried_again_at_once(
    maker: ThumbnailMaker, store: BlobStore
) -> None:
    broken = store.add(b"\xff\xd8\xff nothing")

    async def go() -> None:
        for _ in range(2):
            with pytest.raises(InvalidInput) as caught:
                await maker.make("a", store, broken, 64)
            assert caught.value.code == "no_thumbnail"
            assert caught.value.extra == {"reason": "unreadable_image"}
            maker.close()  # nobody could make it now

    asyncio.run(go())


def test_a_thumbnail_may_take_little_time() -> None:
    assert limits(Settings()) == DecoderLimits(Settings().max_decoder_bytes, 10, 15.0)
    less = Settings(max_decoder_bytes=7, max_decoder_cpu_seconds=3, max_decoder_seconds=2.0)
    assert limits(less) == DecoderLimits(7, 3, 2.0)
