"""Which pairs of images may show the same photograph: those whose keypoints fall together.

Descriptors, and those of the mirrored images, are cut into words by the signs of whitened random
projections, several times over (locality sensitive hashing, Indyk and Motwani 1998). Two images get
a vote for every word that they share. The time grows with the number of images, not of pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from core.ingest.keypoints import BINS, MOST, Records, mirrored_bins, rooted

TABLES = 8
VOTES = 3
NEIGHBOURS = 24
"""Pairs kept of an image, by votes; copies beyond that hang together through one another."""

_CROWD = 64
"""Entries of one word that one keypoint votes for, so that no common word costs a square."""
_SAMPLE = 50_000
_PARTS = 64
"""Whitened directions that the projections mix."""
_CHUNK = 256
_MOST_BITS = 24

Pairs = NDArray[np.int64]
"""M x 2: first < second."""
Words = NDArray[np.int64]


def likely_pairs(
    images: Records,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    *,
    apart: int | None = None,
) -> Pairs:
    """Return pairs of positions that share at least VOTES words, the best NEIGHBOURS of each.

    With ``apart`` only pairs of an image before that position and one from there on.
    """
    owner = np.repeat(np.arange(len(images)), images["count"])
    if len(images) < 2 or not len(owner):
        return np.empty((0, 2), np.int64)
    bits = int(np.clip(np.ceil(np.log2(len(owner))) - 1, 8, _MOST_BITS))
    planes = _planes(images, bits)
    keys = np.empty(0, np.int64)
    votes = np.empty(0, np.int64)
    for table, (weights, offset) in enumerate(planes):
        plain, mirrored = _words(images, weights, offset, bits)
        met = _meetings(plain, mirrored, owner, len(images))
        if apart is not None:
            first, second = np.divmod(met, len(images))
            met = met[(first < apart) & (second >= apart)]
        keys, votes = _added(keys, votes, met)
        progress(table + 1, TABLES)
    enough = votes >= VOTES
    keys, votes = keys[enough], votes[enough]
    first, second = np.divmod(keys, len(images))
    kept = (_rank(first, votes) < NEIGHBOURS) | (_rank(second, votes) < NEIGHBOURS)
    return np.column_stack((first[kept], second[kept]))


Plane = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weights BINS x bits, and the offset of each bit, its median."""


def _planes(images: Records, bits: int) -> list[Plane]:
    """Return the projections of each table: random turns of the whitened descriptors."""
    rng = np.random.default_rng(0)
    sample = _sample(images, rng)
    mean = sample.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((sample - mean).T))
    values, vectors = values[::-1][:_PARTS], vectors[:, ::-1][:, :_PARTS]
    white = vectors / np.sqrt(np.maximum(values, values[0] * 1e-6))
    planes = []
    for _ in range(TABLES):
        turn, _upper = np.linalg.qr(rng.normal(size=(_PARTS, _PARTS)))
        weights = (white @ turn[:, :bits]).astype(np.float32)
        planes.append((weights, np.median(sample @ weights, axis=0)))
    return planes


def _sample(images: Records, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return descriptors of images drawn at random; at least two rows."""
    chosen = rng.permutation(len(images))[: max(2, _SAMPLE // MOST)]
    rows = [images["descriptors"][i, : images["count"][i]] for i in np.sort(chosen)]
    found = rooted(np.concatenate(rows))
    return found if len(found) > 1 else np.zeros((2, BINS), np.float32)


def _words(
    images: Records, weights: NDArray[np.float32], offset: NDArray[np.float32], bits: int
) -> tuple[Words, Words]:
    """Return the word of each keypoint, and its word in the mirrored image."""
    powers = 1 << np.arange(bits, dtype=np.int64)
    back = weights[np.argsort(mirrored_bins())]
    plain, mirrored = [], []
    edges = [*range(0, len(images), _CHUNK), len(images)]
    for start, stop in pairwise(edges):
        part = images[start:stop]
        there = np.arange(MOST) < part["count"][:, None]
        values = rooted(part["descriptors"][there])
        plain.append((values @ weights > offset) @ powers)
        mirrored.append((values @ back > offset) @ powers)
    return np.concatenate(plain), np.concatenate(mirrored)


def _meetings(plain: Words, mirrored: Words, owner: NDArray[np.int64], count: int) -> Words:
    """Return first * count + second for every keypoint that shares its word with a later image."""
    order = np.sort(plain * count + owner)
    images = order % count
    found = []
    for words in (plain, mirrored):
        start = np.searchsorted(order, words * count + owner, "right")
        stop = np.searchsorted(order, (words + 1) * count, "left")
        lengths = np.minimum(stop - start, _CROWD)
        whose = np.repeat(np.arange(len(words)), lengths)
        within = np.arange(len(whose)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        found.append(owner[whose] * count + images[start[whose] + within])
    return np.concatenate(found)


def _added(keys: Words, votes: Words, met: Words) -> tuple[Words, Words]:
    """Add meetings to the votes of the tables before."""
    new, counts = np.unique(met, return_counts=True)
    every = np.concatenate((keys, new))
    merged, place = np.unique(every, return_inverse=True)
    total = np.bincount(place, weights=np.concatenate((votes, counts)), minlength=len(merged))
    return merged, total.astype(np.int64)


def _rank(member: Words, votes: Words) -> Words:
    """Return the place of each pair among those of its member, most votes first."""
    order = np.lexsort((-votes, member))
    ordered = member[order]
    begins = np.searchsorted(ordered, ordered, "left")
    rank = np.empty(len(member), np.int64)
    rank[order] = np.arange(len(member)) - begins
    return rank
