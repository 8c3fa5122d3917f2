"""The fits of a fold, each done once: answers may be kept beyond the life of a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from core.learning.fitting import ClassifierChoice, Rows, fit
from core.learning.pixels import Monitor, Unwatched

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Answer:
    """What a fitted classifier said of its test images: images x classes, float32."""

    probabilities: NDArray[np.float32]
    converged: bool


class Keeper(Protocol):
    """Who keeps the answers of a fold's fits, by the name of the fit."""

    def answer(self, name: str) -> Answer | None:
        """Return what a fit has answered already, in this attempt or an earlier one."""

    def keep(self, name: str, answer: Answer) -> None:
        """Keep what a fit has answered."""

    def monitor(self, name: str) -> Monitor:
        """Return who watches a long training."""


class Unkept:
    """A keeper that keeps nothing."""

    def answer(self, name: str) -> Answer | None:
        return None

    def keep(self, name: str, answer: Answer) -> None:
        """Forget it."""

    def monitor(self, name: str) -> Monitor:
        return Unwatched()


@dataclass(frozen=True, slots=True)
class Trained:
    """What a fit is given, row by row; weights None: all 1. groups tell what belongs together."""

    rows: Rows
    labels: NDArray[np.int64]
    weights: NDArray[np.float64] | None
    groups: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fits:
    """What all fits of a fold share; ``part`` goes before their names."""

    seed: int
    threads: int
    classes: int
    keeper: Keeper
    part: str = ""

    def answer(self, name: str, choice: ClassifierChoice, trained: Trained, tests: Rows) -> Answer:
        """Fit and ask about the test images, unless that has been done; raises what fit raises."""
        whole = self.part + name
        known = self.keeper.answer(whole)
        if known is not None:
            return known
        fitted = fit(
            choice,
            trained.rows,
            trained.labels,
            trained.weights,
            self.seed,
            self.threads,
            trained.groups,
            self.keeper.monitor(whole),
        )
        found = Answer(fitted.probabilities(tests, self.classes), fitted.converged)
        self.keeper.keep(whole, found)
        return found
