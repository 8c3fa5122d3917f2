"""Features of many images, in the order that is asked for; what was computed is cached."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.features import preprocess
from core.features.cache import FeatureCache, Key, key_of
from core.features.computation import Computation, FeatureContext
from core.features.contract import Backbone, Weights, open_backbone

CODE_VERSION = "1"
"""Enters the cache key: raise it when the same pixels would give other features."""


@dataclass(frozen=True, slots=True)
class FeatureItem:
    """A stored image in one of its views (0: as stored, see preprocess.view)."""

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

    batch_size: images that a GPU runs together; a CPU always takes slices of eight. span: the part
    of the progress bar that this fills. persist=False leaves the cache as it is.
    Errors: UnknownName, WeightsMissing, OutOfMemory, StorageFull, NotFound (a blob), InvalidInput
    (a blob that is no image).
    """
    spec = open_backbone(backbone, ctx.weights_dir, "/backbone")
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
        compute = Computation(ctx, spec, weights, batch_size, cache if persist else None)
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
    spec = open_backbone(backbone, ctx.weights_dir, "/backbone")
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
    folder = f"{spec.name.replace(':', '_')}-{digest}"
    return FeatureCache(ctx.data_dir / "features" / folder, spec.dimension, ctx.log)


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
