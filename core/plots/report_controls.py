"""What the controls found, as a report shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.plots.report_numbers import count, finite, number
from core.plots.report_quality import QualityTables, quality_tables


@dataclass(frozen=True, slots=True)
class CopycatView:
    """Sentences on the near-copies, and how excellent distances call them."""

    says: tuple[str, ...]
    quality: QualityTables


def copycat_view(verdict: Mapping[str, Any]) -> CopycatView | None:
    """Return the section about the copy-cat of a verdict.json; None when it was not run."""
    copycat = (verdict.get("controls") or {}).get("copycat")
    if not isinstance(copycat, Mapping):
        return None
    rows = [row for row in copycat.get("quality") or () if isinstance(row, Mapping)]
    says = [_gate(copycat), *_distance(rows)]
    return CopycatView(tuple(says), quality_tables(rows))


def _gate(copycat: Mapping[str, Any]) -> str:
    made, passed = copycat.get("made") or 0, copycat.get("passed") or 0
    text = (
        f"{count(made)} near-copies of real images, each a grain and a shade away from its source, "
        "were declared new and put to the gate"
    )
    if not passed:
        return f"{text}. It kept out all of them, so that nothing was trained on them."
    return (
        f"{text}. It let {count(passed)} of them pass: what a generator copies may go unseen here, "
        "and the arm control_copycat shows what training on them looks like."
    )


def _distance(rows: list[Mapping[str, Any]]) -> list[str]:
    """Say what the Frechet distance alone would have said of the near-copies."""
    for row in rows:
        value, floor = finite(row.get("value")), finite(row.get("floor"))
        if str(row.get("metric", "")).startswith("f") and value is not None and floor is not None:
            says = "would have called them excellent" if value < floor else "says"
            return [
                f"A distance between features {says}: {number(value, 2)}, where real images among "
                f"themselves have {number(floor, 2)} at the same n = {count(row.get('n'))}. "
                "Likeness to real images is no merit by itself."
            ]
    return []
