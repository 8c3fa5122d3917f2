"""The real images of an experiment, in an order that depends on their content alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import InvalidInput
from core.learning.splits import components
from core.manifest import ImageRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cohort:
    """Real images: labels are numbers into ``classes``, groups 0..G-1 are mutually independent.

    group_of names each image's component, the smallest group id it is tied to.
    """

    records: tuple[ImageRecord, ...]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    group_of: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.records)


def usable_real(records: Iterable[ImageRecord]) -> list[ImageRecord]:
    """Return the real images that are not quarantined, sorted by content, then id."""
    real = (r for r in records if r.source == "real" and not r.quarantined)
    return sorted(real, key=lambda r: (r.sha256, r.image_id))


def usable_synthetic_records(records: Iterable[ImageRecord]) -> list[ImageRecord]:
    """Return the synthetic images that are not quarantined, sorted by content, then id.

    An image that several versions hold counts once, and not at all when one has it quarantined.
    """
    images = {r.image_id: r for r in sorted(records, key=lambda r: r.quarantined)}
    made = (r for r in images.values() if r.source == "synthetic" and not r.quarantined)
    return sorted(made, key=lambda r: (r.sha256, r.image_id))


def with_usable_parents(
    made: Iterable[ImageRecord], real: Iterable[ImageRecord]
) -> list[ImageRecord]:
    """Return the synthetic images all of whose parents are among these real ones, by content.

    What was made from an image that has since been dropped, quarantined or given another label
    goes with it, though other images of its group have stayed.
    """
    labels = {record.sha256: record.label for record in real}
    return [record for record in made if _stands(record, labels)]


def _stands(made: ImageRecord, labels: Mapping[str, str]) -> bool:
    told = {row["sha256"]: row["label"] for row in made.provenance.get("parents", ())}
    return all(
        sha256 in labels and told.get(sha256, labels[sha256]) == labels[sha256]
        for sha256 in made.parent_sha256
    )


def cohort(records: Iterable[ImageRecord], *, least: int = 2) -> Cohort:
    """Return the real, usable images as a cohort; InvalidInput below so many classes."""
    import numpy as np

    real = tuple(usable_real(records))
    classes = tuple(sorted({r.label for r in real}))
    if len(classes) < least:
        raise too_few_classes(classes, least)
    group_of = tuple(components([r.group_ids for r in real]))
    number = {name: i for i, name in enumerate(sorted(set(group_of)))}
    return Cohort(
        records=real,
        classes=classes,
        labels=class_numbers(real, classes),
        groups=np.array([number[name] for name in group_of], dtype=np.int64),
        group_of=group_of,
    )


def class_numbers(records: Sequence[ImageRecord], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return each image's class as a number into ``classes``; InvalidInput for a foreign label."""
    import numpy as np

    number = {name: i for i, name in enumerate(classes)}
    foreign = sorted({r.label for r in records} - number.keys())
    if foreign:
        raise InvalidInput(
            f"Synthetic images carry classes that the real images have not: {', '.join(foreign)}",
            code="unknown_class",
        )
    return np.array([number[r.label] for r in records], dtype=np.int64)


def training_groups(records: Sequence[ImageRecord]) -> NDArray[np.int64]:
    """Return a group number for each training image, for what a classifier holds out inside.

    A real image has the component that it is tied to. A synthetic one goes with its first group
    alone: all of them would chain most images into one group. One without groups stands alone.
    """
    import numpy as np

    real = [r for r in records if r.source == "real"]
    named = zip(real, components([r.group_ids for r in real]), strict=True)
    component = {group: name for record, name in named for group in record.group_ids}
    names = [
        component.get(r.group_ids[0], r.group_ids[0]) if r.group_ids else r.image_id
        for r in records
    ]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def weak_classes(labels: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    """Mark the classes that are smaller than the largest one."""
    import numpy as np

    counts = np.bincount(labels, minlength=classes)
    return np.asarray(counts < counts.max())


def too_few_classes(classes: Sequence[str], least: int = 2) -> InvalidInput:
    """Return the error for a dataset that holds nothing to tell apart, or nothing at all."""
    found = f"only the class {classes[0]!r}" if classes else "no usable image"
    needed = "Two classes are" if least == 2 else "An image is"
    return InvalidInput(f"{needed} needed; the dataset has {found}.", code="too_few_classes")
