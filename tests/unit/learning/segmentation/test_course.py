"""Networks: discs are learned, noise is not; the same seed ends alike, a stop changes nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import JobCancelled
from core.learning.finetuning import repeatable_torch
from core.learning.pixels import Unwatched
from core.learning.segmentation.contract import ARCHITECTURES
from core.learning.segmentation.course import SegmentationCourse, image_losses, predict
from core.learning.segmentation.model_file import dump_network
from core.learning.segmentation.overlap import overlap
from core.learning.segmentation.samples import LESION, Samples
from tests.unit.learning.segmentation.discs import SIDE, samples

TRAIN, HELD, TEST = np.arange(24), np.arange(24, 30), np.arange(30, 40)


def course(shown: Samples, *, epochs: int = 12, seed: int = 1) -> SegmentationCourse:
    params = SimpleNamespace(
        epochs=epochs, batch_size=8, learning_rate=3e-3, weight_decay=0.01, patience=20
    )
    entry = ARCHITECTURES.get("unet")
    return SegmentationCourse(
        params, seed, lambda: entry.build(None), "cpu", shown,
        train=TRAIN, held=HELD, steps=4, turns=True, name="unet",
    )  # fmt: skip


def trained(shown: Samples, monitor: Any = None, **changes: int) -> SegmentationCourse:
    with repeatable_torch(1):
        made = course(shown, **changes)
        made.run(monitor or Unwatched())
    return made


def mean_dice(made: SegmentationCourse, shown: Samples) -> float:
    with repeatable_torch(1):
        chances = list(predict(made.best, shown.pixels[TEST], "cpu"))
    truth = shown.masks[TEST] == LESION
    return float(np.mean([overlap(p >= 0.5, t).dice for p, t in zip(chances, truth, strict=True)]))


def constant_dice(shown: Samples) -> float:
    """Return the mean Dice of the best mask that is the same for all test images."""
    truth = shown.masks[TEST] == LESION
    levels = np.linspace(0, 0.9, 10)
    return float(
        max(np.mean([overlap(truth.mean(axis=0) > v, t).dice for t in truth]) for v in levels)
    )


def test_discs_are_learned_and_noise_is_not() -> None:
    shown, blind = samples(40), samples(40, blind=True)
    floor = constant_dice(shown)
    assert floor < 0.65
    assert mean_dice(trained(shown), shown) > 0.8
    assert mean_dice(trained(blind), blind) <= floor


class Killed:
    """Keeps the checkpoint of every epoch and kills after the second."""

    def __init__(self, state: bytes | None = None) -> None:
        self.first, self.state, self.kept = state, state, 0

    def step(self, done: float, total: float) -> None:
        if self.first is None and self.kept == 2:
            raise JobCancelled("killed")

    def due(self) -> bool:
        return True

    def keep(self, state: bytes) -> None:
        self.state, self.kept = state, self.kept + 1

    def restored(self) -> bytes | None:
        return self.first


def test_a_killed_training_goes_on_to_the_weights_of_one_that_was_not() -> None:
    shown = samples(40)
    whole = trained(shown, epochs=4)
    killed = Killed()
    with pytest.raises(JobCancelled):
        trained(shown, killed, epochs=4)
    again = Killed(killed.state)
    resumed = trained(shown, again, epochs=4)
    assert again.kept == 2
    assert dump_network(resumed.best) == dump_network(whole.best)
    assert dump_network(trained(shown, epochs=4, seed=2).best) != dump_network(whole.best)


def test_padding_counts_nowhere() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn((2, 8, 8), generator=rng)
    truth = (torch.rand((2, 8, 8), generator=rng) > 0.5).float()
    seen = torch.ones_like(truth)
    seen[:, :3] = 0
    truth = truth * seen
    other = torch.where(seen > 0, logits, logits + 7)
    found = image_losses(logits, truth, seen)
    assert torch.equal(found, image_losses(other, truth, seen))
    assert torch.allclose(found, image_losses(logits[:, 3:], truth[:, 3:], seen[:, 3:]))


@pytest.mark.parametrize("name", ARCHITECTURES.names())
def test_every_architecture_maps_its_smallest_square(name: str) -> None:
    entry = ARCHITECTURES.get(name)
    side = entry.smallest + entry.multiple
    network = entry.build(None).train()
    logits = network(torch.zeros(2, 3, side, side))
    assert logits.shape == (2, side, side)
    assert SIDE % ARCHITECTURES.get("unet").multiple == 0
