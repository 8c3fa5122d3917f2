"""How a long training in a job tells of its progress and survives the end of its process."""

from __future__ import annotations

import time

from core.jobs.context import JobContext

CHECKPOINT_SECONDS = 300.0
"""What a lost worker costs at most, or an epoch; a checkpoint of ResNet18 has 180 MB."""


class TrainingWatch:
    """A monitor (core.learning.pixels) that writes checkpoints of its job."""

    def __init__(
        self, ctx: JobContext, span: tuple[float, float], seconds: float | None = None
    ) -> None:
        """Keep a checkpoint after the first epoch that ends so many seconds after the last one."""
        self._ctx = ctx
        self._span = span
        self._seconds = CHECKPOINT_SECONDS if seconds is None else seconds
        self._kept_at = time.monotonic()

    def step(self, done: float, total: float) -> None:
        """Report progress within the span; raises when the job was told to stop."""
        low, high = self._span
        self._ctx.progress("fitting", low + (high - low) * done / total)

    def due(self) -> bool:
        return time.monotonic() - self._kept_at >= self._seconds

    def keep(self, state: bytes) -> None:
        self._ctx.checkpoint({"training": self._ctx.put(state)})
        self._kept_at = time.monotonic()

    def restored(self) -> bytes | None:
        kept = self._ctx.restored()
        if kept is None:
            return None
        self._ctx.log("Training goes on from the checkpoint of an earlier attempt")
        return self._ctx.blob(kept["training"]).read_bytes()
