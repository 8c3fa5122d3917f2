"""The verdict: does adding synthetic images help, against every remedy that needs none.

``verdict_document`` makes verdict.json. Its members beside the published contract are ``settings``
(how it was computed), ``warnings``, ``exploratory`` and ``primary.well_tested``; every number in it
is finite or null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from core.learning.analysis import Analysis, ModelScores
from core.learning.comparison import (
    METRIC,
    MIN_TEST_GROUPS,
    PRIMARY_ARM,
    Comparison,
    Question,
    compare,
    well_tested,
)
from core.learning.controls import control_warnings, refused_arms
from core.learning.exploratory import exploratory_member
from core.learning.inference import holm, interval, p_value, smallest_detectable
from core.learning.verdict_schema import SCHEMA_VERSION

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Verdict = Literal["helps", "no_evidence", "hurts", "not_estimable"]

ALPHA = 0.05


def judge(comparisons: Sequence[Comparison], comparators: Sequence[str]) -> tuple[Verdict, str]:
    """Return the primary verdict and its reason in words.

    helps: the lower 95 % bound of the difference to EVERY comparator is above 0
    (intersection-union, Berger 1982). hurts: the upper bound against ``real`` is below 0. Both have
    to hold over the well tested classes alone as well: a percentile interval over two to five
    groups of a class is too short, and its share of the mean would be claimed as certain.
    not_estimable: nothing to compare, fewer than two well tested classes, or all comparisons run
    are won but not all were run.
    """
    bounds = {c.comparator: interval(c.replicates) for c in comparisons}
    if "real" not in bounds:
        return "not_estimable", "the arms combined and real were not both estimated"
    alone = {
        c.comparator: interval(c.well_tested) for c in comparisons if c.well_tested is not None
    }
    if alone.keys() != bounds.keys():
        return "not_estimable", f"fewer than two classes have {MIN_TEST_GROUPS} test groups"
    missing = [arm for arm in comparators if arm not in bounds]
    return _judge_bounds(bounds, alone, missing)


_Bounds = dict[str, tuple[float, float]]


def _judge_bounds(bounds: _Bounds, alone: _Bounds, missing: list[str]) -> tuple[Verdict, str]:
    lost = [arm for arm, (low, _) in bounds.items() if low <= 0]
    lost_alone = [arm for arm, (low, _) in alone.items() if low <= 0]
    verdict: Verdict = "no_evidence"
    if bounds["real"][1] < 0:
        held = alone["real"][1] < 0
        verdict = "hurts" if held else "no_evidence"
        reason = "worse than real" if held else f"worse than real, {_NOT_ALONE}"
    elif "real" in lost:
        reason = "not better than real"
    elif lost:
        reason = f"better than real, not than {_listed(lost)}"
    elif lost_alone:
        reason = f"better than {_listed(bounds)}, {_NOT_ALONE} than {_listed(lost_alone)}"
    elif missing:
        verdict = "not_estimable"
        reason = f"better than {_listed(bounds)}, not compared with {_listed(missing)}"
    else:
        verdict, reason = "helps", f"better than {_listed(bounds)}"
    return verdict, reason


_NOT_ALONE = f"but not over the classes with at least {MIN_TEST_GROUPS} test groups alone"


def _listed(names: Any) -> str:
    return ", ".join(names)


def primary_member(found: Analysis, question: Question) -> dict[str, Any]:
    """Return the member ``primary`` of verdict.json."""
    comparisons = compare(found, question)
    verdict, reason = judge(comparisons, question.comparators)
    detectable = [smallest_detectable(c.replicates) for c in comparisons]
    return {
        "metric": METRIC,
        "classifier": question.classifier,
        "arm": PRIMARY_ARM,
        "verdict": verdict,
        "reason": reason,
        "comparisons": [c.as_json() for c in comparisons],
        "well_tested": _well_tested_member(found, question, comparisons),
        "smallest_detectable": max(detectable) if detectable else None,
        "threshold_effect_possible": _threshold_effect(found, question, comparisons),
    }


def _well_tested_member(
    found: Analysis, question: Question, comparisons: Sequence[Comparison]
) -> dict[str, Any]:
    """Return the classes over which the verdict has to hold as well, and the differences there."""
    import numpy as np

    large = well_tested(found)
    rows = []
    for c in comparisons:
        if c.well_tested is None:
            continue
        recall, other = (
            found.scores[(arm, question.classifier)].classes.recall[large]
            for arm in (PRIMARY_ARM, c.comparator)
        )
        rows.append(
            {
                "comparator": c.comparator,
                "difference": float(np.mean(recall - other)),
                "interval": list(interval(c.well_tested)),
            }
        )
    return {"classes": [question.classes[c] for c in large], "comparisons": rows}


def _threshold_effect(
    found: Analysis, question: Question, comparisons: Sequence[Comparison]
) -> bool:
    """Tell whether balanced accuracy gained on ``real`` while macro AUROC did not.

    A gain is a paired 95 % interval above 0. What no fold can rank is no gain in AUROC.
    """
    import numpy as np

    gains = {c.comparator: interval(c.replicates)[0] for c in comparisons}
    if gains.get("real", 0.0) <= 0 or found.ranks is None:
        return False
    ours, real = (found.index(arm, question.classifier) for arm in (PRIMARY_ARM, "real"))
    areas = found.ranks.macro("macro_auroc")
    paired = areas[:, ours] - areas[:, real]
    return bool(np.isnan(paired).any()) or interval(paired)[0] <= 0


def per_class_member(found: Analysis, question: Question) -> list[dict[str, Any]]:
    """Return the member ``per_class``: recall of ``combined`` less ``real``, Holm over classes.

    A class helps when that holds against every comparator: Holm over the largest of its p values
    and a lower bound above 0, each at the class's Holm level.
    """
    drawn = found.replicates
    ours = found.index(PRIMARY_ARM, question.classifier)
    others = {
        arm: place
        for arm in question.comparators
        if (place := found.index(arm, question.classifier)) is not None
    }
    tested = [c for c, n in enumerate(found.n_groups.tolist()) if n >= MIN_TEST_GROUPS]
    rows = {c: _not_estimable(found, question, c) for c in range(len(question.classes))}
    if drawn is None or ours is None or "real" not in others:
        return list(rows.values())
    paired = {
        c: {arm: drawn.recall[:, ours, c] - drawn.recall[:, k, c] for arm, k in others.items()}
        for c in tested
    }
    against_real = holm([p_value(paired[c]["real"]) for c in tested])
    against_all = holm([max(p_value(r) for r in paired[c].values()) for c in tested])
    for c, shown, strict in zip(tested, against_real, against_all, strict=True):
        rows[c] |= _class_row(found, question, c, paired[c], shown, strict)
    return list(rows.values())


def _not_estimable(found: Analysis, question: Question, label: int) -> dict[str, Any]:
    n_groups = int(found.n_groups[label])
    few = n_groups < MIN_TEST_GROUPS
    return {
        "class": question.classes[label],
        "n_groups": n_groups,
        "verdict": "not_estimable",
        "difference": None,
        "interval": None,
        "p_holm": None,
        "reason": f"fewer than {MIN_TEST_GROUPS} test groups"
        if few
        else "the arms combined and real were not both estimated",
    }


def _class_row(
    found: Analysis,
    question: Question,
    label: int,
    paired: dict[str, NDArray[np.float64]],
    shown: tuple[float, float],
    strict: tuple[float, float],
) -> dict[str, Any]:
    recall = {
        arm: float(found.scores[(arm, question.classifier)].classes.recall[label])
        for arm in (PRIMARY_ARM, "real")
    }
    low, high = interval(paired["real"], shown[1])
    lost = [arm for arm, r in paired.items() if interval(r, strict[1])[0] <= 0]
    missing = [arm for arm in question.comparators if arm not in paired]
    verdict: Verdict = "no_evidence"
    if high < 0 and shown[0] < ALPHA:
        verdict, reason = "hurts", "worse than real"
    elif not lost and strict[0] < ALPHA:
        verdict, reason = "helps", f"better than {_listed(paired)}"
        if missing:
            verdict, reason = "not_estimable", f"{reason}, not compared with {_listed(missing)}"
    elif low > 0 and shown[0] < ALPHA:
        reason = f"better than real, not than {_listed(a for a in lost if a != 'real') or 'all'}"
    else:
        reason = "not better than real"
    return {
        "verdict": verdict,
        "difference": recall[PRIMARY_ARM] - recall["real"],
        "interval": [low, high],
        "p_holm": shown[0],
        "reason": reason,
    }


_UNUSABLE = (
    "in some folds none could be used: there are too few synthetic images whose groups all lie on "
    "the training side"
)


def arms_member(
    found: Analysis, order: Sequence[tuple[str, str]], reasons: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return the member ``arms``: scores of every arm and classifier, complete or not.

    reasons: by arm, why it could not be run, where that is no want of usable synthetic images.
    """
    rows = []
    for arm, classifier in order:
        known = found.scores.get((arm, classifier))
        rows.append(
            {
                "arm": arm,
                "classifier": classifier,
                "scores": _scores(known) if known else {},
                "valid": known is not None,
                "invalid_reason": None if known else (reasons or {}).get(arm, _UNUSABLE),
            }
        )
    return rows


