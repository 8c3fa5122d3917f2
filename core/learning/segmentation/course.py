"""The course of a segmentation network's training, and the network that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from core.learning.course import Course, CourseParams, turned
from core.learning.segmentation.contract import MEAN, STD
from core.learning.segmentation.samples import LESION, PADDING, Samples

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

EVALUATED = 8
"""Images that are evaluated together."""


class SegmentationCourse(Course):
    """The loss of an image is binary cross-entropy plus soft Dice, over its own pixels alone.

    Soft Dice: Milletari, Navab and Ahmadi 2016; the sum of both: Isensee et al. 2021.
    """

    def __init__(
        self,
        params: CourseParams,
        seed: int,
        build: Callable[[], torch.nn.Module],
        device: str,
        samples: Samples,
        *,
        train: NDArray[np.intp],
        held: NDArray[np.intp],
        steps: int,
        turns: bool,
        name: str,
    ) -> None:
        import numpy as np

        portions = np.full(len(train), 1 / len(train))
        super().__init__(
            params, seed, build, device, train=train, held=held, portions=portions, steps=steps
        )
        self.samples, self.turns, self._name = samples, turns, name
        self.mean, self.std = self.per_channel(MEAN), self.per_channel(STD)

    @property
    def name(self) -> str:
        return self._name

    def batch_loss(self, rows: NDArray[np.intp], rng: np.random.Generator) -> torch.Tensor:
        import numpy as np

        pixels, masks = self.samples.pixels[rows], self.samples.masks[rows]
        if self.turns:
            both = turned(np.concatenate([pixels, masks[..., None]], axis=3), rng)
            pixels, masks = both[..., :3], both[..., 3]
        return self._losses(pixels, masks).mean()

    def held_loss(self) -> float:
        """Return the mean loss of the held-out images."""
        import torch

        self.network.eval()
        total = 0.0
        with torch.inference_mode():
            for rows in in_slices(self.held):
                found = self._losses(self.samples.pixels[rows], self.samples.masks[rows])
                total += float(found.double().sum())
        return total / len(self.held)

    def _losses(self, pixels: NDArray[np.uint8], masks: NDArray[np.uint8]) -> torch.Tensor:
        import numpy as np
        import torch

        logits = self._logits(pixels)
        values = torch.from_numpy(np.ascontiguousarray(masks)).to(self.device)
        truth, seen = (values == LESION).float(), (values != PADDING).float()
        return image_losses(logits, truth, seen)

    def _logits(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        return logits_of(self.network, pixels, self.mean, self.std, self.device, bf16=self.bf16)


def logits_of(
    network: torch.nn.Module,
    pixels: NDArray[np.uint8],
    mean: torch.Tensor,
    std: torch.Tensor,
    device: torch.device,
    *,
    bf16: bool,
) -> torch.Tensor:
    """Return N x s x s logits of N x s x s x 3 pixels."""
    import numpy as np
    import torch

    images = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2).float()
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        logits: torch.Tensor = network((images - mean) / std)
    return logits.float()


def image_losses(logits: torch.Tensor, truth: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Return the loss of each image: cross-entropy plus 1 - (2 sum pt + 1) / (sum p + sum t + 1).

    All N x s x s; truth and seen (0: padding) of 0 and 1.
    """
    import torch

    axes = (1, 2)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    chances = torch.sigmoid(logits) * seen
    shared = (chances * truth).sum(axes)
    dice = (2 * shared + 1) / (chances.sum(axes) + (truth * seen).sum(axes) + 1)
    return (entropy * seen).sum(axes) / seen.sum(axes) + 1 - dice


def predict(
    network: torch.nn.Module, pixels: NDArray[np.uint8], device: str
) -> Iterator[NDArray[np.float32]]:
    """Yield the s x s probabilities of each square, in order; always in float32."""
    import numpy as np
    import torch

    where = torch.device(device)
    network = network.to(where).eval()
    mean, std = (255 * torch.tensor(v, device=where).view(1, 3, 1, 1) for v in (MEAN, STD))
    for rows in in_slices(np.arange(len(pixels))):
        with torch.inference_mode():
            logits = logits_of(network, pixels[rows], mean, std, where, bf16=False)
        yield from np.asarray(torch.sigmoid(logits).cpu().numpy(), np.float32)


def in_slices(rows: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Yield rows, EVALUATED at a time."""
    for start in range(0, len(rows), EVALUATED):
        yield rows[start : start + EVALUATED]
