"""A context for extraction, with procedural images on a small volume."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np

from core.errors import NotFound
from core.features.extract import FeatureItem


class Volume:
    """Blobs in memory, the cache in a folder; remembers which blobs were read."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.threads = threads
        self.device = "cpu"
        self.data_dir = folder
        self.weights_dir = folder / "weights"
        self.read: list[str] = []
        self.logged: list[str] = []
        self.told: list[tuple[str, float, float]] = []
        self._blobs: dict[str, Path] = {}

    def add(self, seed: int, height: int = 32, width: int = 40) -> FeatureItem:
        """Store a picture and return its item."""
        noise = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        pixels = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        data = cv2.imencode(".png", pixels)[1].tobytes()
        return self.store(data)

    def store(self, data: bytes) -> FeatureItem:
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.data_dir / f"{sha256}.blob"
        path.write_bytes(data)
        self._blobs[sha256] = path
        return FeatureItem(sha256)

    def blob(self, sha256: str) -> Path:
        self.read.append(sha256)
        if sha256 not in self._blobs:
            raise NotFound(f"There is no blob {sha256}")
        return self._blobs[sha256]

    def progress(self, phase: str, current: float = 0, total: float = 1) -> None:
        self.told.append((phase, current, total))

    def log(self, message: str) -> None:
        self.logged.append(message)
