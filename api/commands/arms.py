"""The arms table: honest rows, and the legacy protocol marked as what it is."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from api.commands.terminal import table

COLUMNS = ("arm", "classifier", "balanced accuracy", "95 % interval", "valid")
LEGACY_NOTE = "no: not a valid estimate"
SENTENCES = {
    "helps": "The synthetic images help: better than real images alone and than every remedy "
    "that needs no synthesis.",
    "no_evidence": "No evidence that the synthetic images help beyond what reweighting, "
    "oversampling or plain augmentation give.",
    "hurts": "The synthetic images hurt: worse than real images alone.",
    "not_estimable": "Too few groups to tell whether the synthetic images help.",
}
LEGACY_ARMS = ("real", "synthetic", "combined")


def verdict_sentence(verdict: Any) -> str:
    """Return a verdict as a sentence; an unknown one is shown as it is."""
    word = verdict.get("verdict") if isinstance(verdict, dict) else verdict
    return SENTENCES.get(str(word), f"Verdict: {word}.")


def arms_table(result: dict[str, Any]) -> Table:
    """Return the table of an ``experiment`` or ``pipeline`` result."""
    rows: list[tuple[object, ...]] = [
        (
            row.get("arm"),
            row.get("classifier"),
            number(row.get("balanced_accuracy")),
            interval(row.get("interval")),
            "yes" if row.get("valid") else f"no: {row.get('invalid_reason') or 'not valid'}",
        )
        for row in result.get("table") or ()
    ]
    return table(COLUMNS, [*rows, *_legacy_rows(result.get("legacy_protocol"))])


def _legacy_rows(legacy: Any) -> list[tuple[object, ...]]:
    if not isinstance(legacy, dict):
        return []
    return [
        (
            f"legacy_protocol {arm}",
            "random_forest",
            number((legacy.get(arm) or {}).get("balanced_accuracy")),
            "",
            LEGACY_NOTE,
        )
        for arm in LEGACY_ARMS
        if isinstance(legacy.get(arm), dict)
    ]


def number(value: Any) -> str:
    """Return a score with three digits, a dash when there is none."""
    return f"{value:.3f}" if isinstance(value, (int, float)) else "–"


def interval(value: Any) -> str:
    """Return ``low to high``, a dash when there is none."""
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return f"{number(value[0])} to {number(value[1])}"
    return "–"
