"""Training one served model: the train side of the imported split, tested on its test side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import InvalidInput
from core.ingest.groups import metadata_keys
from core.learning.arms import usable_synthetic
from core.learning.cohort import (
    class_numbers,
    too_few_classes,
    usable_real,
    with_usable_parents,
)
from core.learning.cohort import usable_synthetic_records as made_images
from core.learning.firewall import check_no_leak
from core.manifest import ImageRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Regime:
    """What a model is trained and tested on; labels are numbers into ``classes``.

    excluded counts synthetic images that have a parent group outside the training side, namesakes
    real images of the training split of whose patient or lesion another version tests an image.
    """

    classes: tuple[str, ...]
    train: tuple[ImageRecord, ...]
    train_labels: NDArray[np.int64]
    test: tuple[ImageRecord, ...]
    test_labels: NDArray[np.int64]
    excluded: int
    namesakes: int


def regime(records: Iterable[ImageRecord]) -> Regime:
    """Compose the training and the test side of one model from the images of its versions.

    An image that several versions hold counts once. InvalidInput: ``too_few_classes`` below two
    trained classes, ``too_few_images`` without test images; LeakDetected when a test image is tied
    to the training side.
    """
    unique = list({(r.sha256, r.split, r.label): r for r in records}.values())
    real = usable_real(unique)
    test = [r for r in real if r.split == "test"]
    marked = [r for r in real if r.split == "train"]
    # groups are known within a dataset only; the names of patients and lesions go beyond it
    tested = {name for r in test for name in _names(r)}
    train = [r for r in marked if tested.isdisjoint(_names(r))]
    made = made_images(unique)
    groups = {group for r in train for group in r.group_ids}
    own = with_usable_parents(made, real)
    allowed = [own[i] for i in usable_synthetic([r.group_ids for r in own], groups)]
    classes = tuple(sorted({r.label for r in [*train, *allowed]}))
    if len(classes) < 2:
        raise too_few_classes(classes)
    if not test:
        raise InvalidInput(
            "The versions hold no real image of the split test, so the model could not be judged. "
            "Import more images, or more patients or lesions.",
            code="too_few_images",
        )
    check_no_leak([*train, *allowed], test)
    sides = (*train, *allowed)
    foreign = sorted({r.label for r in test} - set(classes))
    if foreign:
        raise InvalidInput(
            f"Classes without a single training image: {', '.join(foreign)}", code="too_few_images"
        )
    return Regime(
        classes=classes,
        train=sides,
        train_labels=class_numbers(sides, classes),
        test=tuple(test),
        test_labels=class_numbers(test, classes),
        excluded=len(made) - len(allowed),
        namesakes=len(marked) - len(train),
    )


def _names(record: ImageRecord) -> list[str]:
    _, *names = metadata_keys(record.metadata, record.pixel_sha256)
    return names


def check_counts(by_class: Sequence[tuple[str, dict[str, int]]]) -> None:
    """Refuse classes and splits that no model can be trained or judged on.

    by_class: (class, real images by split). InvalidInput ``too_few_classes``, ``too_few_images``.
    """
    filled = [name for name, split in by_class if sum(split.values())]
    if len(filled) < 2:
        raise too_few_classes(filled)
    if not any(split.get("test") for _, split in by_class):
        raise InvalidInput(
            "No class has a real image in the split test: a class needs images of at least two "
            "independent groups to be trained and tested",
            code="too_few_images",
        )
