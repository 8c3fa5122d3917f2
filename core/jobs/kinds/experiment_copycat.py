"""The copy-cat of an experiment: does the privacy gate keep near-copies out of training?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict

from core.jobs.context import JobContext
from core.jobs.spec import Params, Result, Seed, VersionId, job_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.manifest import ImageRecord
    from core.synthesis.contract import Pixels

REPORT = "copycat.json"
SHEET = "copycat.png"


class ExperimentCopycatParams(Params):
    """The real version whose weak classes are copied, and the features of the distance."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"dataset_version_id": "dsv_" + "0" * 26, "backbone": "efficientnet_lite0"}
            ]
        }
    )

    dataset_version_id: VersionId
    backbone: str
    seed: Seed = 0


class ExperimentCopycatResult(Result):
    """made near-copies, of which so many were kept out; the others stand in copycat.json."""

    made: int
    quarantined: int


@job_kind(
    "experiment_copycat",
    params=ExperimentCopycatParams,
    result=ExperimentCopycatResult,
    queue="gpu",
    profile="torch",
    timeout=4 * 3600.0,
    public=False,
)
def experiment_copycat(ctx: JobContext, params: ExperimentCopycatParams) -> ExperimentCopycatResult:
    """Make near-copies declared as new, put them to the gate, and measure how real they look."""
    from core.ingest.images import decode, pixel_sha256
    from core.jobs.privacy_gate import publish_sheet, screened
    from core.learning.cohort import cohort
    from core.learning.copycat import chosen_sources, declared_new, passed_rows, source_of
    from core.manifest import canonical_json

    real = ctx.manifest(params.dataset_version_id)
    sources = chosen_sources(cohort(real))
    copies = []
    for number, source in enumerate(sources):
        ctx.progress("copies", 0.2 * number / len(sources))
        copies.append(declared_new(source, pixel_sha256(_near_copy(ctx, source.sha256))))
    copied = {copy.sha256: source_of(copy) for copy in copies}

    def load(sha256: str) -> Pixels:
        if sha256 in copied:
            return _near_copy(ctx, copied[sha256])
        return decode(ctx.blob(sha256))

    novel = [copy.image_id for copy in copies]
    found = screened(ctx, real, copies, novel, span=(0.2, 0.8), load=load)
    publish_sheet(ctx, found, SHEET, load)
    told = {
        "made": len(copies),
        "quarantined": len(found.image_ids),
        "by_class": found.by_class(),
        "quality": _quality(ctx, params, sources),
        "passed": passed_rows(copies, found.image_ids),
    }
    ctx.artifact(REPORT, canonical_json(told).encode(), "application/json")
    return ExperimentCopycatResult(made=len(copies), quarantined=len(found.image_ids))


def _near_copy(ctx: JobContext, sha256: str) -> Pixels:
    from core.features.preprocess import COPY, view
    from core.ingest.images import decode

    return view(decode(ctx.blob(sha256)), COPY, bytes.fromhex(sha256))


def _quality(
    ctx: JobContext, params: ExperimentCopycatParams, sources: Sequence[ImageRecord]
) -> list[dict[str, Any]]:
    """Return the rows of Frechet and kernel distance over all copied classes, floors included.

    The near-copies name no parents, but here it is known that the reference holds them.
    """
    from core.features.extract import FeatureItem, features
    from core.features.preprocess import COPY
    from core.quality.distances import frechet_rows, kernel_rows
    from core.quality.sides import Side, pairs

    items = [FeatureItem(r.sha256, view) for view in (0, COPY) for r in sources]
    matrix = features(ctx, items, params.backbone, span=(0.8, 0.95)).matrix
    labels, cut = tuple(r.label for r in sources), len(sources)
    real = Side(matrix[:cut], labels, tuple(r.group_ids for r in sources))
    made = Side(matrix[cut:], labels, ((),) * cut)
    overall = pairs(real, made)[0]
    rng = ctx.rng("copycat", params.backbone)
    rows = [row for of in (frechet_rows, kernel_rows) for row in of(overall, params.backbone, rng)]
    return [row.as_json() | {"reference_contains_parents": True} for row in rows]
