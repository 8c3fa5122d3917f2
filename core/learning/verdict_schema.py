"""The published shape of verdict.json: ``python -m core.learning.verdict_schema`` writes it.

A member that is added raises the second number of the version; one that goes or changes its
meaning raises the first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = "1.1"
PATH = Path(__file__).parents[2] / "docs" / "verdict.schema.json"

Verdict = Literal["helps", "no_evidence", "hurts", "not_estimable"]
Interval = tuple[float, float]


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Difference(Closed):
    """The primary arm less a comparator, with its 95 % interval."""

    comparator: str
    difference: float
    interval: Interval


class TestedDifference(Difference):
    """A difference with its two-sided p value, 2 min(tail) + 1/B."""

    p: float = Field(ge=0, le=1)


class WellTested(Closed):
    """The same differences over the classes with enough test groups alone."""

    classes: list[str]
    comparisons: list[Difference]


class Primary(Closed):
    """The one pre-specified hypothesis."""

    metric: Literal["balanced_accuracy"]
    classifier: str
    arm: str
    verdict: Verdict
    reason: str
    comparisons: list[TestedDifference]
    well_tested: WellTested
    smallest_detectable: float | None = Field(description="80 % power at 5 %, two-sided.")
    threshold_effect_possible: bool


class ClassVerdict(Closed):
    """Recall of one class, Holm-adjusted over the classes tested."""

    class_: str = Field(alias="class")
    n_groups: int = Field(ge=0)
    verdict: Verdict
    difference: float | None
    interval: Interval | None
    p_holm: float | None
    reason: str


class Score(Closed):
    """A score with its 95 % interval; null where none can be given."""

    value: float | None
    interval: Interval | None


class ArmScores(Closed):
    """One arm with one classifier."""

    arm: str
    classifier: str
    scores: dict[str, Score]
    valid: bool
    invalid_reason: str | None


class Dose(Closed):
    """A ratio arm less ``real``, with a band that holds over all doses together."""

    arm: str
    ratio: float
    difference: float
    band: Interval


class DoseToBest(Closed):
    ratio: float
    difference: float
    band: Interval


class Knee(Closed):
    """The smallest dose whose difference to the best one has a band that includes 0."""

    ratio: float
    best_ratio: float
    differences_to_best: list[DoseToBest]


class SeedInterval(Closed):
    comparator: str
    interval: Interval


class SeedScores(Closed):
    """Balanced accuracy seed by seed; deviation (standard, n - 1) is null with one seed."""

    arm: str
    classifier: str
    balanced_accuracy: list[float]
    deviation: float | None


class Exploratory(Closed):
    """What carries no verdict."""

    dose_response: list[Dose]
    knee: Knee | None
    external: list[TestedDifference] = Field(description="Predictions made elsewhere less an arm.")
    with_seeds: list[SeedInterval] = Field(description="Seeds are resampled too.")
    seeds: list[SeedScores]
    synthesis_by_seed: bool | None = Field(
        description="Whether no two seeds share a synthetic image; null without synthetic images."
    )


class Subgroup(Closed):
    """``combined`` less ``real`` within a subgroup; null with a reason where it abstains."""

    attribute: str
    level: str
    n_images: int
    n_groups: int
    classes: list[str]
    combined: float | None
    real: float | None
    difference: float | None
    interval: Interval | None
    reason: str | None


class LearningPoint(Closed):
    """Balanced accuracy of the best remedy with a share of the weak classes' training groups.

    groups and images: real ones of the weak classes on a training side, means over all folds.
    """

    share: int = Field(ge=1, le=100, description="Per cent.")
    groups: float
    images: float
    score: float
    interval: Interval


Bound = Literal["exact", "at_least", "at_most"]


class WorthPoint(Closed):
    """``combined`` on a share: how many more real images the best remedy needs to reach its score.

    bound tells whether the number is one, or where the curve ends; null with a reason.
    """

    share: int = Field(ge=1, le=100, description="Per cent.")
    groups: float
    images: float
    score: float | None
    interval: Interval | None
    worth: float | None
    bound: Bound | None
    worth_interval: Interval | None
    interval_bounds: tuple[Bound, Bound] | None
    reason: str | None


class Worth(Closed):
    """What the synthetic images are worth in real ones; exploratory."""

    remedy: str
    classifier: str
    curve: list[LearningPoint]
    combined: list[WorthPoint]
    reason: str | None
    notes: list[str]


class Copycat(Closed):
    """Near-copies of real images, declared new: what the privacy gate kept out, and let pass.

    quality holds rows of quality.json: how excellent a distance between features calls them.
    """

    made: int = Field(ge=0)
    quarantined: int = Field(ge=0)
    passed: int = Field(ge=0)
    by_class: dict[str, dict[str, int]]
    quality: list[dict[str, Any]]


class Controls(Closed):
    """Tests of what stands guard over the result; null where a control was not asked for."""

    copycat: Copycat | None


class VerdictDocument(Closed):
    """verdict.json: do synthetic images help, judged on real images only."""

    schema_version: Literal["1.1"]
    design: Literal["cv", "holdout"]
    fold_table_sha256: str
    primary: Primary
    per_class: list[ClassVerdict]
    arms: list[ArmScores]
    legacy_protocol: dict[str, Any] | None
    settings: dict[str, Any]
    controls: Controls
    warnings: list[str]
    exploratory: Exploratory
    worth: Worth | None = Field(description="Null when it was not asked for.")
    subgroups: list[Subgroup]
    cannot_exclude: list[str]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of verdict.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:dermsynth3d:verdict:{SCHEMA_VERSION}",
        **VerdictDocument.model_json_schema(by_alias=True),
    }


def schema_text() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(schema_text(), encoding="utf-8")
    sys.stdout.write(f"{PATH}\n")
