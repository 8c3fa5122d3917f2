"""The verdict on segmentation: do synthetic images with masks help to outline real lesions?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.learning.comparison import MIN_TEST_GROUPS
from core.learning.inference import holm, interval, p_value, smallest_detectable, with_seeds
from core.learning.segmentation.analysis import METRICS, OVERALL, PRIMARY_METRIC, Analysis
from core.learning.segmentation.schema import SCHEMA_VERSION
from core.learning.verdict import ALPHA, Verdict

ARM, COMPARATOR = "combined", "real"
PAIRS = (("combined", "real"), ("synthetic", "real"))

_UNUSABLE = (
    "in some folds none could be used: there are too few synthetic images with a mask whose groups "
    "all lie on the training side"
)
_NOT_BOTH = "the arms combined and real were not both estimated"
_FEW = f"fewer than {MIN_TEST_GROUPS} test groups"


def primary_member(found: Analysis, seed: int) -> dict[str, Any]:
    """Return the member ``primary`` of segmentation.json.

    helps: the lower 95 % bound of the difference in mean Dice is above 0; hurts: the upper one is
    below 0. not_estimable: an arm is missing, or there are fewer than MIN_TEST_GROUPS test groups.
    """
    row: dict[str, Any] = {
        "metric": PRIMARY_METRIC,
        "arm": ARM,
        "comparator": COMPARATOR,
        "verdict": "not_estimable",
        "reason": _NOT_BOTH,
        "difference": None,
        "interval": None,
        "p": None,
        "interval_with_seeds": None,
        "smallest_detectable": None,
    }
    if not {ARM, COMPARATOR} <= found.arms.keys():
        return row
    row["difference"] = found.difference(ARM, COMPARATOR, PRIMARY_METRIC)
    if found.groups < MIN_TEST_GROUPS:
        return row | {"reason": f"{_FEW} ({found.groups})"}
    paired = found.paired(ARM, COMPARATOR, PRIMARY_METRIC)
    by_seed = found.arms[ARM].by_seed - found.arms[COMPARATOR].by_seed
    verdict, reason = _judge(interval(paired))
    return row | {
        "verdict": verdict,
        "reason": reason,
        "interval": list(interval(paired)),
        "p": p_value(paired),
        "interval_with_seeds": list(interval(with_seeds(by_seed, seed))),
        "smallest_detectable": smallest_detectable(paired),
    }


def _judge(bounds: tuple[float, float]) -> tuple[Verdict, str]:
    if bounds[0] > 0:
        return "helps", "better than real"
    return (
        ("hurts", "worse than real") if bounds[1] < 0 else ("no_evidence", "not better than real")
    )


def arms_member(
    found: Analysis, arms: Sequence[str], training: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the member ``arms``; training: images by arm."""
    estimable = found.groups >= MIN_TEST_GROUPS
    rows = []
    for arm in arms:
        known = found.arms.get(arm)
        rows.append(
            {
                "arm": arm,
                "scores": _scores(found, arm, OVERALL, estimable=estimable) if known else {},
                "seeds": known.seeds.tolist() if known else [],
                "training_images": training.get(arm),
                "valid": known is not None,
                "invalid_reason": None if known else _UNUSABLE,
            }
        )
    return rows


def _scores(found: Analysis, arm: str, place: int, *, estimable: bool) -> dict[str, Any]:
    known = found.arms[arm]
    return {
        metric: {
            "value": known.value(metric, place),
            "interval": list(known.interval(metric, place)) if estimable else None,
        }
        for metric in METRICS
    }


def differences_member(found: Analysis) -> list[dict[str, Any]]:
    """Return the paired differences in Dice and IoU; none with too few test groups."""
    rows: list[dict[str, Any]] = []
    if found.groups < MIN_TEST_GROUPS:
        return rows
    for arm, other in PAIRS:
        if {arm, other} <= found.arms.keys():
            for metric in METRICS:
                paired = found.paired(arm, other, metric)
                rows.append(
                    {
                        "arm": arm,
                        "comparator": other,
                        "metric": metric,
                        "difference": found.difference(arm, other, metric),
                        "interval": list(interval(paired)),
                        "p": p_value(paired),
                    }
                )
    return rows


def per_class_member(found: Analysis, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the member ``per_class``: Holm over the classes with enough test groups."""
    both = {ARM, COMPARATOR} <= found.arms.keys()
    tested = [c for c, n in enumerate(found.n_groups) if n >= MIN_TEST_GROUPS and both]
    paired = {c: found.paired(ARM, COMPARATOR, PRIMARY_METRIC, c + 1) for c in tested}
    adjusted = dict(zip(tested, holm([p_value(paired[c]) for c in tested]), strict=True))
    rows = []
    for c, name in enumerate(classes):
        enough = found.n_groups[c] >= MIN_TEST_GROUPS
        row: dict[str, Any] = {
            "class": name,
            "n_images": found.n_images[c],
            "n_groups": found.n_groups[c],
            "arms": {arm: _scores(found, arm, c + 1, estimable=enough) for arm in found.arms},
            "verdict": "not_estimable",
            "difference": None,
            "interval": None,
            "p_holm": None,
            "reason": _NOT_BOTH if enough else _FEW,
        }
        if c in paired:
            p_holm, level = adjusted[c]
            bounds = interval(paired[c], level)
            verdict, reason = _judge(bounds)
            if p_holm >= ALPHA:
                verdict, reason = "no_evidence", "not better than real"
            row |= {
                "verdict": verdict,
                "difference": found.difference(ARM, COMPARATOR, PRIMARY_METRIC, c + 1),
                "interval": list(bounds),
                "p_holm": p_holm,
                "reason": reason,
            }
        rows.append(row)
    return rows


def segmentation_document(
    found: Analysis,
    classes: Sequence[str],
    arms: Sequence[str],
    *,
    training: Mapping[str, float],
    fold_table_sha256: str,
    images: Mapping[str, int],
    settings: Mapping[str, Any],
    warnings: Sequence[str],
    cannot_exclude: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    """Return segmentation.json; its shape is :mod:`core.learning.segmentation.schema`."""
    few = [
        f"{name} ({n})"
        for name, n in zip(classes, found.n_groups, strict=True)
        if n < MIN_TEST_GROUPS
    ]
    small = (
        [f"Classes with fewer than {MIN_TEST_GROUPS} independent test groups: {', '.join(few)}"]
        if few
        else []
    )
    return {
        "schema_version": SCHEMA_VERSION,
        "fold_table_sha256": fold_table_sha256,
        "primary": primary_member(found, seed),
        "arms": arms_member(found, arms, training),
        "differences": differences_member(found),
        "per_class": per_class_member(found, classes),
        "images": dict(images),
        "settings": dict(settings),
        "warnings": [*small, *warnings],
        "cannot_exclude": list(cannot_exclude),
    }
