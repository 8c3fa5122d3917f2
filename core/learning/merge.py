"""The end of an experiment: verdict.json and its pictures, from predictions and settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from core.learning.analysis import Analysis, ModelScores
from core.learning.comparison import MIN_TEST_GROUPS, PRIMARY_ARM, Question
from core.learning.inference import RANK_REPLICATES
from core.learning.model_file import library_versions
from core.learning.predictions import Predictions
from core.learning.ranking import MIN_POSITIVES
from core.learning.scores import ECE_BINS, calibration_bins
from core.learning.verdict import ALPHA


def told_once(notes: Iterable[str], folds: int) -> list[str]:
    """Return each note once, with the number of folds that it came from."""
    counts = Counter(notes)
    return [f"{note} ({count} of {folds} models)" for note, count in sorted(counts.items())]


def method_settings(question: Question, **more: Any) -> dict[str, Any]:
    """Return what a reader needs to repeat the numbers."""
    return {
        "metric": "balanced accuracy: mean recall of the classes, decisions pooled over folds",
        "comparators": list(question.comparators),
        "generator_augment_is_treatment": question.augmented,
        "alpha": ALPHA,
        "min_test_groups": MIN_TEST_GROUPS,
        "min_positives_per_fold": MIN_POSITIVES,
        "ece_bins": ECE_BINS,
        "min_groups_of_a_class_in_a_subgroup": MIN_TEST_GROUPS,
        "interval_of_ranking_metrics": "the same bootstrap inside each fold's model, at most "
        f"{RANK_REPLICATES} replicates",
        "interval": "percentile bootstrap over test groups, stratified by class, paired over arms "
        "and seeds; conditional on this dataset and its training sets",
        "p": "2 min(tail) + 1/B",
        "libraries": library_versions(),
        **more,
    }


def class_tables(found: Analysis, question: Question) -> list[dict[str, Any]]:
    """Return one row an arm and class of the primary classifier: precision, recall, F1, ranks."""
    total = None
    rows: list[dict[str, Any]] = []
    for (arm, classifier), known in found.scores.items():
        if classifier != question.classifier:
            continue
        total = int(known.classes.support.sum())
        rows.extend(_class_rows(arm, known, question.classes, total))
    return rows


def _class_rows(
    arm: str, known: ModelScores, classes: Sequence[str], total: int
) -> list[dict[str, Any]]:
    import math

    def finite(value: float) -> float | None:
        return None if math.isnan(value) else float(value)

    return [
        {
            "arm": arm,
            "class": name,
            "precision": float(known.classes.precision[c]),
            "recall": float(known.classes.recall[c]) if known.classes.support[c] else None,
            "f1": float(known.classes.f1[c]) if known.classes.support[c] else None,
            "support": int(known.classes.support[c]),
            "auroc": finite(float(known.ranking.auroc[c])),
            "auprc": finite(float(known.ranking.auprc[c])),
            "prevalence": int(known.classes.support[c]) / total,
        }
        for c, name in enumerate(classes)
    ]


def training_table(outcomes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the smallest and largest training count of each arm and class over all folds.

    outcomes are results of fold jobs with ``training``: {arm: {class: images}}.
    """
    counts: dict[tuple[str, str], list[int]] = {}
    for outcome in outcomes:
        for arm, classes in outcome["training"].items():
            for name, count in classes.items():
                counts.setdefault((arm, name), []).append(count)
    return [
        {"arm": arm, "class": name, "fewest": min(seen), "most": max(seen)}
        for (arm, name), seen in counts.items()
    ]


def verdict_figures(
    found: Analysis, question: Question, verdict: dict[str, Any], predictions: Predictions
) -> dict[str, bytes]:
    """Return PNG bytes by file name: arms, classes, doses, calibration, confusion of every arm."""
    from core.plots.arms import arms_figure, forest_figure
    from core.plots.confusion import confusion_figure
    from core.plots.curves import calibration_figure, dose_figure, worth_figure

    figures = {
        "arms.png": arms_figure(verdict["arms"], question.classifier, 1 / len(question.classes)),
        "per_class.png": forest_figure(verdict["per_class"]),
    }
    if verdict["exploratory"]["dose_response"]:
        figures["dose_response.png"] = dose_figure(
            verdict["exploratory"]["dose_response"], verdict["exploratory"]["knee"]
        )
    if (verdict["worth"] or {}).get("curve"):
        figures["worth.png"] = worth_figure(verdict["worth"])
    if curves := _calibration(found, question, predictions):
        figures["calibration.png"] = calibration_figure(curves)
    for (arm, classifier), known in found.scores.items():
        if classifier == question.classifier:
            title = f"{arm}, {classifier.replace('_', ' ')}, {len(known.by_seed)} seeds pooled"
            figures[f"confusion_{arm}.png"] = confusion_figure(
                known.matrix, question.classes, title
            )
    return figures


def _calibration(
    found: Analysis, question: Question, predictions: Predictions
) -> dict[str, list[tuple[float, float, int]]]:
    """Return the calibration curves of ``real`` and of the primary arm."""
    curves = {}
    for arm in ("real", PRIMARY_ARM):
        model = (arm, question.classifier)
        if model in found.scores:
            chances = predictions.probabilities[predictions.models.index(model)]
            curves[arm] = calibration_bins(predictions.labels, chances, predictions.folds)
    return curves
