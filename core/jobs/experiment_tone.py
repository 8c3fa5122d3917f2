"""The jobs that measure the apparent tone of an experiment's images, and what they found."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from core.jobs.context import ChildSpec, JobContext

if TYPE_CHECKING:
    from core.jobs.kinds.experiment import ExperimentParams
    from core.learning.cohort import Cohort
    from core.learning.folds import FoldTable

ROLE = "tone"
SHARD_IMAGES = 512
_LOOKS_PER_FEATURE = 0.7
"""A look takes half as long again as the features of an image."""

METHOD = (
    "apparent tone, uncalibrated: individual typology angle of the median CIELAB colour of a "
    "healthy ring around the lesion (groups of Del Bino and Bernerd 2013); an image without a "
    "trusted lesion, or without such a ring of even, untinted skin, abstains, dermoscopy too"
)


def tone_children(params: ExperimentParams, members: Cohort, table: FoldTable) -> list[ChildSpec]:
    """Return jobs that look at every tested colour image once; none when that is not asked for."""
    import numpy as np

    if not params.apparent_tone:
        return []
    tested = [
        row
        for row in np.flatnonzero(table.tested).tolist()
        if members.records[row].modality == "rgb"
    ]
    parts = [tested[start : start + SHARD_IMAGES] for start in range(0, len(tested), SHARD_IMAGES)]
    return [
        ChildSpec(
            kind="experiment_tone",
            role=ROLE,
            params={"dataset_version_id": params.dataset_version_id, "rows": rows},
            weight=len(rows) / _LOOKS_PER_FEATURE,
        )
        for rows in parts
    ]


def tones(ctx: JobContext) -> dict[str, dict[str, Any]]:
    """Return what was found about each image, by id."""
    found: dict[str, dict[str, Any]] = {}
    for child in ctx.children:
        if child.role == ROLE:
            found |= json.loads(ctx.blob(child.artifacts["tone.json"].sha256).read_bytes())
    return found


def tone_statement(found: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Return how many images were measured and why the others were not; None without any look."""
    if not found:
        return None
    reasons = Counter(row["reason"] for row in found.values() if row["reason"])
    return {
        "method": METHOD,
        "images": len(found),
        "measured": len(found) - sum(reasons.values()),
        "abstained": dict(sorted(reasons.items())),
    }
