"""The parts of a report that carry no verdict: seeds, doses and subgroups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.plots.report_numbers import (
    axis_over,
    bounds,
    count,
    finite,
    interval_text,
    number,
    signed,
)
from core.plots.report_tables import Row, Table
from core.plots.report_wording import arm_name

_ATTRIBUTES = {
    "fitzpatrick": "Fitzpatrick skin type",
    "apparent_tone": "Apparent tone, uncalibrated (ITA of the healthy skin around the lesion)",
    "sex": "Sex",
    "age": "Age in years",
    "localization": "Site on the body",
    "dx_type": "How the diagnosis was made",
}


_SEEDS_HOLD = {
    True: "Each seed has folds, fits and synthetic images of its own.",
    False: "Each seed has folds and fits of its own, but all share the synthetic images: the "
    "spread leaves that of synthesis out.",
    None: "Each seed has folds and fits of its own.",
}


def exploratory_view(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template lays out; every part may be missing."""
    explored = verdict.get("exploratory")
    explored = explored if isinstance(explored, Mapping) else {}
    return {
        "seeds": _seeds_table(verdict, explored),
        "by_seed": _by_seed_table(verdict, explored),
        "seeds_hold": _SEEDS_HOLD[explored.get("synthesis_by_seed")],
        "doses": _doses_table(explored),
        "knee": _knee_sentence(explored.get("knee")),
        "external": _external_table(explored),
        "subgroups": _subgroup_tables(_maps(verdict.get("subgroups"))),
        "tone": _tone_sentence((verdict.get("settings") or {}).get("apparent_tone")),
        "cannot_exclude": [str(text) for text in verdict.get("cannot_exclude") or ()],
    }


def _seeds_table(verdict: Mapping[str, Any], explored: Mapping[str, Any]) -> Table:
    """Return each comparison with both intervals: over test groups, and over seeds too."""
    compared = {
        c.get("comparator"): c for c in _maps((verdict.get("primary") or {}).get("comparisons"))
    }
    rows = tuple(
        Row(
            name=arm_name(str(found.get("comparator", ""))),
            code=str(found.get("comparator", "")),
            cells=(
                interval_text(
                    compared.get(found.get("comparator"), {}).get("interval"), with_sign=True
                ),
                interval_text(found.get("interval"), with_sign=True),
            ),
        )
        for found in _maps(explored.get("with_seeds"))
    )
    return Table("", ("Over test groups", "Over test groups and seeds"), rows)


def _by_seed_table(verdict: Mapping[str, Any], explored: Mapping[str, Any]) -> Table:
    """Return each arm's balanced accuracy seed by seed, for the classifier of the verdict."""
    primary = (verdict.get("primary") or {}).get("classifier")
    known = [r for r in _maps(explored.get("seeds")) if r.get("classifier") == primary]
    several = [r for r in known if len(r.get("balanced_accuracy") or ()) > 1]
    rows = tuple(
        Row(
            name=arm_name(str(r.get("arm", ""))),
            code=str(r.get("arm", "")),
            cells=(
                "  ".join(number(value) for value in r["balanced_accuracy"]),
                number(r.get("deviation")),
            ),
        )
        for r in several
    )
    return Table("", ("Balanced accuracy of each seed", "Standard deviation"), rows)


def _doses_table(explored: Mapping[str, Any]) -> Table:
    doses = _maps(explored.get("dose_response"))
    rows = [(number(d.get("ratio"), 1), (), d.get("difference"), d.get("band"), "") for d in doses]
    return _differences("", ("Difference to real", "Simultaneous 95 % band"), rows)


def _knee_sentence(knee: Any) -> str:
    if not isinstance(knee, Mapping) or finite(knee.get("ratio")) is None:
        return ""
    ratio, best = float(knee["ratio"]), knee.get("best_ratio")
    if ratio == 0:
        return "No dose can be told from none: the band of real images alone reaches the best dose."
    return (
        f"Knee: {number(ratio, 1)} synthetic images per real image of a weak class. It is the "
        f"smallest dose whose difference to the best one ({number(best, 1)}) has a simultaneous "
        "band that includes zero; more images are not shown to add anything."
    )


def _external_table(explored: Mapping[str, Any]) -> Table:
    rows = [
        (arm_name(str(c.get("comparator", ""))), (), c.get("difference"), c.get("interval"), "")
        for c in _maps(explored.get("external"))
    ]
    return _differences("", ("Difference", "95 % interval"), rows)


def _subgroup_tables(rows: list[Mapping[str, Any]]) -> list[Table]:
    by_attribute: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_attribute.setdefault(str(row.get("attribute", "")), []).append(row)
    return [
        _differences(
            _ATTRIBUTES.get(attribute, attribute),
            ("Images", "Test groups", "Classes", "Difference", "95 % interval"),
            [
                (
                    str(row.get("level", "")),
                    (
                        count(row.get("n_images")),
                        count(row.get("n_groups")),
                        count(len(row.get("classes") or ())),
                    ),
                    row.get("difference"),
                    row.get("interval"),
                    str(row.get("reason") or ""),
                )
                for row in own
            ],
        )
        for attribute, own in by_attribute.items()
    ]


_ABSTAINED = {
    "not_colour": "not in colour",
    "no_lesion": "no lesion found that can be trusted",
    "not_skin": "what surrounds the lesion does not look like skin",
    "no_ring": "no healthy ring around the lesion",
    "uneven": "the ring is uneven",
    "tinted": "light or lens tint the skin",
}


def _tone_sentence(tone: Any) -> str:
    """Say on how many images the apparent tone could be measured, and why not on the others."""
    if not isinstance(tone, Mapping):
        return ""
    missing = ", ".join(
        f"{_ABSTAINED.get(str(reason), str(reason))} ({count(n)})"
        for reason, n in sorted((tone.get("abstained") or {}).items(), key=lambda kv: -kv[1])
    )
    return (
        f"Apparent tone was measured on {count(tone.get('measured'))} of "
        f"{count(tone.get('images'))} images from a healthy ring around the lesion. Light, camera "
        "and lens are unknown: it is no skin type, and a row of it is no statement about people "
        f"with that skin.{f' The others abstain: {missing}.' if missing else ''}"
    )


def _differences(
    title: str,
    columns: tuple[str, ...],
    rows: Iterable[tuple[str, tuple[str, ...], Any, Any, str]],
) -> Table:
    """Return a table of differences with bars: name, first cells, estimate, interval, note."""
    known = list(rows)
    ends = [end for row in known for end in (bounds(row[3]) or ())]
    axis = axis_over([*ends, *(v for row in known if (v := finite(row[2])) is not None)], 0.0)
    return Table(
        title,
        columns,
        tuple(
            Row(
                name=name,
                cells=(*first, signed(value), interval_text(interval, with_sign=True)),
                bar=axis.bar(value, interval),
                muted=finite(value) is None,
                note=note,
            )
            for name, first, value, interval, note in known
        ),
        axis,
    )


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [r for r in value or () if isinstance(r, Mapping)]
