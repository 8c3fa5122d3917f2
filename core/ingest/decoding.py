"""Foreign files through decoder processes: answers in the order of the files, whoever breaks.

A file that ends its process is looked at once more, alone in a fresh one, because what came before
it may be to blame; if that ends too, the file is rejected. So what is rejected does not depend on
the number of processes. Files that ask for it (large ones) are looked at alone from the start, one
at a time, so that memory is needed for one of them.
"""

from __future__ import annotations

import json
import math
import selectors
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from core.ingest.decoder import (
    BrokenAnswer,
    Cause,
    Decoder,
    DecoderLimits,
    Frame,
    Work,
    forked,
    rejected,
)
from core.ingest.rejects import MAX_DETAIL, Rejected

_BATCH_FILES = 16
_BATCH_BYTES = 4 * 1024**2
_WINDOW_FILES = 64
"""Files in flight a process."""
_WINDOW_BYTES = 256 * 1024**2
_TICK_SECONDS = 0.5


@dataclass(slots=True)
class Task:
    """A file to look at: what the decoder is told of it, its bytes, and then the outcome."""

    name: str
    head: bytes
    body: bytes
    alone: bool = False
    outcome: Frame | Rejected | None = None

    @property
    def frame(self) -> Frame:
        return Frame(b"s" if self.alone else b"n", self.head, self.body)


class Decoders:
    """A few decoder processes; one thread hands out files and collects answers.

    ``begin`` is called once in each process and returns what it does with a file.
    ``tick`` is called at least every half second while answers are waited for; what it raises ends
    the work. No process outlives the ``with`` block.
    """

    def __init__(
        self,
        begin: Callable[[], Work],
        processes: int,
        limits: DecoderLimits,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._begin = begin
        self._most = max(1, processes)
        self._limits = limits
        self._tick = tick
        self._at_work: dict[Decoder, deque[Task]] = {}
        self._ready: deque[Task] = deque()
        self._alone: deque[Task] = deque()
        self._single: Decoder | None = None
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for decoder in self._at_work:  # all at once: what they held takes time to free
            decoder.kill()
        for decoder in list(self._at_work):
            self._end(decoder)
        self._selector.close()

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Frame | Rejected]]:
        """Yield all tasks in their order, each with the decoder's answer or the reason of none."""
        source = iter(tasks)
        flying: deque[Task] = deque()
        size, more = 0, True
        while True:
            while more and not self._is_batch() and self._has_room(len(flying), size):
                read = next(source, None)
                more = read is not None
                if read is not None:
                    flying.append(read)
                    size += len(read.body)
                    self._take(read)
            if not flying:
                return
            # before each answer is passed on: storing it takes time in which nobody should idle
            self._hand_out()
            self._listen(wait=flying[0].outcome is None)
            outcome = flying[0].outcome
            if outcome is not None:
                task = flying.popleft()
                size -= len(task.body)
                yield task, outcome

    def _has_room(self, files: int, size: int) -> bool:
        return files < _WINDOW_FILES * self._most and size < _WINDOW_BYTES

    def _take(self, task: Task) -> None:
        if task.outcome is None:
            (self._alone if task.alone else self._ready).append(task)

    def _is_batch(self) -> bool:
        ready = self._ready
        return len(ready) >= _BATCH_FILES or sum(len(t.body) for t in ready) >= _BATCH_BYTES

    def _batch(self) -> list[Task]:
        """Small files go out several at a time: a hand-over costs as much as one of them."""
        batch = [self._ready.popleft()]
        size = len(batch[0].body)
        while self._ready and len(batch) < _BATCH_FILES:
            size += len(self._ready[0].body)
            if size > _BATCH_BYTES:
                break
            batch.append(self._ready.popleft())
        return batch

    def _hand_out(self) -> None:
        """Give work to whoever has none, starting processes up to their number."""
        idle = [decoder for decoder, tasks in self._at_work.items() if not tasks]
        if self._alone and self._single is None:
            if len(self._at_work) == self._most and idle:
                self._end(idle.pop())
            if len(self._at_work) < self._most:
                self._single = self._start()
                self._give(self._single, [self._alone.popleft()])
        while self._ready and (idle or len(self._at_work) < self._most):
            self._give(idle.pop() if idle else self._start(), self._batch())

    def _give(self, decoder: Decoder, batch: list[Task]) -> None:
        self._at_work[decoder].extend(batch)
        decoder.send([task.frame for task in batch])

    def _listen(self, *, wait: bool) -> None:
        """Collect the answers that are there, or wait for some."""
        nearest = min((d.deadline for d in self._at_work), default=0.0) - time.monotonic()
        for key, _ in self._selector.select(max(0.0, min(_TICK_SECONDS, nearest)) if wait else 0.0):
            if isinstance(key.fileobj, Decoder):
                self._hear(key.fileobj)
        now = time.monotonic()
        for decoder in self._at_work:
            if now > decoder.deadline:
                decoder.overdue()
        if wait:
            self._tick()

    def _hear(self, decoder: Decoder) -> None:
        tasks = self._at_work[decoder]
        try:
            for frame in decoder.receive():
                self._settle(tasks, frame)
        except (EOFError, BrokenAnswer):
            self._bury(decoder)
            return
        if not tasks:
            decoder.deadline = math.inf
            if decoder is self._single:
                self._end(decoder)

    def _settle(self, tasks: deque[Task], frame: Frame) -> None:
        """Note what a decoder says of the first file that it still owes an answer for."""
        if not tasks:
            raise BrokenAnswer
        task = tasks[0]
        if frame.kind == b"w" and not task.alone:
            task.alone = True
            self._alone.append(task)
        elif frame.kind == b"r":
            task.outcome = refusal(frame)
        elif frame.kind == b"a":
            task.outcome = frame
        else:
            raise BrokenAnswer
        tasks.popleft()

    def _bury(self, decoder: Decoder) -> None:
        """A decoder has died: blame the file that it was at, hand the others on."""
        tasks = self._at_work[decoder]
        cause, detail = self._end(decoder)
        if not tasks:
            return
        blamed = tasks.popleft()
        if blamed.alone or cause == "time":
            blamed.outcome = rejected(cause, detail)
        else:
            blamed.alone = True
            self._alone.append(blamed)
        self._ready.extendleft(reversed(tasks))

    def _start(self) -> Decoder:
        decoder = Decoder(forked(self._begin), self._limits)
        self._at_work[decoder] = deque()
        self._selector.register(decoder, selectors.EVENT_READ)
        return decoder

    def _end(self, decoder: Decoder) -> tuple[Cause, str]:
        self._selector.unregister(decoder)
        del self._at_work[decoder]
        if decoder is self._single:
            self._single = None
        return decoder.end()


def refused(reason: Rejected) -> Frame:
    """Return what a decoder says of a file that it does not take."""
    return Frame(b"r", json.dumps([reason.code, reason.detail[:MAX_DETAIL]]).encode())


def refusal(frame: Frame) -> Rejected:
    """Return what :func:`refused` was told; BrokenAnswer when it was not that."""
    try:
        code, detail = json.loads(frame.head)
    except (ValueError, TypeError, RecursionError) as error:
        raise BrokenAnswer from error
    return Rejected(str(code), str(detail))
