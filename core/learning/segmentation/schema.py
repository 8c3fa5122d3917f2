"""The published shape of segmentation.json: ``python -m core.learning.segmentation.schema``.

A member that is added raises the second number of the version; one that goes or changes its
meaning raises the first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from core.learning.verdict_schema import Closed, Interval, Score, Verdict

SCHEMA_VERSION = "1.0"
PATH = Path(__file__).parents[3] / "docs" / "segmentation.schema.json"

Metric = Literal["dice", "iou", "dice_pooled", "iou_pooled"]


class Difference(Closed):
    """An arm less another on the same test images, with its 95 % interval.

    p: two-sided, 2 min(tail) + 1/B.
    """

    arm: str
    comparator: str
    metric: Metric
    difference: float
    interval: Interval
    p: float = Field(ge=0, le=1)


class Primary(Closed):
    """The one pre-specified hypothesis: mean Dice of ``combined`` less that of ``real``."""

    metric: Literal["dice"]
    arm: Literal["combined"]
    comparator: Literal["real"]
    verdict: Verdict
    reason: str
    difference: float | None
    interval: Interval | None
    p: float | None
    interval_with_seeds: Interval | None = Field(description="Seeds are resampled too.")
    smallest_detectable: float | None = Field(description="80 % power at 5 %, two-sided.")


class Arm(Closed):
    """An arm on all classes; scores is empty where it could not be trained in every fold.

    dice and iou are means over images, dice_pooled and iou_pooled over all pixels together; seeds
    are mean Dice seed by seed.
    """

    arm: str
    scores: dict[Metric, Score]
    seeds: list[float]
    training_images: float | None = Field(description="Mean over folds, early stopping's left out.")
    valid: bool
    invalid_reason: str | None


class ClassScores(Closed):
    """One class: scores by arm, and Dice of ``combined`` less ``real``, Holm over the classes.

    Intervals are null for a class with too few test groups.
    """

    class_: str = Field(alias="class")
    n_images: int = Field(ge=0)
    n_groups: int = Field(ge=0)
    arms: dict[str, dict[Metric, Score]]
    verdict: Verdict
    difference: float | None
    interval: Interval | None
    p_holm: float | None
    reason: str


class Images(Closed):
    """What was used and what was not."""

    real: int = Field(ge=0, description="Tested, each once a seed.")
    groups: int = Field(ge=0)
    real_without_mask: int = Field(ge=0)
    empty_masks: int = Field(ge=0, description="Of the real ones: nothing is inside.")
    full_masks: int = Field(ge=0, description="Of the real ones: nothing is outside.")
    synthetic: int = Field(ge=0, description="That some fold could use.")
    synthetic_without_mask: int = Field(ge=0)
    synthetic_unused: int = Field(
        ge=0, description="A parent or its group is not among the real ones."
    )
    synthetic_copies: int = Field(ge=0, description="Kept out by the privacy gate.")


class SegmentationDocument(Closed):
    """segmentation.json: how well lesions are outlined, judged on masks of real images only."""

    schema_version: Literal["1.0"]
    fold_table_sha256: str
    primary: Primary
    arms: list[Arm]
    differences: list[Difference]
    per_class: list[ClassScores]
    images: Images
    settings: dict[str, Any]
    warnings: list[str]
    cannot_exclude: list[str]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of segmentation.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:dermsynth3d:segmentation:{SCHEMA_VERSION}",
        **SegmentationDocument.model_json_schema(by_alias=True),
    }


def schema_text() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(schema_text(), encoding="utf-8")
    sys.stdout.write(f"{PATH}\n")
