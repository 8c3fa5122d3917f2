"""Arms: what each one puts on the training side of a fold.

All arms of a fold see the same test images; ``oversample`` and ``augment`` reach exactly the class
counts of the ``combined`` arm of that fold, so that only the pixels differ; the controls have its
images with permuted labels, or noise in their place, or near-copies of real images in their stead
(as far as the privacy gate let any pass).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from core.errors import UnknownName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BASE_ARMS = (
    "real",
    "class_weight",
    "logit_adjust",
    "oversample",
    "augment",
    "synthetic",
    "combined",
    "combined_class_weight",
    "control_shuffled",
    "control_noise",
    "control_copycat",
)
COMPARATORS = ("real", "class_weight", "logit_adjust", "oversample", "augment")
DIHEDRALS = 7
"""Flips and quarter turns beside the identity, numbered 1..7."""
NOISE_VIEW = 8
"""The view of an image that is noise of its size (core.features.preprocess.NOISE)."""
COPY_VIEW = 9
"""The view of an image that is a near-copy of it (core.features.preprocess.COPY)."""
COPYCAT = "control_copycat"

_RATIO_ARM = re.compile(r"combined_r(?P<ratio>\d+(\.\d+)?)")
MAX_RATIO = 100.0


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm; ratio is synthetic images per real image of a weak class, None: as planned."""

    id: str
    ratio: float | None = None

    @property
    def needs_synthetic(self) -> bool:
        """Whether it uses synthetic images or must match the counts of an arm that does."""
        return self.id not in ("real", "class_weight", "logit_adjust", COPYCAT)

    @property
    def weighted(self) -> bool:
        return self.id in ("class_weight", "combined_class_weight")

    @property
    def prior_corrected(self) -> bool:
        return self.id == "logit_adjust"


def parse_arm(arm_id: str, pointer: str = "") -> Arm:
    """Return the arm of this id; UnknownName (``unknown_arm``) with the close matches."""
    match = _RATIO_ARM.fullmatch(arm_id)
    if match:
        ratio = float(match["ratio"])
        if 0 < ratio <= MAX_RATIO and arm_id == ratio_arm(ratio):
            return Arm(arm_id, ratio)
    if arm_id not in BASE_ARMS:
        raise UnknownName("arm", arm_id, (*BASE_ARMS, "combined_r0.5", "combined_r1"), pointer)
    return Arm(arm_id)


def ratio_arm(ratio: float) -> str:
    """Return the id of the arm with this many synthetic images per real one of a weak class."""
    return f"combined_r{ratio:g}"


def parse_arms(arm_ids: Iterable[str], ratios: Iterable[float] = ()) -> list[Arm]:
    """Return the arms of these ids and ratios, each once, in the order first asked for."""
    names = [(arm_id, f"/arms/{i}") for i, arm_id in enumerate(arm_ids)]
    names += [(ratio_arm(ratio), f"/ratios/{i}") for i, ratio in enumerate(ratios)]
    arms: dict[str, Arm] = {}
    for arm_id, pointer in names:
        arms.setdefault(arm_id, parse_arm(arm_id, pointer))
    return list(arms.values())


@dataclass(frozen=True, slots=True)
class Side:
    """The training side of one fold before any arm: labels are class numbers, 0..classes-1.

    real are rows of the real images, synthetic rows of the synthetic images that may be used here;
    ``weak`` marks the classes that ratio arms fill. copies are further rows of synthetic images:
    near-copies of real ones that the privacy gate took for new, for their control alone.
    """

    real: NDArray[np.intp]
    real_labels: NDArray[np.int64]
    synthetic: NDArray[np.intp]
    synthetic_labels: NDArray[np.int64]
    weak: NDArray[np.bool_]
    copies: NDArray[np.intp] | None = None
    copy_labels: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Training:
    """What one arm fits on.

    real and dihedral go together: row of the real image and which of its 8 flips and turns (0: as
    it is); synthetic are rows of synthetic images, all seen in ``synthetic_view`` (0: as they are,
    NOISE_VIEW: noise in their place, COPY_VIEW: near-copies of their sources). labels and weights
    (None: all 1) run over real, then synthetic. priors (None: none) are the class shares that the
    decision is divided by. shortfalls say in words what an arm could not reach.
    """

    real: NDArray[np.intp]
    dihedral: NDArray[np.int64]
    synthetic: NDArray[np.intp]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None
    priors: NDArray[np.float64] | None = None
    shortfalls: dict[int, int] = field(default_factory=dict)
    synthetic_view: int = 0


def compose(arm: Arm, side: Side, rng: np.random.Generator) -> Training:
    """Return the training side of an arm in a fold.

    ``rng`` draws which images are repeated, turned or left out. ``shortfalls`` of the answer holds,
    by class number, how many images the arm wanted and could not have.
    """
    import numpy as np

    if arm.id == "synthetic":
        none = np.empty(0, dtype=np.intp)
        return _training(side, none, none.astype(np.int64), side.synthetic, arm)
    if arm.id in ("oversample", "augment"):
        return _repeated(arm, side, rng)
    plain = np.zeros(len(side.real), dtype=np.int64)
    if arm.id == COPYCAT:
        return _with_copies(arm, side, plain)
    if not arm.needs_synthetic:
        return _training(side, side.real, plain, side.synthetic[:0], arm)
    if arm.ratio is None:
        return _control(arm, _training(side, side.real, plain, side.synthetic, arm), rng)
    chosen, missing = _by_ratio(arm.ratio, side, rng)
    return _training(side, side.real, plain, chosen, arm, missing)


