"""What is asked of an analysis, and the paired differences that answer it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.learning.analysis import Analysis
from core.learning.arms import COMPARATORS, Arm
from core.learning.inference import interval, p_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METRIC = "balanced_accuracy"
PRIMARY_ARM = "combined"
MIN_TEST_GROUPS = 20


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the analysis, fixed before any number is known.

    comparators are the arms that ``combined`` has to beat; augmented says that the synthetic images
    come from the generator ``augment``, which is then no comparator of itself; synthesis_by_seed
    that no two seeds share a synthetic image (None: there are none).
    """

    classes: tuple[str, ...]
    classifier: str
    arms: tuple[Arm, ...]
    augmented: bool
    seed: int
    synthesis_by_seed: bool | None = None

    @property
    def comparators(self) -> tuple[str, ...]:
        return tuple(arm for arm in COMPARATORS if not (self.augmented and arm == "augment"))


@dataclass(frozen=True, slots=True)
class Comparison:
    """The primary arm less a comparator: estimate, replicates and what is read off them.

    well_tested are the replicates of the same difference over the classes with MIN_TEST_GROUPS test
    groups alone; None when there are not two such classes.
    """

    comparator: str
    difference: float
    replicates: NDArray[np.float64]
    by_seed: NDArray[np.float64]
    well_tested: NDArray[np.float64] | None

    def as_json(self) -> dict[str, Any]:
        return {
            "comparator": self.comparator,
            "difference": self.difference,
            "interval": list(interval(self.replicates)),
            "p": p_value(self.replicates),
        }


def compare(found: Analysis, question: Question) -> list[Comparison]:
    """Return the comparisons of the primary arm with each comparator that was run and complete."""
    drawn = found.replicates
    ours = found.index(PRIMARY_ARM, question.classifier)
    if drawn is None or ours is None:
        return []
    answer = []
    large = well_tested(found)
    for arm in question.comparators:
        other = found.index(arm, question.classifier)
        if other is None:
            continue
        paired = drawn.balanced_accuracy[:, ours] - drawn.balanced_accuracy[:, other]
        value = estimate(found, PRIMARY_ARM, question) - estimate(found, arm, question)
        recall = drawn.recall[:, ours, large] - drawn.recall[:, other, large]
        alone = recall.mean(axis=1) if large else None
        answer.append(Comparison(arm, value, paired.mean(axis=1), paired, alone))
    return answer


def well_tested(found: Analysis) -> list[int]:
    """Return the classes with MIN_TEST_GROUPS test groups; none when there are not two."""
    large = [c for c, n in enumerate(found.n_groups.tolist()) if n >= MIN_TEST_GROUPS]
    return large if len(large) > 1 else []


def estimate(found: Analysis, arm: str, question: Question) -> float:
    """Return the primary metric of an arm with the primary classifier."""
    return found.scores[(arm, question.classifier)].overall[METRIC]
