"""The apparent skin tone of an experiment's tested images, each measured once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field

from core.jobs.context import JobContext
from core.jobs.spec import Params, Result, VersionId, job_kind

if TYPE_CHECKING:
    from core.manifest import ImageRecord
    from core.synthesis.tone import Tone

REPORT = "tone.json"
_BATCH = 32
"""Looked at between two reports of progress."""


class ExperimentToneParams(Params):
    """Rows of the experiment's cohort; no row stands in two jobs of one experiment."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"dataset_version_id": "dsv_" + "0" * 26, "rows": [0, 1, 2]}]
        }
    )

    dataset_version_id: VersionId
    rows: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)


class ExperimentToneResult(Result):
    """images that were looked at, and those of them whose skin could be measured."""

    images: int
    measured: int


@job_kind(
    "experiment_tone",
    params=ExperimentToneParams,
    result=ExperimentToneResult,
    queue="cpu",
    timeout=4 * 3600.0,
    public=False,
)
def experiment_tone(ctx: JobContext, params: ExperimentToneParams) -> ExperimentToneResult:
    """Measure the healthy skin around the lesion of some images, or abstain."""
    import cv2

    from core.learning.cohort import cohort
    from core.manifest import canonical_json

    cv2.setNumThreads(1)  # the images are spread over the job's threads
    every = cohort(ctx.manifest(params.dataset_version_id)).records
    records = [every[row] for row in params.rows]
    found: list[Tone] = []
    with ThreadPoolExecutor(ctx.threads) as pool:
        for start in range(0, len(records), _BATCH):
            ctx.progress("tone", start, len(records))
            found += pool.map(lambda r: _tone(ctx, r), records[start : start + _BATCH])
    told = {
        record.image_id: {"ita": tone.ita, "group": tone.group, "reason": tone.reason}
        for record, tone in zip(records, found, strict=True)
    }
    ctx.artifact(REPORT, canonical_json(told).encode(), "application/json")
    measured = sum(tone.ita is not None for tone in found)
    return ExperimentToneResult(images=len(records), measured=measured)


def _tone(ctx: JobContext, record: ImageRecord) -> Tone:
    from core.ingest.images import decode
    from core.synthesis.tone import apparent_tone

    mask = (record.provenance.get("annotations") or {}).get("mask")
    inside = decode(ctx.blob(mask)) if mask else None
    return apparent_tone(decode(ctx.blob(record.sha256)), inside)
