"""A body that goes to a thread by batches, while the next one arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from starlette.concurrency import run_in_threadpool

from core.services.uploads import Buffer

SMALL_BYTES = 16 * 1024
"""Pieces below it are joined: a body may come in a million of a byte each."""


class WriteBehind:
    """Hands what is taken to ``write``, in order, in a thread, ``batch_bytes`` or more at once.

    At most one batch is being written while another fills, so memory stays at two of them. What
    ``write`` raises comes out of the next :meth:`take` or :meth:`flush`. Leaving the block waits
    for the thread, so that nobody writes afterwards, unless the task is cancelled a second time.
    """

    def __init__(self, write: Callable[[list[Buffer]], None], batch_bytes: int) -> None:
        self._write = write
        self._most = batch_bytes
        self._batch: list[Buffer] = []
        self._size = 0
        self._writing: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writing is not None:
            await asyncio.wait([self._writing])
            if not self._writing.cancelled():
                self._writing.exception()  # whoever leaves early has an error of their own

    async def take(self, data: bytes) -> None:
        """Keep bytes for the thread; wait for it when it lies a batch behind."""
        if not data:
            return
        if len(data) >= SMALL_BYTES:
            self._batch.append(data)  # as it came: copying costs as much as receiving
        else:
            self._add_small(data)
        self._size += len(data)
        if self._size >= self._most:
            await self._hand_over()

    def _add_small(self, data: bytes) -> None:
        last = self._batch[-1] if self._batch else None
        if isinstance(last, bytearray) and len(last) < SMALL_BYTES:
            last += data
        else:
            self._batch.append(bytearray(data))

    async def flush(self) -> None:
        """Wait until all that was taken has been written."""
        if self._batch:
            await self._hand_over()
        await self._written()

    async def _hand_over(self) -> None:
        await self._written()
        batch, self._batch, self._size = self._batch, [], 0
        self._writing = asyncio.ensure_future(run_in_threadpool(self._write, batch))

    async def _written(self) -> None:
        if self._writing is not None:
            await asyncio.shield(self._writing)
            self._writing = None
