"""The course of a classifier's training end to end on pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.features.contract import Backbone, Weights
from core.learning.course import Course, turned
from core.learning.pixels import PixelRows

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from core.learning.classifiers.finetune import FinetuneParams

EVALUATED = 64
"""Images that are evaluated together."""


def new_network(backbone: Backbone, weights: Weights | None, classes: int) -> torch.nn.Module:
    """Return the backbone (weights None: random) and a linear layer that begins at zero."""
    import torch

    head = torch.nn.Linear(backbone.dimension, classes)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    return torch.nn.Sequential(backbone.build(weights), head)


def shares(
    labels: NDArray[np.intp], weights: NDArray[np.float64], balanced: bool
) -> NDArray[np.float64]:
    """Return how often each image counts, in sum 1: by its weight, or every class alike."""
    import numpy as np

    if balanced:
        sums = np.bincount(labels, weights)
        weights = weights / sums[labels]
    return np.asarray(weights / weights.sum())


class FinetuneCourse(Course):
    """The training of a backbone and a linear layer; the loss is cross-entropy."""

    def __init__(
        self,
        params: FinetuneParams,
        seed: int,
        rows: PixelRows,
        labels: NDArray[np.intp],
        weights: NDArray[np.float64],
        held: NDArray[np.bool_],
    ) -> None:
        import numpy as np

        self.rows, self.labels = rows, labels
        start = rows.start
        train, kept = np.flatnonzero(~held), np.flatnonzero(held)
        balanced = params.sampling == "balanced"
        super().__init__(
            params,
            seed,
            lambda: new_network(start.backbone, start.weights, int(labels.max()) + 1),
            start.device,
            train=train,
            held=kept,
            portions=shares(labels[train], weights[train], balanced),
        )
        self.judged = shares(labels[kept], weights[kept], balanced)
        self.turns = params.augmentation == "turns"
        self.mean = self.per_channel(start.backbone.mean)
        self.std = self.per_channel(start.backbone.std)

    @property
    def name(self) -> str:
        return self.rows.start.backbone.name

    def batch_loss(self, rows: NDArray[np.intp], rng: np.random.Generator) -> torch.Tensor:
        import torch

        pixels = self.rows.read(rows)
        if self.turns:
            pixels = turned(pixels, rng)
        return torch.nn.functional.cross_entropy(self._logits(pixels), self._targets(rows))

    def held_loss(self) -> float:
        """Return the cross-entropy of the held-out images, weighed as training draws."""
        import torch

        self.network.eval()
        total = 0.0
        with torch.inference_mode():
            for start in range(0, len(self.held), EVALUATED):
                own = self.held[start : start + EVALUATED]
                losses = torch.nn.functional.cross_entropy(
                    self._logits(self.rows.read(own)), self._targets(own), reduction="none"
                )
                weights = self.judged[start : start + EVALUATED]
                total += float((losses.double().cpu() * torch.from_numpy(weights)).sum())
        return total

    def _logits(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        import torch

        images = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits: torch.Tensor = self.network((images - self.mean) / self.std)
        return logits.float()

    def _targets(self, rows: NDArray[np.intp]) -> torch.Tensor:
        import torch

        return torch.from_numpy(self.labels[rows]).to(self.device)
