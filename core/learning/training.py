"""Training one served model: the train side of the imported split, tested on its test side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
from core.learning.contract import CLASSIFIERS
from core.learning.firewall import check_no_leak
from core.learning.inference import bootstrap, interval
from core.learning.model_file import INTENDED_USE
from core.learning.scores import (
    DECISION_METRICS,
    class_scores,
    confusion,
    decision_scores,
    ranking_scores,
)
from core.learning.splits import components
from core.manifest import ImageRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REPLICATES = 2000


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


def test_report(plan: Regime, chances: NDArray[np.float32], seed: int) -> dict[str, Any]:
    """Return report.json: scores with group-bootstrap intervals, scores by class, confusion.

    chances is test images x classes.
    """
    import numpy as np

    size = len(plan.classes)
    decisions = chances.argmax(axis=1)
    matrix = confusion(plan.test_labels, decisions, size)
    names = components([r.group_ids for r in plan.test])
    groups = np.unique(np.array(names, dtype=str), return_inverse=True)[1]
    drawn = bootstrap(plan.test_labels, groups, decisions[None, None], size, REPLICATES, seed)
    ranks = ranking_scores(plan.test_labels, chances[None], np.zeros((1, len(decisions))))
    overall = decision_scores(matrix)
    each = class_scores(matrix)
    scores = {
        name: {"value": overall[name], "interval": list(interval(drawn.metric(name)[:, 0]))}
        for name in DECISION_METRICS
    } | {name: {"value": value, "interval": None} for name, value in ranks.macro().items()}
    trained = np.bincount(plan.train_labels, minlength=size).tolist()
    return {
        "classes": list(plan.classes),
        "n_train": len(plan.train),
        "n_test": len(plan.test),
        "test_groups": int(groups.max()) + 1,
        "excluded_synthetic": plan.excluded,
        "excluded_namesakes": plan.namesakes,
        "scores": scores,
        "per_class": [
            {
                "class": name,
                "train": trained[c],
                "support": int(each.support[c]),
                "precision": float(each.precision[c]),
                "recall": float(each.recall[c]),
                "f1": float(each.f1[c]),
            }
            for c, name in enumerate(plan.classes)
        ],
        "confusion": matrix.tolist(),
        "interval": f"95 % percentile bootstrap over test groups, {REPLICATES} replicates",
        "intended_use": INTENDED_USE,
    }


def model_card(name: str, info: dict[str, Any], report: dict[str, Any]) -> str:
    """Return model_card.md: what the model is, what it saw, how it did and what it is not for."""
    caution = CLASSIFIERS.get(info["classifier"]).caution
    score = report["scores"]["balanced_accuracy"]
    low, high = score["interval"]
    rows = [
        f"| {_cell(r['class'])} | {r['train']} | {r['support']} | {r['precision']:.3f} | "
        f"{r['recall']:.3f} | {r['f1']:.3f} |"
        for r in report["per_class"]
    ]
    return "\n".join(
        [
            f"# {_cell(name)}",
            "",
            f"**Intended use: {INTENDED_USE}.** The model is no medical device. It has not been",
            "validated on other hospitals, cameras or populations, and its probabilities are not",
            "calibrated for any decision about a person.",
            "",
            f"- Classifier: {info['classifier']}, parameters {_cell(str(info['params']))}",
            *([f"- **{caution}**"] if caution else []),
            f"- Backbone: {info['backbone']} (sha256 {info['backbone_sha256']})",
            f"- Training versions: {', '.join(info['training_version_ids'])}",
            f"- Training images: {report['n_train']}; synthetic images left out because a parent's "
            f"group is not on the training side: {report['excluded_synthetic']}",
            f"- Training images left out because a version tests an image of the same patient "
            f"or lesion, by name: {report['excluded_namesakes']}",
            f"- Test images: {report['n_test']} real ones of {report['test_groups']} groups",
            f"- Balanced accuracy: {score['value']:.3f} ({low:.3f} to {high:.3f})",
            f"- Seed: {info['seed']}; libraries: {_cell(str(info['versions']))}",
            "",
            "| class | training images | test images | precision | recall | F1 |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"Intervals: {report['interval']}. They are conditional on this dataset and this",
            "training set. Whether synthetic images help is the question of an experiment.",
            "",
        ]
    )


def _cell(text: str) -> str:
    """Return foreign text as one harmless line of Markdown."""
    plain = " ".join(text.split())
    for mark in "\\`*_|<>[]#":
        plain = plain.replace(mark, f"\\{mark}")
    return plain


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
