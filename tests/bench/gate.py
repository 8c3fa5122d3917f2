"""``python -m tests.bench.gate N``: the privacy gate's time and memory, N real and N made images.

Prints CPU seconds and the bytes needed above the records; runs in a process of its own, because the
peak of a process never falls.
"""

from __future__ import annotations

import hashlib
import sys
import time

import cv2
import numpy as np

from core.ingest.fingerprints import fingerprint
from core.manifest import ImageRecord
from core.quality.copies import screen
from core.synthesis.contract import Pixels
from tests.bench.memory import peak

SIDE = 64
COPIED = 0.01
"""Share of the made images that show a real one which they do not declare."""


def picture(seed: int) -> Pixels:
    """Return a small picture of smooth colours, as unlike others as photographs of skin are not."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)


def sha(number: int) -> str:
    return hashlib.sha256(f"{number}".encode()).hexdigest()


def record(number: int, shown: int, parent: int | None, hashed: str) -> ImageRecord:
    """Return an image; number: its own, shown: of the picture that it shows."""
    of = number if parent is None else parent
    return ImageRecord(
        image_id=f"img_{number}",
        filename=f"{number}.png",
        label="a",
        sha256=sha(number),
        source_sha256=sha(-number - 1),
        pixel_sha256=f"{shown}-{number}",
        width=SIDE,
        height=SIDE,
        media_type="image/png",
        modality="rgb",
        split="train",
        source="real" if parent is None else "synthetic",
        group_ids=(f"g{of}",),
        parents=() if parent is None else (f"img_{parent}",),
        parent_sha256=() if parent is None else (sha(parent),),
        perceptual_hash=hashed,
    )


def main() -> None:
    count = int(sys.argv[1])
    cv2.setNumThreads(1)
    copied = int(COPIED * count)
    shown = {sha(i): i for i in range(count)}
    real = [record(i, i, None, fingerprint(picture(i)).text) for i in range(count)]
    made = []
    for i in range(count, 2 * count):
        source = i - count
        picture_of = (source + 1) % count if source < copied else i  # of a neighbour: undeclared
        made.append(record(i, picture_of, source, ""))
        shown[sha(i)] = picture_of
    before, start = peak(), time.process_time()
    found = screen(real, made, lambda name: picture(shown[name]), novel=lambda _: False)
    spent = time.process_time() - start
    assert len(found.copies) >= copied, (len(found.copies), copied)
    print(spent, peak() - before)


if __name__ == "__main__":
    main()
