"""What the privacy gate found, as a report shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.plots.report_numbers import count

_WAYS = (("exact", "Exact"), ("near", "As a whole"), ("aligned", "Crop or turn"))


@dataclass(frozen=True, slots=True)
class GateView:
    """Sentences, and a table of copies by class."""

    says: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def gate_view(verdict: Mapping[str, Any]) -> GateView | None:
    """Return the section about the gate of a verdict.json; None when there was none."""
    gate = (verdict.get("settings") or {}).get("privacy_gate")
    if not isinstance(gate, Mapping):
        return None
    copies, examined = gate.get("copies") or 0, gate.get("examined") or 0
    says = [_found(copies, examined), _searched(gate)]
    novel = gate.get("novel") or 0
    if novel:
        says.append(
            f"{count(novel)} of them come from a generator that declares novelty: to them every "
            "likeness counts. The others are derivative: as private as the images they were made "
            "of, whose likeness is expected."
        )
    else:
        says.append(
            "All of them are derivative: as private as the images they were made of, whose "
            "likeness, and that of the same group, is expected and not counted."
        )
    rows = tuple(
        (str(label), tuple(count(n.get(key, 0)) for key in ("examined", *dict(_WAYS))))
        for label, n in sorted((gate.get("by_class") or {}).items())
    )
    return GateView(tuple(says), ("Examined", *dict(_WAYS).values()), rows)


def _found(copies: int, examined: int) -> str:
    if not copies:
        return (
            f"None of {count(examined)} synthetic images shows a real image that it does not "
            "declare. That excludes copies, not every way to learn about a person."
        )
    return (
        f"{count(copies)} of {count(examined)} synthetic images show a real image that they do "
        "not declare. They were kept out before anything was trained; each stands beside its "
        "nearest real image in privacy.png, and by name in privacy.json."
    )


def _searched(gate: Mapping[str, Any]) -> str:
    text = "Searched: the same bytes or pixels; flips, quarter turns, other sizes and compression"
    laid_over = gate.get("searched_for_crops_and_turns") or 0
    if gate.get("too_many_for_crops_and_turns"):
        return f"{text}. There were too many images to search for crops and free turns."
    if laid_over:
        return f"{text}; of {count(laid_over)} that declare no parent also crops and free turns."
    return f"{text}."
