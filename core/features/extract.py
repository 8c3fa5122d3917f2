"""Features of many images: cached, decoded in threads while the network runs."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInput
from core.features import preprocess
from core.features.cache import FeatureCache, Key, key_of
from core.features.contract import BACKBONES, Backbone, Weights

if TYPE_CHECKING:
    from core.features.network import Network

CODE_VERSION = "1"
"""Enters the cache key: raise it when the same pixels would give other features."""
FLUSH_ROWS = 1024
"""Computed features are written to the cache in packs of this many rows."""
DECODE_THREADS = 4


@dataclass(frozen=True, slots=True)
class FeatureItem:
    """A stored image in one of its 8 views (0: as stored, see preprocess.dihedral)."""

    sha256: str
    dihedral: int = 0


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Features in the order of the items: float32, n x dimension.

    computed and cached count different images: what the network saw and what was on the volume.
    """

    matrix: NDArray[np.float32]
    backbone_sha256: str
    computed: int
    cached: int


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


def features(
    ctx: FeatureContext,
    items: Sequence[FeatureItem],
    backbone: str,
    *,
    batch_size: int = 32,
    phase: str = "features",
    span: tuple[float, float] = (0.0, 1.0),
    persist: bool = True,
) -> FeatureTable:
    """Return the features of ``items``; only what is not in the cache is computed.

    batch_size: images that are decoded ahead, and on a GPU run together (see Network.batch). span:
    the part of the progress bar that this fills. persist=False leaves the cache as it is.
    Errors: UnknownName, WeightsMissing, OutOfMemory, StorageFull, NotFound (a blob), InvalidInput
    (a blob that is no image).
    """
    spec = BACKBONES.get(backbone, pointer="/backbone")
    weights = spec.find(ctx.weights_dir)
    cache = cache_for(ctx, spec, weights)
    rows = _rows_by_key(items)
    matrix = np.empty((len(items), spec.dimension), dtype=np.float32)
    report = _reporter(ctx, phase, span, len(rows))
    report(0)
    missing = dict.fromkeys(rows)
    for key, values in cache.load(rows):
        matrix[rows[key]] = values
        del missing[key]
    cached = len(rows) - len(missing)
    report(cached)
    if missing:
        compute = _Computation(ctx, spec, weights, batch_size, cache if persist else None)
        for done, (key, values) in enumerate(compute.run(list(missing)), start=cached + 1):
            matrix[rows[key]] = values
            report(done)
        if persist:
            cache.merge_small()
    return FeatureTable(matrix, weights.sha256, computed=len(missing), cached=cached)


def missing_items(
    ctx: FeatureContext, items: Sequence[FeatureItem], backbone: str
) -> list[FeatureItem]:
    """Return the different items that are not in the cache, in their order; needs no torch."""
    spec = BACKBONES.get(backbone, pointer="/backbone")
    cache = cache_for(ctx, spec, spec.find(ctx.weights_dir))
    keyed = {key_of(item.sha256, item.dihedral): item for item in items}
    found = cache.find(keyed)
    return [item for key, item in keyed.items() if key not in found]


def cache_for(ctx: FeatureContext, spec: Backbone, weights: Weights) -> FeatureCache:
    """Return the cache of this backbone with these weights, this preprocessing and this code.

    The number format is not part of its name: bfloat16 agrees with float32 at cosine >= 0.999, and
    shards of one job may run on unlike hosts.
    """
    facts = (weights.sha256, spec.size, spec.mean, spec.std, preprocess.VERSION, CODE_VERSION)
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    return FeatureCache(
        ctx.data_dir / "features" / f"{spec.name}-{digest}", spec.dimension, ctx.log
    )


def _rows_by_key(items: Sequence[FeatureItem]) -> dict[Key, list[int]]:
    rows: dict[Key, list[int]] = {}
    for row, item in enumerate(items):
        rows.setdefault(key_of(item.sha256, item.dihedral), []).append(row)
    return rows


def _reporter(
    ctx: FeatureContext, phase: str, span: tuple[float, float], total: int
) -> Callable[[int], None]:
    """Return a function that reports how many of ``total`` images are done."""
    low, high = span

    def report(done: int) -> None:
        if span == (0.0, 1.0):
            ctx.progress(phase, done, max(total, 1))
        else:
            ctx.progress(phase, low + (high - low) * done / max(total, 1), 1.0)

    return report


class _Computation:
    """Decodes and runs what the cache does not have."""

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
        network = self._network()
        size = network.batch(self._batch_size)
        waiting_keys: list[Key] = []
        waiting: list[NDArray[np.float32]] = []
        try:
            for batch, squares in self._squares(keys, size):
                computed = network(squares)
                waiting_keys += batch
                waiting.append(computed)
                if len(waiting_keys) >= FLUSH_ROWS:
                    self._flush(waiting_keys, waiting)
                    waiting_keys, waiting = [], []
                yield from zip(batch, computed, strict=True)
        finally:
            self._flush(waiting_keys, waiting)

    def _network(self) -> Network:
        import cv2
        import torch

        from core.features.network import Network

        torch.set_num_threads(self._ctx.threads)
        cv2.setNumThreads(1)  # images are decoded in parallel, each by one thread
        return Network(self._spec, self._weights, self._ctx.device)

    def _flush(self, keys: Sequence[Key], parts: Sequence[NDArray[np.float32]]) -> None:
        if self._cache is not None and keys:
            self._cache.write(keys, np.concatenate(parts))

    def _squares(
        self, keys: Sequence[Key], size: int
    ) -> Iterator[tuple[list[Key], NDArray[np.uint8]]]:
        """Yield batches of decoded squares; the next batch decodes while one is used."""
        batches = [list(keys[start : start + size]) for start in range(0, len(keys), size)]
        queue: deque[tuple[list[Key], list[Future[NDArray[np.uint8]]]]] = deque()
        pool = ThreadPoolExecutor(min(DECODE_THREADS, self._ctx.threads))
        try:
            for batch in batches:
                queue.append((batch, [pool.submit(self._square, key) for key in batch]))
                if len(queue) == 2:
                    yield _gathered(*queue.popleft())
            while queue:
                yield _gathered(*queue.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _square(self, key: Key) -> NDArray[np.uint8]:
        from core.ingest.images import decode

        sha256 = key[:32].hex()
        try:
            pixels = decode(self._ctx.blob(sha256))
        except InvalidInput as error:
            raise InvalidInput(f"Image {sha256}: {error.detail}", code=error.code) from error
        return preprocess.square(preprocess.dihedral(pixels, key[32]), self._spec.size)


def _gathered(
    batch: list[Key], squares: Sequence[Future[NDArray[np.uint8]]]
) -> tuple[list[Key], NDArray[np.uint8]]:
    return batch, np.stack([square.result() for square in squares])
