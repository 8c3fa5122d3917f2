"""Lay the features of images out in two dimensions and draw them by class and by source."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from core.features.contract import check_backbone
from core.jobs.context import Children, Inputs, JobContext
from core.jobs.kinds.extract_features import IMAGES_PER_SECOND, features_first
from core.jobs.spec import Cost, Params, Result, Seed, VersionId, job_kind
from core.pointers import invalid


class ProjectParams(Params):
    """Versions to be drawn together."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"dataset_version_ids": ["dsv_" + "0" * 26], "method": "pca"}]
        }
    )

    dataset_version_ids: list[VersionId] = Field(min_length=1, max_length=100)
    backbone: str = Field("efficientnet_lite0", description="A backbone of the catalog.")
    method: Literal["pca", "tsne", "umap"] = "pca"
    seed: Seed = 0


class ProjectResult(Result):
    """explained_variance: shares of the two axes, of PCA only."""

    method: str
    points: int
    explained_variance: list[float] | None


def check(params: ProjectParams, inputs: Inputs) -> None:
    """Refuse a backbone that does not exist, and versions with too few images for a picture."""
    check_backbone(params.backbone, "/backbone")
    images = sum(inputs.versions[v].image_count for v in set(params.dataset_version_ids))
    if images < 4:
        raise invalid(
            "/dataset_version_ids",
            f"A projection needs at least 4 images, there are {images}",
            "too_few_images",
        )


def estimate(params: ProjectParams, inputs: Inputs) -> Cost:
    images = sum(inputs.versions[v].image_count for v in params.dataset_version_ids)
    each = {"pca": 0.001, "tsne": 0.02, "umap": 0.01}[params.method]
    start = 25.0 if params.method == "umap" else 6.0
    return Cost(seconds=start + images * (each + 1 / IMAGES_PER_SECOND), images=images)


@job_kind(
    "project",
    params=ProjectParams,
    result=ProjectResult,
    queue="gpu",
    profile="torch",
    check=check,
    estimate=estimate,
    scopes=("datasets:read",),
)
def project(ctx: JobContext, params: ProjectParams) -> ProjectResult | Children:
    """Projects features to two dimensions (PCA, t-SNE, UMAP) with plots by class and by source."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from core.features.extract import FeatureItem, features
    from core.features.shards import usable
    from core.plots.scatter import class_scatter, source_scatter
    from core.quality import projection

    versions = list(dict.fromkeys(params.dataset_version_ids))
    records = usable(record for version in versions for record in ctx.manifest(version))
    first = features_first(ctx, versions, params.backbone, records)
    if first is not None:
        return first
    items = [FeatureItem(record.sha256) for record in records]
    span = (0.8, 0.9) if ctx.children else (0.0, 0.9)
    matrix = features(ctx, items, params.backbone, span=span).matrix
    ctx.progress("projecting", 0.9)
    found = projection.project(matrix, params.method, params.seed, ctx.threads)
    ctx.progress("drawing", 0.97)
    labels, sources = [r.label for r in records], [r.source for r in records]
    table = pa.table(
        {
            "image_id": pa.array([r.image_id for r in records], pa.string()),
            "label": pa.array(labels, pa.string()),
            "source": pa.array(sources, pa.string()),
            "x": found.points[:, 0],
            "y": found.points[:, 1],
        }
    )
    path = ctx.scratch / "projection.parquet"
    pq.write_table(table, path, compression="zstd")
    ctx.artifact("projection.parquet", path, "application/vnd.apache.parquet")
    name = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}[params.method]
    axes = _axes(name, found.explained_variance)
    title = f"{name} of {params.backbone} features"
    pictures = {
        "pca_by_class.png": class_scatter(found.points, labels, f"{title}, by class", axes),
        "pca_by_source.png": source_scatter(found.points, sources, f"{title}, by source", axes),
    }
    for file, picture in pictures.items():
        ctx.artifact(file, picture, "image/png")
    explained = found.explained_variance
    return ProjectResult(
        method=params.method,
        points=len(records),
        explained_variance=None if explained is None else list(explained),
    )


def _axes(name: str, explained: tuple[float, float] | None) -> tuple[str, str]:
    if explained is None:
        return f"{name} 1", f"{name} 2"
    first, second = (f"PC{i + 1} ({share:.1%} of variance)" for i, share in enumerate(explained))
    return first, second
