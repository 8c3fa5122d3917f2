"""The sheet of copies: each real image beside the synthetic one that shows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from core.plots.contact_sheet import Pair, Row, contact_sheet
from core.quality.copies import Copy
from core.synthesis.contract import Pixels

PAIRS_OF_A_ROW = 8
MOST_ROWS = 24
"""Shared by the classes; privacy.json lists every copy."""


def copies_sheet(copies: Sequence[Copy], load: Callable[[str], Pixels]) -> bytes | None:
    """Draw the copies by class as one PNG, the surest of each class first; None without any."""
    by_class: dict[str, list[Copy]] = defaultdict(list)
    for copy in copies:
        by_class[copy.synthetic.label].append(copy)
    if not by_class:
        return None
    each = max(1, MOST_ROWS // len(by_class)) * PAIRS_OF_A_ROW
    rows = []
    for label in sorted(by_class)[:MOST_ROWS]:
        mine = sorted(by_class[label], key=lambda c: (c.way != "exact", -c.likeness))
        shown = [_pair(copy, load) for copy in mine[:each]]
        note = f"{len(shown)} of {len(mine)}"
        for start in range(0, len(shown), PAIRS_OF_A_ROW):
            rows.append(Row(label, tuple(shown[start : start + PAIRS_OF_A_ROW]), note))
            note = ""
    return contact_sheet(
        rows,
        title=f"{len(copies)} synthetic images that show a real one they do not declare",
        subtitle="In each pair: the real image left, the synthetic one right",
    )


def _pair(copy: Copy, load: Callable[[str], Pixels]) -> Pair:
    caption = copy.way if copy.way == "exact" else f"{copy.way}, r = {copy.likeness:.2f}"
    return Pair(load(copy.real.sha256), load(copy.synthetic.sha256), caption)
