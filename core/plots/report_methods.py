"""The methods of a report: enough to do it again, and to know what the numbers do not say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.plots.report_numbers import count, finite, number
from core.plots.report_wording import arm_name

Section = tuple[str, list[str]]


def method_sections(verdict: Mapping[str, Any], dataset: Mapping[str, Any]) -> list[Section]:
    """Return titled paragraphs; what is not known is left out."""
    facts = _facts(verdict)
    sections = [
        ("Design", _design(facts, dataset)),
        ("Training", _training(facts)),
        ("Verdict", [_RULE, _verdict(facts)]),
        ("What the intervals mean", [_INTERVALS, *_limits(verdict, facts)]),
        ("To repeat it", _repeat(facts)),
    ]
    return [(title, [text for text in texts if text]) for title, texts in sections]


def _facts(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with ``design`` as a word beside folds and repeats."""
    design, settings = verdict.get("design"), verdict.get("settings")
    inner = dict(settings) if isinstance(settings, Mapping) else {}
    if isinstance(design, Mapping):
        kind = design.get("design", design.get("kind", design.get("name", "cv")))
        return {**inner, **design, "design": kind}
    return {**inner, "design": design or "cv"}


def _design(facts: Mapping[str, Any], dataset: Mapping[str, Any]) -> list[str]:
    images, groups = dataset.get("image_count"), dataset.get("groups")
    size = f"{count(images)} real images" + (f" of {count(groups)} groups" if groups else "")
    folds, repeats = facts.get("folds"), facts.get("repeats")
    if facts["design"] == "holdout":
        how = (
            "The official hold-out split was used; training images that share a group with its "
            "test side were dropped."
        )
    else:
        grid = f"{folds} folds × {repeats} seeds" if folds and repeats else "folds and seeds"
        how = (
            f"Stratified, grouped cross-validation ({grid}): each real image is tested once a "
            "seed, by a model that saw no image of its group, and no synthetic image with a "
            "parent in its group."
        )
    seeds = ", ".join(str(seed) for seed in facts.get("seeds") or ())
    told = f" Seeds of folds and fits: {seeds}." if seeds else ""
    return [
        f"{size}. {how}{told} All arms share one frozen fold table and the same test images; a "
        "firewall checked before every fit that no training image is, shares a group with, was "
        "made from, or has the bytes or pixels of a test image.",
        _largest(facts),
        _synthesis(facts),
    ]


def _largest(facts: Mapping[str, Any]) -> str:
    groups = facts.get("groups")
    largest = groups.get("largest") if isinstance(groups, Mapping) else None
    if not isinstance(largest, Mapping):
        return ""
    share = finite(largest.get("share"))
    part = f", {100 * share:.1f} % of the class “{largest.get('label')}”" if share else ""
    return (
        "A group is what metadata (patient, lesion, case, source image), identical bytes or "
        "pixels, or near-duplicate pixels tie together. "
        f"The largest of {count((groups or {}).get('count'))} holds {count(largest.get('size'))} "
        f"image{'' if largest.get('size') == 1 else 's'}{part}."
    )


def _synthesis(facts: Mapping[str, Any]) -> str:
    rows = [r for r in facts.get("synthetic_manifests") or () if isinstance(r, Mapping)]
    used = [r for r in rows if not str(r.get("role")).startswith("legacy")]
    if not used:
        return ""
    told = "; ".join(
        f"{count(r.get('images'))} images by {r.get('generator') or 'an unknown generator'}"
        + (f" with seed {r['seed']}" if r.get("seed") is not None else "")
        for r in used
    )
    return (
        f"Synthetic images: {told}. {str(facts.get('synthesis_by_seed') or '').capitalize()}. "
        "Each carries the groups of its real parents, and trains only where all of them are on "
        "the training side. The privacy gate kept copies of real images out before any fit."
    )


