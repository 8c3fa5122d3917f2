"""The sentences of a report: what was found, why, and what cannot be said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.plots.report_numbers import bounds, finite, interval_text, number, signed

ARM_NAMES = {
    "real": "Real images only",
    "class_weight": "Real, class weights",
    "logit_adjust": "Real, logit adjustment",
    "oversample": "Real, oversampled",
    "augment": "Real, plain augmentation",
    "synthetic": "Synthetic only, tested on real",
    "combined": "Real + synthetic",
    "combined_class_weight": "Real + synthetic, class weights",
    "control_shuffled": "Control: labels permuted",
    "control_noise": "Control: noise images",
    "control_copycat": "Control: near-copies",
    "external": "Predictions made elsewhere",
}

METRIC_NAMES = {
    "balanced_accuracy": "Balanced accuracy",
    "macro_auroc": "Macro AUROC",
    "macro_f1": "Macro F1",
    "accuracy": "Accuracy",
    "macro_auprc": "Macro AUPRC",
    "auprc": "AUPRC",
    "ece": "ECE",
}

VERDICT_NAMES = {
    "helps": "Helps",
    "no_evidence": "No evidence",
    "hurts": "Hurts",
    "not_estimable": "Not estimable",
}


_REMEDIES = {
    "class_weight": "class weights",
    "logit_adjust": "logit adjustment",
    "oversample": "oversampling",
    "augment": "plain augmentation",
}


def arm_name(arm: str) -> str:
    """Return an arm as a reader says it; dose-response arms by their ratio."""
    if arm.startswith("combined_r"):
        return f"Real + synthetic, {arm.removeprefix('combined_r')} per real image"
    return ARM_NAMES.get(arm, arm.replace("_", " "))


def metric_name(metric: str) -> str:
    return METRIC_NAMES.get(metric, metric.replace("_", " "))


def headline(primary: Mapping[str, Any]) -> str:
    """Return the verdict in one plain sentence.

    ``primary`` is the member of verdict.json; the best remedy is the comparator with the smallest
    difference.
    """
    verdict = primary.get("verdict")
    if verdict == "not_estimable" or verdict not in VERDICT_NAMES:
        return _not_estimable(primary)
    metric = metric_name(str(primary.get("metric", "balanced_accuracy"))).lower()
    compared = [
        c for c in primary.get("comparisons") or () if finite(c.get("difference")) is not None
    ]
    real = next((c for c in compared if c.get("comparator") == "real"), None)
    if verdict == "no_evidence" and _only_with_small_classes(primary, compared, real):
        return _small_classes_decide(primary, real, metric)
    if verdict == "helps" and compared:
        return _helps(min(compared, key=lambda c: c["difference"]), metric)
    if verdict == "hurts":
        return f"Synthetic images hurt: {_against(real, metric, 'real images alone')}."
    return _no_evidence(primary, compared, real, metric)


def _helps(best: Mapping[str, Any], metric: str) -> str:
    remedy = "the best remedy without synthesis"
    if best.get("comparator") != "real":
        remedy += f", {_remedy(best)}"
    return f"Synthetic images help: {_against(best, metric, remedy, 'over')}."


def _no_evidence(
    primary: Mapping[str, Any],
    compared: Sequence[Mapping[str, Any]],
    real: Mapping[str, Any] | None,
    metric: str,
) -> str:
    beaten = [c for c in compared if _above_zero(c)]
    others = [_remedy(c) for c in compared if not _above_zero(c) and c is not real]
    if real is not None and real in beaten and others:
        text = (
            f"Better than real images alone ({signed(real['difference'])} {metric}, 95 % interval "
            f"{interval_text(real.get('interval'), with_sign=True)}), but not than "
            f"{_listed(others)}: no evidence that synthesis itself helps"
        )
    elif real is not None:
        text = (
            f"No evidence that synthetic images help: {_against(real, metric, 'real images alone')}"
        )
    else:
        text = "No evidence that synthetic images help"
    smallest = finite(primary.get("smallest_detectable"))
    if smallest is None:
        return f"{text}."
    return f"{text}; the smallest difference this dataset could have shown is {number(smallest)}."


def _only_with_small_classes(
    primary: Mapping[str, Any],
    compared: Sequence[Mapping[str, Any]],
    real: Mapping[str, Any] | None,
) -> bool:
    """Tell whether a clear result over all classes is not one over the well tested ones alone."""
    if real is None or not (primary.get("well_tested") or {}).get("comparisons"):
        return False
    ends = bounds(real.get("interval"))
    return all(_above_zero(c) for c in compared) or (ends is not None and ends[1] < 0)


def _small_classes_decide(
    primary: Mapping[str, Any], real: Mapping[str, Any] | None, metric: str
) -> str:
    better = real is not None and _above_zero(real)
    alone = primary["well_tested"]
    first = next((c for c in alone["comparisons"] if c.get("comparator") == "real"), None)
    names = ", ".join(str(name) for name in alone.get("classes") or ())
    return (
        f"No evidence that synthetic images {'help' if better else 'hurt'}: over all classes "
        f"{_against(real, metric, 'real images alone')}, but over the classes with enough test "
        f"groups alone ({names}) it is not shown: {_against(first, metric, 'real images alone')}."
    )


def _remedy(comparison: Mapping[str, Any]) -> str:
    comparator = str(comparison.get("comparator"))
    return _REMEDIES.get(comparator, arm_name(comparator))


def _not_estimable(primary: Mapping[str, Any]) -> str:
    reason = str(primary.get("reason") or "").strip().rstrip(".")
    text = "Whether synthetic images help cannot be estimated from this dataset"
    return f"{text}: {reason}." if reason else f"{text}: it has too few independent images."


def _against(
    comparison: Mapping[str, Any] | None, metric: str, whom: str, preposition: str = "against"
) -> str:
    if comparison is None:
        return f"less {metric} than {whom}"
    return (
        f"{signed(comparison['difference'])} {metric} {preposition} {whom} "
        f"(95 % interval {interval_text(comparison.get('interval'), with_sign=True)})"
    )


def _above_zero(comparison: Mapping[str, Any]) -> bool:
    ends = bounds(comparison.get("interval"))
    return ends is not None and ends[0] > 0


def _listed(words: Sequence[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} or {words[-1]}"


LEGACY_WHY = (
    "The course project's protocol splits images, not patients or lesions, so that copies of one "
    "photograph, and synthetic images made from it, stand on both sides of the split, and it "
    "scores its synthetic and combined rows on synthetic images; on pure noise it reports 0.75 "
    "to 0.96."
)

PUBLISHED = {"real": "~76 %", "synthetic": "~90 %", "combined": "94.12 %"}
"""Accuracies that the course project published on data of its own."""

INTENDED_USE = (
    "Research use only, not a medical device. Nothing in this report may inform the diagnosis or "
    "treatment of a person."
)


def group_statement(basis: str) -> str:
    """Say what a group is in this dataset, and what therefore cannot be excluded."""
    known = basis.lower()
    if "patient" in known:
        return (
            "Groups are patients: all images of a patient, and every synthetic image made from "
            "them, stay on one side of each split. Patients recorded under two identifiers "
            "cannot be told apart unless their images are near-duplicates."
        )
    if "lesion" in known or "case" in known:
        return (
            "Groups are lesions: all images of a lesion stay on one side of each split. The "
            "dataset names no patients, so two lesions of one patient may stand on both sides of "
            "a split; an optimistic bias from this cannot be excluded."
        )
    return (
        "The dataset names neither patients nor lesions: groups are single images, joined only "
        "where bytes, pixels or perceptual hashes agree. Two different photographs of one lesion "
        "or patient may stand on both sides of a split; an optimistic bias from this cannot be "
        "excluded."
    )
