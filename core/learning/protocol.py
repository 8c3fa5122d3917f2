"""The course project's own protocol, exactly, as a warning: its numbers are never a valid estimate.

Images, not groups, are split, so that copies of one photograph stand on both sides; the synthetic
and combined tables are scored on synthetic images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.learning.scores import class_scores, confusion, decision_scores
from core.manifest import ImageRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEST_SIZE = 0.2
RANDOM_STATE = 42
TREES = 100
AUGMENTED_TO = 30
"""With ``real_is_augmented`` the course project filled each class below this many images."""

NOTE = "not a valid estimate: images are split, not groups, and copies stand on both sides"

PUBLISHED: dict[str, Any] = {
    "note": "published, not comparable",
    "real": 0.76,
    "synthetic": 0.90,
    "combined": 0.9412,
    "fid": 131.19,
}


@dataclass(frozen=True, slots=True)
class LegacyTable:
    """One pooled table: images x features and a label each, in the order of files in folders."""

    features: NDArray[np.float32]
    labels: Sequence[str]


def file_order(records: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Sort images as a folder a class is read: by class, then file name, then content."""
    return sorted(records, key=lambda r: (r.label, r.filename, r.sha256, r.image_id))


def generate_counts(weak: Sequence[str], per_class: int) -> dict[str, int]:
    """Return how many images the course project's generator makes of each weak class."""
    return dict.fromkeys(weak, per_class) if per_class else {}


def augment_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Return how many copies fill each class that is below 30 images."""
    return {name: AUGMENTED_TO - n for name, n in counts.items() if 0 < n < AUGMENTED_TO}


def legacy_protocol(
    tables: Mapping[str, LegacyTable], *, threads: int, real_is_augmented: bool
) -> dict[str, Any]:
    """Return the member ``legacy_protocol`` of verdict.json for real, synthetic and combined.

    Each table: a stratified split of images (20 % test, random_state 42), a random forest of 100
    trees (random_state 42). A class with a single image cannot be split and is left out, by name; a
    table that cannot be split at all has null scores and a reason.
    """
    return {
        "valid": False,
        "note": NOTE,
        "real_is_augmented": real_is_augmented,
        "published": PUBLISHED,
        **{name: _run(table, threads) for name, table in tables.items()},
    }


def _run(table: LegacyTable, threads: int) -> dict[str, Any]:
    import numpy as np

    sizes = Counter(table.labels)
    left_out = sorted(name for name, n in sizes.items() if n < 2)
    kept = np.array([sizes[name] >= 2 for name in table.labels], dtype=bool)
    classes = sorted(set(sizes) - set(left_out))
    reason = _impossible(int(kept.sum()), len(classes))
    if reason:
        return _row(None, None, int(kept.sum()), left_out, reason)
    labels = np.array([classes.index(n) for n in table.labels if n in set(classes)])
    truth, decided = _fit(table.features[kept], labels, threads)
    matrix = confusion(truth, decided, len(classes))
    each = class_scores(matrix)
    report = [
        {"class": name, "precision": p, "recall": r, "f1": f, "support": n}
        for name, p, r, f, n in zip(
            classes,
            each.precision.tolist(),
            each.recall.tolist(),
            each.f1.tolist(),
            each.support.tolist(),
            strict=True,
        )
    ]
    reason = f"classes with one image left out: {', '.join(left_out)}" if left_out else None
    return _row(decision_scores(matrix), report, len(labels), left_out, reason)


def _impossible(images: int, classes: int) -> str | None:
    """Say why a stratified 80/20 split does not exist; None when it does."""
    import math

    if classes < 2:
        return "fewer than two classes with at least two images"
    test = math.ceil(images * TEST_SIZE)
    if test < classes or images - test < classes:
        return f"{images} images are too few to stratify {classes} classes"
    return None


def _fit(
    features: NDArray[np.float32], labels: NDArray[np.int64], threads: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import train_test_split

    x_train, x_test, y_train, y_test = train_test_split(
        features, labels, test_size=TEST_SIZE, stratify=labels, random_state=RANDOM_STATE
    )
    forest = RandomForestClassifier(
        n_estimators=TREES, random_state=RANDOM_STATE, n_jobs=threads
    ).fit(x_train, y_train)
    return y_test, forest.predict(x_test)


def _row(
    scores: dict[str, float] | None,
    report: list[dict[str, Any]] | None,
    images: int,
    left_out: list[str],
    reason: str | None,
) -> dict[str, Any]:
    known = scores or {}
    return {
        "accuracy": known.get("accuracy"),
        "balanced_accuracy": known.get("balanced_accuracy"),
        "macro_f1": known.get("macro_f1"),
        "images": images,
        "report": report,
        "left_out": left_out,
        "reason": reason,
    }
