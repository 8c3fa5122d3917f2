"""What each arm of a segmentation experiment trains on, behind the firewall.

All arms of a fold take the same number of steps, those that the largest one needs to see each of
its images once an epoch. So ``real`` is repeated as often as synthetic images are added elsewhere:
what ``combined`` gains is not gained by training for longer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.learning.arms import usable_synthetic
from core.learning.cohort import Cohort, cohort, training_groups, with_usable_parents
from core.learning.firewall import check_no_leak
from core.learning.segmentation.contract import ArmName, no_masks
from core.learning.segmentation.samples import mask_of
from core.manifest import ImageRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST = 2
"""Fewest images that a network is trained on."""


def masked_cohort(records: Iterable[ImageRecord]) -> tuple[Cohort, Cohort]:
    """Return the real, usable images with a mask, and all of them.

    Groups are found over all images: two masked ones may be tied by one without a mask.
    InvalidInput ``no_masks``.
    """
    import numpy as np

    whole = cohort(records, least=1)
    rows = [i for i, record in enumerate(whole.records) if mask_of(record)]
    if not rows:
        raise no_masks("/dataset_version_id", len(whole))
    kept = tuple(whole.records[i] for i in rows)
    classes = tuple(sorted({r.label for r in kept}))
    members = replace(
        whole,
        records=kept,
        classes=classes,
        labels=np.array([classes.index(r.label) for r in kept], dtype=np.int64),
        groups=np.unique(whole.groups[rows], return_inverse=True)[1].astype(np.int64),
        group_of=tuple(whole.group_of[i] for i in rows),
    )
    return members, whole


@dataclass(frozen=True, slots=True)
class Side:
    """What an arm trains on: records, and which of them early stopping looks at instead."""

    records: tuple[ImageRecord, ...]
    held: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FoldData:
    """Rows of ``members`` on either side of a fold, and all synthetic images that have a mask.

    members are the real images with a mask, whole all of them: synthetic images may be made of
    any. ratio: most synthetic images for each real one of the side; None: all. validation: share of
    the training side that is held out for early stopping, whole groups.
    """

    members: Cohort
    whole: Cohort
    train: NDArray[np.intp]
    test: NDArray[np.intp]
    synthetic: Sequence[ImageRecord]
    ratio: float | None
    validation: float
    seed: int
    fold: int | None


def usable(whole: Cohort, synthetic: Iterable[ImageRecord]) -> list[ImageRecord]:
    """Return the synthetic images whose groups and parents are all among the real ones."""
    known = {group for record in whole.records for group in record.group_ids}
    made = with_usable_parents(synthetic, whole.records)
    return [made[row] for row in usable_synthetic([r.group_ids for r in made], known)]


def sides(data: FoldData, arms: Sequence[ArmName]) -> dict[ArmName, Side]:
    """Return the training side of each arm that has one; LeakDetected before any is returned.

    An arm about synthetic images has none where too few may be used: it would be ``real`` under
    another name.
    """
    real = [data.members.records[i] for i in data.train.tolist()]
    made = _chosen(data, real)
    held = _held(real, data)
    found: dict[ArmName, Side] = {}
    for arm in arms:
        side = _side(arm, real, held, made, data)
        if side is not None:
            found[arm] = side
    test = [data.members.records[i] for i in data.test.tolist()]
    for side in found.values():
        check_no_leak(side.records, test)
    return found


def steps_of(found: dict[ArmName, Side], batch_size: int) -> int:
    """Return the steps of an epoch: as many as show the largest arm's images once."""
    most = max(int((~side.held).sum()) for side in found.values())
    return -(-most // batch_size)


def _chosen(data: FoldData, real: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Return the synthetic images that this fold may use, thinned to the ratio at random.

    May be used: all groups are known and tied to no test image.
    """
    import numpy as np

    tested = {data.members.group_of[i] for i in data.test.tolist()}
    pairs = zip(data.whole.records, data.whole.group_of, strict=True)
    groups = {g for record, tie in pairs if tie not in tested for g in record.group_ids}
    made = with_usable_parents(data.synthetic, data.whole.records)
    rows = np.array(usable_synthetic([r.group_ids for r in made], groups), dtype=np.intp)
    if data.ratio is not None:
        rows = np.sort(_rng(data).permutation(rows)[: round(data.ratio * len(real))])
    return [made[row] for row in rows.tolist()]


def _rng(data: FoldData) -> np.random.Generator:
    import numpy as np

    digest = hashlib.sha256(f"segmentation\n{data.seed}\n{data.fold}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32).tolist())


def _held(records: Sequence[ImageRecord], data: FoldData) -> NDArray[np.bool_]:
    import numpy as np

    from core.learning.finetuning import held_out

    if len(records) < LEAST:
        return np.zeros(len(records), dtype=bool)
    labels = np.array([r.label for r in records])
    return held_out(labels, training_groups(records), data.validation, data.seed)


def _side(
    arm: ArmName,
    real: list[ImageRecord],
    held: NDArray[np.bool_],
    made: list[ImageRecord],
    data: FoldData,
) -> Side | None:
    """Return the side of one arm; what early stopping looks at is real where the arm has real.

    A synthetic image that was made of a held-out group is left out of ``combined``: the loss there
    would fall because its parent was learned by heart.
    """
    import numpy as np

    if arm == "synthetic":
        return Side(tuple(made), _held(made, data)) if len(made) >= LEAST else None
    if arm == "real":
        return Side(tuple(real), held)
    out = {g for r, h in zip(real, held.tolist(), strict=True) if h for g in r.group_ids}
    added = [record for record in made if out.isdisjoint(record.group_ids)]
    if not added:
        return None
    return Side((*real, *added), np.concatenate([held, np.zeros(len(added), dtype=bool)]))
