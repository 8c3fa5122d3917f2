"""The tables of a report as rows of finished text and bars; templates only lay them out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.plots.report_numbers import (
    Axis,
    Bar,
    axis_over,
    bounds,
    count,
    finite,
    interval_text,
    number,
    p_text,
    signed,
)
from core.plots.report_wording import (
    ARM_NAMES,
    PUBLISHED,
    VERDICT_NAMES,
    arm_name,
    metric_name,
)

_SECONDARY = ("macro_auroc", "macro_f1", "accuracy", "macro_auprc", "auprc", "ece")
_ARM_ORDER = {arm: place for place, arm in enumerate(ARM_NAMES)}


@dataclass(frozen=True, slots=True)
class Row:
    """One line: cells of text, a bar, a verdict; ``muted`` ones are grey, ``note`` says why."""

    name: str
    code: str = ""
    cells: tuple[str, ...] = ()
    bar: Bar | None = None
    verdict: str = ""
    muted: bool = False
    note: str = ""
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under column heads; ``axis`` is the scale of the bars."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    axis: Axis | None = None
    notes: tuple[str, ...] = ()


def arms_tables(verdict: Mapping[str, Any], chance: float | None) -> list[Table]:
    """Return one table a classifier, the primary one first; invalid arms stand grey at the end."""
    arms = _rows(verdict.get("arms"))
    primary = verdict.get("primary") or {}
    classifiers = list(dict.fromkeys(str(a.get("classifier", "")) for a in arms))
    classifiers.sort(key=lambda name: name != primary.get("classifier"))
    return [
        _arms_table(
            [a for a in arms if str(a.get("classifier", "")) == name],
            f"{name.replace('_', ' ')}{'' if not place else ' (exploratory)'}",
            chance,
            str(primary.get("arm", "combined")) if not place else "",
        )
        for place, name in enumerate(classifiers)
    ]


def _arms_table(
    arms: Sequence[Mapping[str, Any]], title: str, chance: float | None, primary: str
) -> Table:
    metrics = [m for m in _SECONDARY if any(m in _scores(a) for a in arms)]
    ends = [bounds(_score(a, "balanced_accuracy").get("interval")) for a in arms]
    values = [finite(_score(a, "balanced_accuracy").get("value")) for a in arms]
    known = [v for v in values if v is not None] + [e for pair in ends if pair for e in pair]
    axis = axis_over(known, chance if _near(chance, known) else None)
    ordered = sorted(arms, key=lambda a: (not _valid(a), _place(a), str(a.get("arm"))))
    rows = tuple(_arm_row(a, metrics, axis, primary) for a in ordered)
    columns = ("Balanced accuracy", "95 % interval", *(metric_name(m) for m in metrics))
    return Table(title, columns, rows, axis)


def _near(chance: float | None, known: Sequence[float]) -> bool:
    """Tell whether chance fits on the axis without squeezing the intervals to dots."""
    if chance is None or not known:
        return chance is not None
    return min(known) - chance <= 0.5 * max(max(known) - min(known), 0.02)


def _arm_row(arm: Mapping[str, Any], metrics: Sequence[str], axis: Axis, primary: str) -> Row:
    name, main = str(arm.get("arm", "")), _score(arm, "balanced_accuracy")
    valid = _valid(arm)
    return Row(
        name=arm_name(name),
        code=name,
        cells=(
            number(main.get("value")),
            interval_text(main.get("interval")),
            *(_secondary(arm, m) for m in metrics),
        ),
        bar=axis.bar(main.get("value"), main.get("interval")),
        muted=not valid,
        note="" if valid else f"Not valid: {arm.get('invalid_reason') or 'see the methods'}",
        strong=name == primary,
    )


def _secondary(arm: Mapping[str, Any], metric: str) -> str:
    """Write a score beside the primary one; the one that no threshold moves with its interval."""
    score = _score(arm, metric)
    return _with_interval(score) if metric == "macro_auroc" else number(score.get("value"))


def comparisons_table(primary: Mapping[str, Any]) -> Table:
    """Return the primary arm against each comparator."""
    compared = _rows(primary.get("comparisons"))
    axis = axis_over(_spread(compared), 0.0, sign=True)
    rows = tuple(
        Row(
            name=arm_name(str(c.get("comparator", ""))),
            code=str(c.get("comparator", "")),
            cells=(
                signed(c.get("difference")),
                interval_text(c.get("interval"), with_sign=True),
                p_text(c.get("p")),
                _reading(c),
            ),
            bar=axis.bar(c.get("difference"), c.get("interval")),
        )
        for c in sorted(compared, key=lambda c: _ARM_ORDER.get(str(c.get("comparator")), 99))
    )
    return Table("", ("Difference", "95 % interval", "p", "Reading"), rows, axis)


def _reading(comparison: Mapping[str, Any]) -> str:
    ends = bounds(comparison.get("interval"))
    if ends is None:
        return str(comparison.get("reason") or "not estimable")
    if ends[0] > 0:
        return "better"
    return "worse" if ends[1] < 0 else "not distinguishable"


def class_table(verdict: Mapping[str, Any], dataset: Mapping[str, Any]) -> Table:
    """Return the verdict of each class on its recall."""
    rows = _rows(verdict.get("per_class"))
    axis = axis_over(_spread(rows), 0.0, sign=True)
    sizes = {str(c.get("name")): c for c in _rows(dataset.get("classes"))}
    lines = tuple(
        Row(
            name=str(r.get("class", "")),
            cells=(
                count(sizes.get(str(r.get("class")), {}).get("count")),
                count(r.get("n_groups")),
                signed(r.get("difference")),
                interval_text(r.get("interval"), with_sign=True),
                p_text(r.get("p_holm")),
            ),
            bar=axis.bar(r.get("difference"), r.get("interval")),
            verdict=str(r.get("verdict", "not_estimable")),
            muted=r.get("verdict") == "not_estimable",
            note=str(r.get("reason") or ""),
        )
        for r in rows
    )
    columns = ("Images", "Test groups", "Recall difference", "95 % interval (Holm)", "p (Holm)")
    return Table("", columns, lines, axis)


def legacy_table(verdict: Mapping[str, Any]) -> Table | None:
    """Return the course project's protocol beside the honest numbers; None when it was not run."""
    legacy = verdict.get("legacy_protocol")
    if not isinstance(legacy, Mapping) or not any(
        isinstance(legacy.get(a), Mapping) for a in PUBLISHED
    ):
        return None
    primary = (verdict.get("primary") or {}).get("classifier")
    honest = {
        a.get("arm"): a
        for a in reversed(_rows(verdict.get("arms")))
        if primary is None or a.get("classifier") == primary
    }
    rows = []
    for arm, published in PUBLISHED.items():
        theirs = legacy.get(arm) if isinstance(legacy.get(arm), Mapping) else {}
        ours = honest.get(arm, {})
        score = _score(ours, "balanced_accuracy")
        rows.append(
            Row(
                name={"real": "Real", "synthetic": "Synthetic", "combined": "Combined"}[arm],
                cells=(
                    number(_score(ours, "accuracy").get("value")),
                    _with_interval(score),
                    number((theirs or {}).get("accuracy")),
                    number((theirs or {}).get("balanced_accuracy")),
                    published,
                ),
                note=str((theirs or {}).get("reason") or ""),
            )
        )
    columns = (
        "Accuracy",
        "Balanced accuracy",
        "Accuracy",
        "Balanced accuracy",
        "Accuracy",
    )
    return Table(
        "",
        columns,
        tuple(rows),
        notes=tuple(_legacy_notes(legacy, primary)),
    )


