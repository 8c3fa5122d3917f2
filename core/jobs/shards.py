"""Into how many jobs the making of images is split."""

from __future__ import annotations

import math
from itertools import pairwise

SHARD_IMAGES = 128
"""Images of one child job."""
SHARD_SECONDS = 300
"""Of images that are dear, a shard has fewer."""
MOST_SHARDS = 256
"""Each plans all images anew, about 10 µs an image: more shards would do little else."""
LONGEST_SECONDS = 1800
"""More than MOST_SHARDS only where a shard would take longer: it must end before its time is up."""


def shard_bounds(images: int, seconds: float = 0.0) -> list[tuple[int, int]]:
    """Return start and stop of each shard, of nearly equal sizes.

    ``seconds`` are those of an image. Up to SHARD_IMAGES or SHARD_SECONDS, more only where there
    would be over MOST_SHARDS, and never over LONGEST_SECONDS.
    """
    size = SHARD_IMAGES
    if seconds > 0:
        size = max(1, min(size, int(SHARD_SECONDS / seconds)))
    shards = min(-(-images // size), MOST_SHARDS)
    shards = min(images, max(shards, math.ceil(images * seconds / LONGEST_SECONDS)))
    edges = [images * shard // shards for shard in range(shards + 1)]
    return list(pairwise(edges))
