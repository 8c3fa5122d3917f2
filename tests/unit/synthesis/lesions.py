"""Drawn lesions whose masks are known, as sources of a generator."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from core.synthesis.contract import Pixels, Source
from core.synthesis.procedural import Drawing, draw

SIDE = 96


@cache
def drawn(number: int, label: str = "mel") -> tuple[Pixels, Pixels]:
    """Return pixels and mask of a drawn image; both read-only."""
    pixels, mask = draw(Drawing(f"PROC_{number}", label, number, 0), seed=11, size=SIDE)
    pixels.flags.writeable = mask.flags.writeable = False
    return pixels, mask


def source(number: int, label: str = "mel", *, masked: bool = True, **changes: Any) -> Source:
    """Return the source of ``drawn(number, label)``; its mask is a blob of its own."""
    found = Source(
        image_id=f"img_{label}_{number}",
        sha256=f"{label}:{number}:image",
        label=label,
        group_ids=(f"lesion:{label}:{number}",),
        width=SIDE,
        height=SIDE,
        modality="rgb",
        mask_sha256=f"{label}:{number}:mask" if masked else None,
    )
    return replace(found, **changes)


def load(wanted: Source) -> Pixels:
    label, number, part = wanted.sha256.split(":")
    pixels, mask = drawn(int(number), label)
    return mask if part == "mask" else pixels


def skin(side: int = SIDE, tone: tuple[int, int, int] = (224, 180, 160)) -> Pixels:
    """Return lesion-free skin with a little texture."""
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 3, (side, side, 1))
    return np.asarray(np.clip(np.array(tone) + noise, 0, 255), np.uint8)
