"""Computes features: decodes blobs and runs the network, on as many threads as a job may use.

On a CPU each thread decodes and runs slices of its own, with torch on one thread: nobody waits for
the others after every layer, which costs little on a quiet host and most of the time on a busy one.
On a GPU the threads decode ahead while one runs batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.features.cache import FeatureCache, Key
from core.features.contract import Backbone, Weights
from core.features.squares import square_of

if TYPE_CHECKING:
    from core.features.network import Network

FLUSH_ROWS = 1024
"""Computed features are written to the cache in packs of this many rows."""
GPU_DECODERS = 8
"""More threads than this do not feed one GPU faster."""

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")
Part = tuple[Sequence[Key], NDArray[np.float32]]


class FeatureContext(Protocol):
    """The part of a job's context that extraction needs."""

    @property
    def threads(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def data_dir(self) -> Path: ...
    @property
    def weights_dir(self) -> Path: ...

    def progress(self, phase: str, current: float = 0, total: float = 1) -> None: ...
    def log(self, message: str) -> None: ...
    def blob(self, sha256: str) -> Path: ...


class Computation:
    """Computes what the cache does not have, and adds it there (cache None: nowhere)."""

    def __init__(
        self,
        ctx: FeatureContext,
        spec: Backbone,
        weights: Weights,
        batch_size: int,
        cache: FeatureCache | None,
    ) -> None:
        self._ctx = ctx
        self._spec = spec
        self._weights = weights
        self._batch_size = batch_size
        self._cache = cache

    def run(self, keys: Sequence[Key]) -> Iterator[tuple[Key, NDArray[np.float32]]]:
        """Yield the features of each key, in order; what was computed is cached also on errors."""
        waiting: list[Part] = []
        try:
            for part in self._parts(keys):
                waiting.append(part)
                if sum(len(batch) for batch, _ in waiting) >= FLUSH_ROWS:
                    full, waiting = waiting, []
                    self._flush(full)
                yield from zip(*part, strict=True)
        finally:
            self._flush(waiting)

    def _flush(self, parts: Sequence[Part]) -> None:
        if self._cache is not None and parts:
            keys = [key for batch, _ in parts for key in batch]
            self._cache.write(keys, np.concatenate([computed for _, computed in parts]))

    def _parts(self, keys: Sequence[Key]) -> Iterator[Part]:
        import cv2

        from core.features.network import Network

        cv2.setNumThreads(1)  # images are decoded in parallel, each by one thread
        network = Network(self._spec, self._weights, self._ctx.device)
        if network.device.type == "cpu":
            return self._on_cpu(network, keys)
        return self._on_gpu(network, keys)

    def _on_cpu(self, network: Network, keys: Sequence[Key]) -> Iterator[Part]:
        import torch

        from core.features.network import CPU_SLICE

        def compute(batch: Sequence[Key]) -> Part:
            return batch, network(np.stack([self._square(key) for key in batch]))

        threads = self._ctx.threads
        slices = [keys[start : start + CPU_SLICE] for start in range(0, len(keys), CPU_SLICE)]
        # torch keeps its number of threads per calling thread: each one of the pool must say it
        with ThreadPoolExecutor(threads, "features", torch.set_num_threads, (1,)) as pool:
            yield from _ahead(pool, compute, slices, 2 * threads)

    def _on_gpu(self, network: Network, keys: Sequence[Key]) -> Iterator[Part]:
        with ThreadPoolExecutor(min(GPU_DECODERS, self._ctx.threads), "decode") as pool:
            squares = _ahead(pool, self._square, keys, 2 * self._batch_size)
            for start in range(0, len(keys), self._batch_size):
                batch = keys[start : start + self._batch_size]
                yield batch, network(np.stack([next(squares) for _ in batch]))

    def _square(self, key: Key) -> NDArray[np.uint8]:
        return square_of(self._ctx.blob, key, self._spec.size)


def _ahead(
    pool: ThreadPoolExecutor,
    function: Callable[[Argument], Answer],
    arguments: Iterable[Argument],
    count: int,
) -> Iterator[Answer]:
    """Yield ``function`` of each argument in order, with at most ``count`` begun beforehand."""
    begun: deque[Future[Answer]] = deque()
    try:
        for argument in arguments:
            begun.append(pool.submit(function, argument))
            if len(begun) > count:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()
