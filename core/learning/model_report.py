"""What a trained model did on its test side: report.json, with an interval where one is honest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.learning.comparison import MIN_TEST_GROUPS
from core.learning.inference import Replicates, bootstrap, interval, rank_bootstrap
from core.learning.model_file import INTENDED_USE
from core.learning.scores import (
    DECISION_METRICS,
    class_scores,
    confusion,
    decision_scores,
    ranking_scores,
)
from core.learning.splits import components
from core.learning.subgroups import ATTRIBUTES, MAX_LEVELS
from core.learning.training import Regime
from core.manifest import ImageRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REPLICATES = 2000


def test_report(plan: Regime, chances: NDArray[np.float32], seed: int) -> dict[str, Any]:
    """Return report.json: scores with group-bootstrap intervals, by class and by subgroup.

    chances is test images x classes.
    """
    import numpy as np

    size = len(plan.classes)
    decisions = chances.argmax(axis=1)
    matrix = confusion(plan.test_labels, decisions, size)
    groups = _groups(plan.test)
    drawn = bootstrap(plan.test_labels, groups, decisions[None, None], size, REPLICATES, seed)
    overall = decision_scores(matrix)
    scores: dict[str, Any] = {
        name: {"value": overall[name], "interval": list(interval(drawn.metric(name)[:, 0]))}
        for name in DECISION_METRICS
    }
    return {
        "classes": list(plan.classes),
        "n_train": len(plan.train),
        "n_test": len(plan.test),
        "test_groups": int(groups.max()) + 1,
        "excluded_synthetic": plan.excluded,
        "excluded_namesakes": plan.namesakes,
        "scores": scores | _ranks(plan, chances, groups, seed),
        "per_class": _per_class(plan, matrix, groups, drawn),
        "subgroups": subgroups(plan, decisions, groups, seed),
        "confusion": np.asarray(matrix).tolist(),
        "interval": f"95 % percentile bootstrap over test groups, {REPLICATES} replicates",
        "intended_use": INTENDED_USE,
    }


def _groups(records: Sequence[ImageRecord]) -> NDArray[np.int64]:
    import numpy as np

    names = components([r.group_ids for r in records])
    return np.unique(np.array(names, dtype=str), return_inverse=True)[1].astype(np.int64)


def _ranks(
    plan: Regime, chances: NDArray[np.float32], groups: NDArray[np.int64], seed: int
) -> dict[str, Any]:
    """Return the areas with intervals; ECE has none, because resampling inflates it."""
    import numpy as np

    one = np.zeros((1, len(chances)), dtype=np.int64)
    values = ranking_scores(plan.test_labels, chances[None], one).macro()
    drawn = rank_bootstrap(plan.test_labels, groups, chances[None, None], one, REPLICATES, seed)
    found: dict[str, Any] = {}
    for name, value in values.items():
        between = None
        if name != "ece" and value is not None:
            replicates = drawn.macro(name)[:, 0]
            between = list(interval(replicates[np.isfinite(replicates)]))
        found[name] = {"value": value, "interval": between}
    return found


def _per_class(
    plan: Regime, matrix: NDArray[np.int64], groups: NDArray[np.int64], drawn: Replicates
) -> list[dict[str, Any]]:
    """Return a row a class; recall has an interval from MIN_TEST_GROUPS test groups on."""
    import numpy as np

    size = len(plan.classes)
    each = class_scores(matrix)
    real = np.array([r.source == "real" for r in plan.train])
    rows = []
    for c, name in enumerate(plan.classes):
        tested = len(np.unique(groups[plan.test_labels == c]))
        known = tested >= MIN_TEST_GROUPS
        rows.append(
            {
                "class": name,
                "train": int(np.bincount(plan.train_labels, minlength=size)[c]),
                "train_synthetic": int(((plan.train_labels == c) & ~real).sum()),
                "support": int(each.support[c]),
                "test_groups": tested,
                "precision": float(each.precision[c]),
                "recall": float(each.recall[c]),
                "recall_interval": list(interval(drawn.recall[:, 0, c])) if known else None,
                "f1": float(each.f1[c]),
            }
        )
    return rows


def subgroups(
    plan: Regime, decisions: NDArray[np.int64], groups: NDArray[np.int64], seed: int
) -> list[dict[str, Any]]:
    """Return a row an attribute and value of the test images, the largest MAX_LEVELS of each.

    balanced_accuracy is over the classes with MIN_TEST_GROUPS test groups in the subgroup; with
    fewer than two such classes the row abstains and says so.
    """
    rows = []
    for attribute, read in ATTRIBUTES.items():
        levels: dict[str, list[int]] = {}
        for place, record in enumerate(plan.test):
            level = read(record.metadata.get(attribute))
            if level is not None:
                levels.setdefault(level, []).append(place)
        ordered = sorted(levels, key=lambda name: (-len(levels[name]), name))[:MAX_LEVELS]
        rows += [
            {"attribute": attribute, "level": level}
            | _subgroup(plan.test_labels, decisions, groups, levels[level], seed)
            for level in ordered
        ]
    return rows


def _subgroup(
    labels: NDArray[np.int64],
    decisions: NDArray[np.int64],
    groups: NDArray[np.int64],
    places: Sequence[int],
    seed: int,
) -> dict[str, Any]:
    import numpy as np

    here = np.array(places)
    row = {
        "n_images": len(here),
        "n_groups": len(np.unique(groups[here])),
        "classes": 0,
        "balanced_accuracy": None,
        "interval": None,
        "reason": f"fewer than two classes have {MIN_TEST_GROUPS} test groups here",
    }
    counted = {c: len(np.unique(groups[here][labels[here] == c])) for c in np.unique(labels[here])}
    large = sorted(int(c) for c, count in counted.items() if count >= MIN_TEST_GROUPS)
    if len(large) < 2:
        return row
    here = here[np.isin(labels[here], large)]
    number = np.full(int(max(labels.max(), decisions.max())) + 1, len(large))
    number[large] = np.arange(len(large))
    mine, told = number[labels[here]], number[decisions[here]]
    own = np.unique(groups[here], return_inverse=True)[1]
    drawn = bootstrap(mine, own, told[None, None], len(large) + 1, REPLICATES, seed)
    score = decision_scores(confusion(mine, told, len(large) + 1))["balanced_accuracy"]
    return row | {
        "classes": len(large),
        "balanced_accuracy": score,
        "interval": list(interval(drawn.metric("balanced_accuracy")[:, 0])),
        "reason": None,
    }