def _legacy_notes(legacy: Mapping[str, Any], classifier: Any) -> list[str]:
    notes = []
    if classifier:
        name = str(classifier).replace("_", " ")
        notes.append(
            f"The honest columns are of the classifier {name}; the protocol has a random forest "
            "of its own."
        )
    if legacy.get("real_is_augmented"):
        notes.append("As in the course project, small real classes held augmented copies.")
    return notes


def _with_interval(score: Mapping[str, Any]) -> str:
    value = number(score.get("value"))
    return (
        value
        if bounds(score.get("interval")) is None
        else (f"{value} ({interval_text(score.get('interval'))})")
    )


def _spread(rows: Iterable[Mapping[str, Any]]) -> list[float]:
    found: list[float] = []
    for row in rows:
        ends, value = bounds(row.get("interval")), finite(row.get("difference"))
        found += [*(ends or ()), *([] if value is None else [value])]
    return found


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [r for r in value or () if isinstance(r, Mapping)]


def _scores(arm: Mapping[str, Any]) -> Mapping[str, Any]:
    scores = arm.get("scores")
    return scores if isinstance(scores, Mapping) else {}


def _score(arm: Mapping[str, Any], metric: str) -> Mapping[str, Any]:
    score = _scores(arm).get(metric)
    return score if isinstance(score, Mapping) else {"value": score}


def _valid(arm: Mapping[str, Any]) -> bool:
    return arm.get("valid") is not False


def _place(arm: Mapping[str, Any]) -> int:
    return _ARM_ORDER.get(str(arm.get("arm")), 50)


def verdict_name(verdict: str) -> str:
    return VERDICT_NAMES.get(verdict, verdict.replace("_", " "))
