"""Say how close synthetic images come to real ones, with what each number needs to be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field

from core.features.contract import BACKBONES
from core.jobs.context import Children, Inputs, JobContext
from core.jobs.kinds.extract_features import IMAGES_PER_SECOND, features_first
from core.jobs.spec import Cost, Params, Result, Seed, VersionId, invalid, job_kind
from core.manifest import ImageRecord

if TYPE_CHECKING:
    from core.quality.distances import Side
    from core.quality.rows import QualityRow

Metric = Literal["fd", "kid", "ssim"]


class EvaluateParams(Params):
    """A real version and the synthetic one to be judged by it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_version_id": "dsv_" + "0" * 26,
                    "synthetic_version_id": "dsv_" + "1" * 26,
                    "metrics": ["fd", "kid", "ssim"],
                }
            ]
        }
    )

    dataset_version_id: VersionId
    synthetic_version_id: VersionId
    metrics: list[Metric] = Field(
        default=["fd", "kid", "ssim"],
        min_length=1,
        description="fd: Frechet distance of the backbone's features; kid: kernel distance; ssim: "
        "structural similarity to the source, aligned and raw, and within each class.",
    )
    backbone: str = Field("efficientnet_lite0", description="A backbone of the catalog.")
    seed: Seed = 0


class EvaluateResult(Result):
    """The rows of quality.json."""

    rows: list[dict[str, Any]]


def check(params: EvaluateParams, inputs: Inputs) -> None:
    """Refuse versions that cannot be compared."""
    BACKBONES.get(params.backbone, "/backbone")
    real = inputs.versions[params.dataset_version_id]
    synthetic = inputs.versions[params.synthetic_version_id]
    if real.kind != "real":
        raise invalid("/dataset_version_id", f"{real.id} is not a version of real images")
    if synthetic.kind != "synthetic":
        raise invalid("/synthetic_version_id", f"{synthetic.id} is not a synthetic version")
    if not {c.name for c in real.classes} & {c.name for c in synthetic.classes}:
        raise invalid("/synthetic_version_id", "The two versions share no class", "no_shared_class")


def estimate(params: EvaluateParams, inputs: Inputs) -> Cost:
    ids = (params.dataset_version_id, params.synthetic_version_id)
    versions = [inputs.versions[v] for v in ids]
    images = sum(version.image_count for version in versions)
    scopes = 1 + len(versions[1].classes)
    seconds = 5.0
    if {"fd", "kid"} & set(params.metrics):
        seconds += images / IMAGES_PER_SECOND + scopes * 4
    if "ssim" in params.metrics:
        seconds += scopes * 4
    return Cost(seconds=seconds, images=images)


@job_kind(
    "evaluate",
    params=EvaluateParams,
    result=EvaluateResult,
    queue="gpu",
    profile="torch",
    check=check,
    estimate=estimate,
    scopes=("datasets:read",),
)
def evaluate(ctx: JobContext, params: EvaluateParams) -> EvaluateResult | Children:
    """Measures the quality of synthetic images: Frechet and kernel distance with floor, SSIM."""
    from core.features.shards import usable
    from core.manifest import canonical_json

    real = [r for r in usable(ctx.manifest(params.dataset_version_id)) if r.source == "real"]
    made = usable(ctx.manifest(params.synthetic_version_id))
    made = [r for r in made if r.source == "synthetic"]
    rows: list[QualityRow] = []
    distances = [metric for metric in dict.fromkeys(params.metrics) if metric != "ssim"]
    if distances:
        versions = [params.dataset_version_id, params.synthetic_version_id]
        first = features_first(ctx, versions, params.backbone, [*real, *made])
        if first is not None:
            return first
        rows += _distances(ctx, params, distances, real, made)
    if "ssim" in params.metrics:
        rows += _similarity(ctx, real, made)
    found = [row.as_json() for row in rows]
    _draw(ctx, found)
    ctx.artifact("quality.json", canonical_json(found).encode(), "application/json")
    return EvaluateResult(rows=found)


def _distances(
    ctx: JobContext,
    params: EvaluateParams,
    metrics: Sequence[str],
    real: Sequence[ImageRecord],
    made: Sequence[ImageRecord],
) -> list[QualityRow]:
    from core.features.extract import FeatureItem, features
    from core.quality.distances import ROWS, pairs

    items = [FeatureItem(record.sha256) for record in (*real, *made)]
    span = (0.8, 0.8) if ctx.children else (0.0, 0.5)
    matrix = features(ctx, items, params.backbone, span=span).matrix
    compared = pairs(_side(real, matrix[: len(real)]), _side(made, matrix[len(real) :]))
    rows: list[QualityRow] = []
    for number, metric in enumerate(metrics):
        for place, pair in enumerate(compared):
            done = (number + place / len(compared)) / len(metrics)
            ctx.progress("distances", (0.8 if ctx.children else 0.5) + 0.1 * done)
            scope = "overall" if pair.label is None else f"class {pair.label}"
            rng = ctx.rng(metric, scope)
            rows.append(ROWS[metric](pair, params.backbone, rng))
    return rows


def _side(records: Sequence[ImageRecord], matrix: Any) -> Side:
    from core.quality.distances import Side

    return Side(matrix, tuple(r.label for r in records), tuple(r.group_ids for r in records))


def _similarity(
    ctx: JobContext, real: Sequence[ImageRecord], made: Sequence[ImageRecord]
) -> list[QualityRow]:
    from core.ingest.images import decode
    from core.plots.quality import similarity_figure
    from core.quality.likeness import likeness

    found = likeness(
        real,
        made,
        lambda sha256: decode(ctx.blob(sha256)),
        ctx.rng,
        threads=ctx.threads,
        progress=lambda done: ctx.progress("similarity", 0.9 + 0.1 * done),
    )
    aligned = [c.aligned for c in found.compared if c.aligned is not None]
    raw = [c.raw for c in found.compared if c.raw is not None]
    picture = similarity_figure(aligned, raw)
    if picture is not None:
        ctx.artifact("similarity.png", picture, "image/png")
    return list(found.rows)


def _draw(ctx: JobContext, rows: Sequence[dict[str, Any]]) -> None:
    from core.plots.quality import distances_figure

    picture = distances_figure(rows)
    if picture is not None:
        ctx.artifact("quality.png", picture, "image/png")