def _with_copies(arm: Arm, side: Side, plain: NDArray[np.int64]) -> Training:
    """Return the real images and the near-copies, as if those were the synthetic images."""
    if side.copies is None or side.copy_labels is None:
        return _training(side, side.real, plain, side.synthetic[:0], arm)
    theirs = replace(side, synthetic=side.copies, synthetic_labels=side.copy_labels)
    training = _training(theirs, side.real, plain, side.copies, arm)
    return replace(training, synthetic_view=COPY_VIEW)


def _control(arm: Arm, combined: Training, rng: np.random.Generator) -> Training:
    """Take from the synthetic images what a negative control takes: their labels or their pixels.

    What still helps afterwards is their number alone. Other arms stay as they are.
    """
    if arm.id == "control_noise":
        return replace(combined, synthetic_view=NOISE_VIEW)
    if arm.id == "control_shuffled":
        labels, cut = combined.labels.copy(), len(combined.real)
        labels[cut:] = rng.permutation(labels[cut:])
        return replace(combined, labels=labels)
    return combined


def _training(
    side: Side,
    real: NDArray[Any],
    dihedral: NDArray[Any],
    synthetic: NDArray[Any],
    arm: Arm,
    shortfalls: dict[int, int] | None = None,
) -> Training:
    import numpy as np

    classes = len(side.weak)
    labels = np.concatenate(
        [
            _lookup(side.real, side.real_labels)[real],
            _lookup(side.synthetic, side.synthetic_labels)[synthetic],
        ]
    )
    weights, priors = weigh(arm, labels, classes)
    return Training(real, dihedral, synthetic, labels, weights, priors, shortfalls or {})


def weigh(
    arm: Arm, labels: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return an arm's weights of images with these labels, and the shares it divides by, or None.

    Every class weighs the same in sum; the weights are 1 in the mean.
    """
    import numpy as np

    counts = np.bincount(labels, minlength=classes)
    weights = priors = None
    if arm.weighted:
        present = np.count_nonzero(counts)
        weights = len(labels) / (present * counts[labels].astype(np.float64))
    if arm.prior_corrected:
        priors = counts / max(1, len(labels))
    return weights, priors


def _lookup(rows: NDArray[np.intp], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    import numpy as np

    table = np.full(int(rows.max(initial=-1)) + 1, -1, dtype=np.int64)
    table[rows] = labels
    return table


def _repeated(arm: Arm, side: Side, rng: np.random.Generator) -> Training:
    """Fill every class with repeats or turned copies up to its count in the ``combined`` arm.

    Which turn an image shows in which round depends on the image alone, so that folds and seeds
    share most of the turned images and their features.
    """
    import numpy as np

    real, dihedral = [side.real], [np.zeros(len(side.real), dtype=np.int64)]
    missing: dict[int, int] = {}
    for label in range(len(side.weak)):
        wanted = int((side.synthetic_labels == label).sum())
        rows = side.real[side.real_labels == label]
        if not wanted:
            continue
        if not len(rows):
            missing[label] = wanted
            continue
        chosen = _rounds(rows, wanted, rng)
        turns = (chosen + np.arange(wanted) // len(rows)) % DIHEDRALS + 1
        real.append(chosen)
        dihedral.append(turns if arm.id == "augment" else np.zeros_like(turns))
    return _training(
        side, np.concatenate(real), np.concatenate(dihedral), side.synthetic[:0], arm, missing
    )


def _rounds(rows: NDArray[np.intp], wanted: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw ``wanted`` rows in rounds; none comes again before all have come as often."""
    import numpy as np

    rounds = -(-wanted // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:wanted]


def _by_ratio(
    ratio: float, side: Side, rng: np.random.Generator
) -> tuple[NDArray[np.intp], dict[int, int]]:
    import numpy as np

    chosen: list[NDArray[np.intp]] = [side.synthetic[:0]]
    missing: dict[int, int] = {}
    for label in np.flatnonzero(side.weak).tolist():
        wanted = round(ratio * int((side.real_labels == label).sum()))
        rows = side.synthetic[side.synthetic_labels == label]
        if len(rows) < wanted:
            missing[label] = wanted - len(rows)
        kept = np.sort(rng.permutation(len(rows))[:wanted])
        chosen.append(rows[kept])
    return np.concatenate(chosen), missing


def usable_synthetic(
    group_ids: Sequence[Sequence[str]], train_groups: frozenset[str] | set[str]
) -> list[int]:
    """Return the rows of synthetic images all of whose groups lie on the training side.

    An image without groups (procedural: it comes from nobody) may always be used.
    """
    return [row for row, ids in enumerate(group_ids) if train_groups.issuperset(ids)]
