"""Which fault comes when, drawn from the seed: the same seed gives the same schedule."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """``pause``: seconds after the fault before; ``pick`` in 0..1 chooses among targets."""

    pause: float
    kind: str
    pick: float

    def choose(self, targets: Sequence[T]) -> T:
        """Return one of the targets that are there now."""
        return targets[min(len(targets) - 1, int(self.pick * len(targets)))]


def draw(
    rng: random.Random, count: int, kinds: Sequence[str], pauses: tuple[float, float]
) -> list[Fault]:
    """Draw ``count`` faults; every kind comes about equally often, in random order."""
    deck = [kinds[index % len(kinds)] for index in range(count)]
    rng.shuffle(deck)
    return [Fault(rng.uniform(*pauses), kind, rng.random()) for kind in deck]
