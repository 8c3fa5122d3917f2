"""Images in the place of feature vectors: what a classifier that trains on pixels gets as rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from core.features.contract import Backbone, Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Start:
    """The network that training starts from, and the device (``cpu`` or ``cuda``) it runs on.

    weights may be None where a trained network is only used.
    """

    backbone: Backbone
    weights: Weights | None
    device: str


@dataclass(frozen=True, slots=True)
class PixelRows:
    """Rows of images, indexed as an array is, and read when they are needed.

    squares: n x size x size x 3 of uint8, possibly a mapped file; rows: which of them, in order,
    repeats allowed.
    """

    squares: NDArray[np.uint8]
    rows: NDArray[np.intp]
    start: Start

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, wanted: Any) -> PixelRows:
        """Return the rows of a slice, a list of numbers or a mask; no pixel is read."""
        return PixelRows(self.squares, self.rows[wanted], self.start)

    def read(self, wanted: Any) -> NDArray[np.uint8]:
        """Return the pixels of these rows."""
        pixels: NDArray[np.uint8] = self.squares[self.rows[wanted]]
        return pixels


def pixel_rows(squares: NDArray[np.uint8], start: Start) -> PixelRows:
    """Return each square once, in order."""
    import numpy as np

    return PixelRows(squares, np.arange(len(squares)), start)


class Monitor(Protocol):
    """Who watches a long training: told of its progress, keeper of its checkpoints."""

    def step(self, done: float, total: float) -> None:
        """Take note of progress; raises what stops the training."""

    def due(self) -> bool:
        """Tell whether a checkpoint is wanted now."""

    def keep(self, state: bytes) -> None:
        """Keep a checkpoint in the place of the one before."""

    def restored(self) -> bytes | None:
        """Return the last checkpoint of an earlier attempt at the same training."""


class Unwatched:
    """A monitor that keeps nothing, for trainings within a larger one."""

    def step(self, done: float, total: float) -> None:
        """Go on."""

    def due(self) -> bool:
        return False

    def keep(self, state: bytes) -> None:
        """Forget it."""

    def restored(self) -> bytes | None:
        return None