def _training(facts: Mapping[str, Any]) -> list[str]:
    tuning = facts.get("hyperparameters") or "the same for all arms"
    backbone, weights = facts.get("backbone"), facts.get("backbone_sha256")
    use = facts.get("backbone_use") or "frozen, to extract features"
    features = (
        f"Backbone: {backbone}, {use}, weights sha256 {weights}; images enter with their aspect "
        "kept, antialiased and padded. "
        if backbone
        else ""
    )
    fits = "; ".join(
        f"{name.replace('_', ' ')} ({', '.join(f'{k} {v}' for k, v in sorted(own.items()))})"
        for name, own in (facts.get("classifiers") or {}).items()
        if isinstance(own, Mapping)
    )
    classifiers = f"Classifiers, the first carries the verdict: {fits}. " if fits else ""
    treatment = (
        " The synthetic images were made by the generator “augment”: plain augmentation is then "
        "the treatment, so the arm of that name is shown but is no comparator."
        if facts.get("generator_augment_is_treatment")
        else ""
    )
    return [
        f"{features}{classifiers}Everything that is fitted saw the training side only; "
        f"hyperparameters: {tuning}.{treatment}"
    ]


_RULE = (
    "Balanced accuracy is primary: the mean recall of the classes, from decisions pooled over "
    "folds. AUROC and calibration are computed inside each fold's model and averaged, because "
    "probabilities of different models cannot be pooled. “Helps” needs the lower bound of the "
    "difference to be above zero against every comparator (an intersection-union test, which "
    "needs no correction); “hurts” needs the upper bound against real images alone to be below "
    "zero. Both have to hold over the classes with at least 20 test groups alone as well, because "
    "intervals over a handful of groups are too short; without two such classes nothing is "
    "estimable, and anything else is “no evidence”. Per class the same is asked of recall, with "
    "Holm's correction over the classes tested; a class with too few test groups is not estimable."
)


def _verdict(facts: Mapping[str, Any]) -> str:
    comparators = ", ".join(arm_name(str(arm)).lower() for arm in facts.get("comparators") or ())
    if not comparators:
        return ""
    return (
        f"Comparators, fixed beforehand: {comparators}. Doses, other classifiers, subgroups and "
        "worth are exploratory: no verdict hangs on them, and their number is not corrected for "
        "beyond the bands that are shown."
    )


_INTERVALS = (
    "Intervals are 95 % percentile bootstrap over test groups, stratified by class; differences "
    "are paired: the same draw of groups serves all arms and seeds. The intervals are conditional "
    "on this dataset and its training sets: they say how much the number would move with other "
    "patients of this kind in the test, not with other training images, another backbone, or "
    "other hospitals, cameras and populations. An interval that includes zero does not show that "
    "there is no difference."
)


def _limits(verdict: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    replicates = finite(facts.get("bootstrap"))
    smallest = finite((verdict.get("primary") or {}).get("smallest_detectable"))
    first = []
    if replicates:
        first.append(
            f"{count(facts.get('bootstrap'))} replicates; p = 2 min(tail) + 1/B, so that none is "
            f"below {1 / replicates:.2g}."
        )
    if smallest is not None:
        first.append(
            f"A true difference below {number(smallest)} would have been missed more often than "
            "once in five experiments of this size (80 % power at 5 %, two-sided)."
        )
    seeds = (verdict.get("exploratory") or {}).get("synthesis_by_seed")
    if seeds is not None:
        first.append(
            "The second interval, over seeds too, holds the spread of folds, fits and synthesis."
            if seeds
            else "The second interval, over seeds too, holds the spread of folds and fits; all "
            "seeds share the synthetic images, so that synthesis is not in it."
        )
    limits = [str(text) for text in verdict.get("cannot_exclude") or ()]
    second = f"What cannot be excluded: {' '.join(limits)}" if limits else ""
    return [" ".join(first), second]


def _repeat(facts: Mapping[str, Any]) -> list[str]:
    software = facts.get("software")
    named = (
        ", ".join(f"{name} {version}" for name, version in software.items())
        if isinstance(software, Mapping)
        else ""
    )
    ran = [f"Software: {named}."] if named else []
    if facts.get("environment_sha256"):
        folds = facts.get("environments_of_folds") or []
        same = folds == [facts["environment_sha256"]]
        ran.append(
            "Every wheel with the hash of its record, and the hash of the code, stand in "
            f"environment.json (sha256 {facts['environment_sha256']}); "
            + ("all folds were fitted in it." if same else f"folds ran in {len(folds)} others.")
        )
    how = (
        "Import a dataset with the manifest hash below and send the parameters under “request” to "
        "POST /v1/jobs/experiment: the same wheels, CPU family and device type give the same fold "
        "table, predictions and verdict. Or take predictions.parquet alone: "
        "scripts/recompute_verdict.py draws its own bootstrap and needs nothing of this service."
        if facts.get("request")
        else ""
    )
    return [" ".join(ran), how]
