"""The contact sheet of a synthetic version: what was made of which image, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.jobs.context import JobContext

if TYPE_CHECKING:
    from core.manifest import ImageRecord

_CLASSES = 8
_PAIRS = 8


def per_class(made: Sequence[ImageRecord]) -> dict[str, int]:
    """Return how many images of each class were made."""
    counts: dict[str, int] = {}
    for record in made:
        counts[record.label] = counts.get(record.label, 0) + 1
    return dict(sorted(counts.items()))


def contact_sheet_of(ctx: JobContext, made: Sequence[ImageRecord], title: str) -> bytes:
    """Show the first images of the classes of which most were made, each beside its main source."""
    from core.ingest.images import decode
    from core.plots.contact_sheet import Pair, Row, contact_sheet
    from core.synthesis.production import describe

    counts = per_class(made)
    largest = sorted(counts, key=lambda label: (-counts[label], label))[:_CLASSES]
    rows = []
    for label in sorted(largest):
        shown = [record for record in made if record.label == label][:_PAIRS]
        pairs = tuple(
            Pair(
                source=decode(ctx.blob(r.parent_sha256[0])) if r.parents else None,
                synthetic=decode(ctx.blob(r.sha256)),
                caption=describe(r.provenance),
            )
            for r in shown
        )
        rows.append(Row(label, pairs, note=f"{len(shown)} of {counts[label]}"))
    return contact_sheet(rows, title=title, subtitle="In each pair: source left, synthetic right")