def _scores(known: ModelScores) -> dict[str, dict[str, Any]]:
    decided = {
        name: {"value": value, "interval": list(known.intervals[name])}
        for name, value in known.overall.items()
    }
    ranked = {
        name: {"value": value, "interval": _ends(known.intervals.get(name))}
        for name, value in known.ranking.macro().items()
    }
    return decided | ranked


def _ends(found: tuple[float, float] | None) -> list[float] | None:
    return list(found) if found else None


def verdict_document(
    found: Analysis,
    question: Question,
    *,
    order: Sequence[tuple[str, str]],
    design: str,
    fold_table_sha256: str,
    legacy: dict[str, Any] | None,
    settings: dict[str, Any],
    warnings: Sequence[str],
    controls: Mapping[str, Any] | None = None,
    worth: dict[str, Any] | None = None,
    subgroups: Sequence[dict[str, Any]] = (),
    cannot_exclude: Sequence[str] = (),
) -> dict[str, Any]:
    """Return verdict.json; its shape is published by :mod:`core.learning.verdict_schema`."""
    tests = controls or {"copycat": None}
    return {
        "schema_version": SCHEMA_VERSION,
        "design": design,
        "fold_table_sha256": fold_table_sha256,
        "primary": primary_member(found, question),
        "per_class": per_class_member(found, question),
        "arms": arms_member(found, order, refused_arms(tests)),
        "legacy_protocol": legacy,
        "settings": settings,
        "controls": tests,
        "warnings": [*_small_classes(found, question), *control_warnings(tests), *warnings],
        "exploratory": exploratory_member(found, question),
        "worth": worth,
        "subgroups": list(subgroups),
        "cannot_exclude": list(cannot_exclude),
    }


def _small_classes(found: Analysis, question: Question) -> list[str]:
    few = [
        f"{name} ({n})"
        for name, n in zip(question.classes, found.n_groups.tolist(), strict=True)
        if n < MIN_TEST_GROUPS
    ]
    if not few:
        return []
    return [
        f"Classes with fewer than {MIN_TEST_GROUPS} independent test groups, whose share of every "
        f"interval is uncertain: {', '.join(few)}"
    ]
