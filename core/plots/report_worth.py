"""What synthetic images are worth in real ones, as a report shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.plots.report_numbers import count, finite, interval_text, number
from core.plots.report_tables import Row, Table
from core.plots.report_wording import arm_name

_BOUNDS = {"at_least": "≥ ", "at_most": "≤ ", "exact": ""}

_INTERVALS = (
    "The intervals are over test groups. Which groups stand in a share was drawn {draws}; scores "
    "and numbers of images are means over these draws, and how much they would move with other "
    "draws is not in the intervals. Nor is the choice of the remedy: it did best on the images "
    "that it is tested on, which favours real images."
)


@dataclass(frozen=True, slots=True)
class WorthView:
    """Sentences and a table of shares; notes say what was odd about single fits."""

    says: tuple[str, ...]
    table: Table
    notes: tuple[str, ...]


def worth_view(verdict: Mapping[str, Any]) -> WorthView | None:
    """Return the section about worth of a verdict.json; None when it was not asked for."""
    worth = verdict.get("worth")
    if not isinstance(worth, Mapping):
        return None
    rows = [r for r in worth.get("combined") or () if isinstance(r, Mapping)]
    says = [
        f"The best remedy without synthesis, “{arm_name(str(worth.get('remedy')))}”, was "
        "trained on 10 to 100 % of the weak classes' training groups, and real and synthetic "
        "images together on 10, 25 and 50 %, with synthetic images of those groups alone.",
        *_sentences(rows),
        _INTERVALS.format(draws=_draws(verdict)),
    ]
    if worth.get("reason"):
        says.append(f"Not estimable: {worth['reason']}.")
    return WorthView(tuple(says), _table(rows), tuple(str(n) for n in worth.get("notes") or ()))


def _draws(verdict: Mapping[str, Any]) -> str:
    settings = verdict.get("settings") or {}
    folds, repeats = settings.get("folds"), settings.get("repeats")
    if not folds or not repeats:
        return "once for each fold and seed"
    return f"once for each fold and seed, {folds * repeats} times in all"


def worth_text(row: Mapping[str, Any]) -> str:
    """Write a worth in images, with its bound."""
    value = finite(row.get("worth"))
    if value is None:
        return "–"
    return f"{_BOUNDS.get(str(row.get('bound')), '')}{value:.0f}"


def _sentences(rows: list[Mapping[str, Any]]) -> list[str]:
    return [
        f"At {row.get('share')} % ({count(round(row.get('images') or 0))} real images of the weak "
        f"classes) the synthetic images are worth {worth_text(row)} further real ones "
        f"(95 % interval {_interval(row)})."
        for row in rows
        if finite(row.get("worth")) is not None
    ]


def _table(rows: list[Mapping[str, Any]]) -> Table:
    lines = tuple(
        Row(
            name=f"{row.get('share')} %",
            cells=(
                number(row.get("groups"), 1),
                number(row.get("images"), 1),
                _score(row),
                worth_text(row),
                _interval(row),
            ),
            muted=finite(row.get("worth")) is None,
            note=str(row.get("reason") or ""),
        )
        for row in rows
    )
    columns = ("Groups", "Real images", "Balanced accuracy", "Worth in images", "95 % interval")
    return Table("", columns, lines)


def _score(row: Mapping[str, Any]) -> str:
    text = interval_text(row.get("interval"))
    return f"{number(row.get('score'))} ({text})" if text else number(row.get("score"))


def _interval(row: Mapping[str, Any]) -> str:
    ends, bounds = row.get("worth_interval"), row.get("interval_bounds")
    if not ends or not bounds:
        return "–"
    low, high = (
        f"{_BOUNDS.get(str(b), '')}{value:.0f}" for value, b in zip(ends, bounds, strict=True)
    )
    return f"{low} to {high}"
