"""The page of a segmentation experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.plots.report import appendix, render
from core.plots.report_numbers import (
    axis_over,
    bounds,
    count,
    finite,
    interval_text,
    number,
    p_text,
    signed,
)
from core.plots.report_pictures import pictures
from core.plots.report_tables import Row, Table, verdict_name
from core.plots.report_wording import INTENDED_USE, arm_name, group_statement

METRIC_NAMES = {
    "dice": "Dice",
    "iou": "IoU",
    "dice_pooled": "Dice, all pixels",
    "iou_pooled": "IoU, all pixels",
}


def segmentation_report(
    document: Mapping[str, Any], dataset: Mapping[str, Any], figures: Mapping[str, bytes]
) -> str:
    """Return the page; document is segmentation.json, dataset ``VersionInput.model_dump()``."""
    primary, images = document["primary"], document["images"]
    view = {
        "dataset": {
            "name": str(dataset.get("dataset_name") or "Unnamed dataset"),
            "licence": str(dataset.get("licence") or "unknown"),
            "group_basis": str(dataset.get("group_basis") or "image"),
        },
        "groups_say": group_statement(str(dataset.get("group_basis") or "image")),
        "verdict": primary["verdict"],
        "verdict_name": verdict_name,
        "headline": headline(primary, document["arms"]),
        "smallest": number(primary["smallest_detectable"])
        if finite(primary["smallest_detectable"]) is not None
        else "",
        "with_seeds": interval_text(primary["interval_with_seeds"], with_sign=True)
        if primary["interval_with_seeds"]
        else "",
        "key": [
            (count(images["real"]), "real images with masks, tested"),
            (count(images["groups"]), "independent groups"),
            (count(len(document["per_class"])), "classes"),
            (count(images["synthetic"]), "synthetic images with masks"),
            (count(images["real_without_mask"]), "real images without mask, left out"),
        ],
        "warnings": document["warnings"],
        "cannot_exclude": document["cannot_exclude"],
        "arms": _arms(document["arms"]),
        "differences": _differences(document["differences"]),
        "per_class": _by_class(document["per_class"], "dice"),
        "iou_by_class": _by_class(document["per_class"], "iou"),
        "overlays": pictures(figures).get("overlays"),
        "appendix": [appendix("Settings", document["settings"])],
        "fold_table_sha256": document["fold_table_sha256"],
        "intended_use": INTENDED_USE,
    }
    return render("segmentation.html", view)


def headline(primary: Mapping[str, Any], arms: Sequence[Mapping[str, Any]]) -> str:
    """Return the verdict in one plain sentence."""
    if len(arms) == 1:
        return "Only the arm real was trained: nothing is said of synthetic images."
    difference, ends = primary["difference"], interval_text(primary["interval"], with_sign=True)
    match primary["verdict"]:
        case "helps":
            return (
                "Synthetic images with masks help to outline real lesions: mean Dice rises by "
                f"{number(difference)} ({ends})."
            )
        case "hurts":
            return (
                "Synthetic images with masks hurt: mean Dice on real images changes by "
                f"{signed(difference)} ({ends})."
            )
        case "no_evidence":
            return (
                "There is no evidence that synthetic images with masks help: mean Dice changes by "
                f"{signed(difference)} ({ends}), which includes 0."
            )
    return f"Whether synthetic images with masks help cannot be estimated: {primary['reason']}."


def _arms(arms: Sequence[Mapping[str, Any]]) -> Table:
    scores = [arm["scores"].get("dice", {}) for arm in arms]
    known = [v for s in scores if (v := finite(s.get("value"))) is not None]
    known += [end for s in scores for end in bounds(s.get("interval")) or ()]
    axis = axis_over(known, None)
    rows = []
    for arm, own in zip(arms, scores, strict=True):
        cells = [_cell(arm["scores"].get(metric)) for metric in METRIC_NAMES]
        rows.append(
            Row(
                arm_name(arm["arm"]),
                arm["arm"],
                (*cells, count(arm["training_images"])),
                axis.bar(own.get("value"), own.get("interval")),
                muted=not arm["valid"],
                note=arm["invalid_reason"] or "",
                strong=arm["arm"] == "combined",
            )
        )
    return Table("", (*METRIC_NAMES.values(), "Images"), tuple(rows), axis)


def _cell(score: Mapping[str, Any] | None) -> str:
    """Return a score with its interval in brackets."""
    if score is None:
        return number(None)
    ends = f" ({interval_text(score['interval'])})" if score["interval"] else ""
    return f"{number(score['value'])}{ends}"


def _differences(found: Sequence[Mapping[str, Any]]) -> Table:
    values = [end for row in found for end in bounds(row["interval"]) or ()]
    axis = axis_over(values, 0.0, sign=True)
    rows = tuple(
        Row(
            f"{arm_name(row['arm'])}, less {arm_name(row['comparator']).lower()}",
            "",
            (
                METRIC_NAMES[row["metric"]],
                signed(row["difference"]),
                interval_text(row["interval"], with_sign=True),
                p_text(row["p"]),
            ),
            axis.bar(row["difference"], row["interval"]),
            strong=(row["arm"], row["metric"]) == ("combined", "dice"),
        )
        for row in found
    )
    return Table("", ("Score", "Difference", "95 % interval", "p"), rows, axis)


def _by_class(found: Sequence[Mapping[str, Any]], metric: str) -> Table:
    """Return scores by class and arm; those of Dice with the difference and its verdict."""
    arms = list(dict.fromkeys(arm for row in found for arm in row["arms"]))
    judged = metric == "dice"
    rows = tuple(
        Row(
            str(row["class"]),
            "",
            (
                f"{count(row['n_images'])} / {count(row['n_groups'])}",
                *(_cell(row["arms"][arm][metric]) for arm in arms),
                *((interval_text(row["interval"], with_sign=True),) if judged else ()),
            ),
            verdict=row["verdict"],
            muted=row["verdict"] == "not_estimable",
            note=row["reason"] if judged else "",
        )
        for row in found
    )
    heads = tuple(f"{METRIC_NAMES[metric]}, {arm}" for arm in arms)
    more = ("Combined less real",) if judged else ()
    return Table("", ("Images / groups", *heads, *more), rows)
