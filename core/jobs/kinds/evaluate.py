"""Say how close synthetic images come to real ones, with what each number needs to be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field

from core.features.contract import check_backbone, open_backbone
from core.jobs.context import Children, Inputs, JobContext
from core.jobs.kinds.extract_features import IMAGES_PER_SECOND, all_features_first
from core.jobs.spec import Cost, Params, Result, Seed, VersionId, job_kind
from core.manifest import ImageRecord
from core.pointers import invalid

if TYPE_CHECKING:
    from core.quality.rows import QualityRow
    from core.quality.sides import Side

Metric = Literal[
    "fd", "fid", "kid", "prdc", "fd_infinity", "vendi", "ssim", "ms_ssim", "lpips", "privacy"
]
PRIVACY = "privacy"
OF_PIXELS = ("ssim", "ms_ssim", "lpips")
_SECONDS = {"fd": 8, "fid": 25, "kid": 8, "prdc": 10, "fd_infinity": 20, "vendi": 10, "lpips": 15}
"""On a scope of some hundred images; 4 of the others."""


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
        description="Of the backbone's features: fd: Frechet distance, fd_infinity: the same "
        "extrapolated to endless images, kid: kernel distance, prdc: precision, recall, density "
        "and coverage, vendi: diversity. fid: Frechet distance of Inception features. ssim, "
        "ms_ssim, lpips: likeness to the source, aligned and raw, and within each class. privacy: "
        "copies of real images that are not declared, and how much closer synthetic images come to "
        "images that their generator saw than to held-out ones. fid and lpips need weights that "
        "are not installed with the service.",
    )
    backbone: str = Field("efficientnet_lite0", description="A backbone of the catalog.")
    seed: Seed = 0


class EvaluateResult(Result):
    """The rows of quality.json."""

    rows: list[dict[str, Any]]


def check(params: EvaluateParams, inputs: Inputs) -> None:
    """Refuse versions that cannot be compared."""
    check_backbone(params.backbone, "/backbone")
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
    asked = set(params.metrics)
    seconds = 5.0 + scopes * sum(_SECONDS.get(metric, 4) for metric in asked)
    seconds += len(_by_backbone(params)) * images / IMAGES_PER_SECOND
    return Cost(seconds=seconds, images=images)


def _by_backbone(params: EvaluateParams) -> dict[str, list[str]]:
    """Return the metrics over features of each backbone; ``fid`` is ``fd`` of its own one."""
    from core.quality.rows import INCEPTION

    found: dict[str, list[str]] = {}
    for metric in dict.fromkeys(params.metrics):
        if metric in OF_PIXELS:
            continue
        name, kind = (INCEPTION, "fd") if metric == "fid" else (params.backbone, metric)
        mine = found.setdefault(name, [])
        if kind not in mine:
            mine.append(kind)
    return found


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
    """Measures the quality of synthetic images: distances with floors, coverage, likeness."""
    from core.features.shards import usable
    from core.manifest import canonical_json
    from core.quality.measures import require

    wanted = _by_backbone(params)
    of_pixels = [metric for metric in dict.fromkeys(params.metrics) if metric in OF_PIXELS]
    for backbone in wanted:
        open_backbone(backbone, ctx.weights_dir).find(ctx.weights_dir)
    require(of_pixels, ctx.weights_dir)
    real = [r for r in usable(ctx.manifest(params.dataset_version_id)) if r.source == "real"]
    made = usable(ctx.manifest(params.synthetic_version_id))
    made = [r for r in made if r.source == "synthetic"]
    versions = [params.dataset_version_id, params.synthetic_version_id]
    first = all_features_first(ctx, versions, list(wanted), [*real, *made])
    if first is not None:
        return first
    rows: list[QualityRow] = []
    start = 0.8 if ctx.children else 0.0
    for number, (backbone, asked) in enumerate(wanted.items()):
        span = tuple(start + (0.9 - start) * n / len(wanted) for n in (number, number + 1))
        metrics = [metric for metric in asked if metric != PRIVACY]
        rows += _of_features(ctx, backbone, metrics, real, made, (span[0], span[1]))
    if of_pixels:
        rows += _of_pixels(ctx, of_pixels, real, made)
    if PRIVACY in params.metrics:
        rows += _of_privacy(ctx, params, real, made)
    found = [row.as_json() for row in rows]
    _draw(ctx, found)
    ctx.artifact("quality.json", canonical_json(found).encode(), "application/json")
    return EvaluateResult(rows=found)


def _of_features(
    ctx: JobContext,
    backbone: str,
    metrics: Sequence[str],
    real: Sequence[ImageRecord],
    made: Sequence[ImageRecord],
    span: tuple[float, float],
) -> list[QualityRow]:
    from core.features.extract import FeatureItem, features
    from core.quality.feature_metrics import FEATURE_METRICS
    from core.quality.sides import pairs

    items = [FeatureItem(record.sha256) for record in (*real, *made)]
    middle = (span[0] + span[1]) / 2
    matrix = features(ctx, items, backbone, span=(span[0], middle)).matrix
    compared = pairs(_side(real, matrix[: len(real)]), _side(made, matrix[len(real) :]))
    rows: list[QualityRow] = []
    for number, metric in enumerate(metrics):
        for place, pair in enumerate(compared):
            done = (number + place / len(compared)) / len(metrics)
            ctx.progress("distances", middle + (span[1] - middle) * done)
            scope = "overall" if pair.label is None else f"class {pair.label}"
            rows += FEATURE_METRICS[metric](pair, backbone, ctx.rng(metric, backbone, scope))
    return rows


def _of_privacy(
    ctx: JobContext,
    params: EvaluateParams,
    real: Sequence[ImageRecord],
    made: Sequence[ImageRecord],
) -> list[QualityRow]:
    """Publish privacy.json and the sheet of copies; a quarantined real image can be copied too."""
    from core.features.extract import FeatureItem, features
    from core.jobs.privacy_gate import novel_ids, publish, screened
    from core.quality.privacy import copies_rows, membership, privacy_rows

    version = params.synthetic_version_id
    novel = novel_ids(ctx, version, made)
    found = screened(ctx, ctx.manifest(params.dataset_version_id), made, novel, span=(0.9, 1.0))
    publish(ctx, found)
    left_out = Counter(r.label for r in ctx.manifest(version) if r.quarantined)
    items = [FeatureItem(record.sha256) for record in (*real, *made)]
    matrix = features(ctx, items, params.backbone, span=(0.9, 0.95)).matrix
    sides = _side(real, matrix[: len(real)]), _side(made, matrix[len(real) :])
    made_by = ctx.inputs.versions[version]
    told = membership(
        made_by.generator, made_by.made_of, params.dataset_version_id, real, bool(novel)
    )
    rng = ctx.rng(PRIVACY, params.backbone)
    return copies_rows(found, left_out) + privacy_rows(*sides, told, params.backbone, rng)


def _side(records: Sequence[ImageRecord], matrix: Any) -> Side:
    from core.quality.sides import Side

    return Side(matrix, tuple(r.label for r in records), tuple(r.group_ids for r in records))


def _of_pixels(
    ctx: JobContext,
    metrics: Sequence[str],
    real: Sequence[ImageRecord],
    made: Sequence[ImageRecord],
) -> list[QualityRow]:
    from core.ingest.images import decode
    from core.plots.quality import similarity_figure
    from core.quality.likeness import likeness
    from core.quality.measures import measures

    found = likeness(
        real,
        made,
        measures(metrics, ctx.weights_dir, ctx.device if "lpips" in metrics else "cpu"),
        lambda sha256: decode(ctx.blob(sha256)),
        ctx.rng,
        threads=ctx.threads,
        progress=lambda done: ctx.progress("similarity", 0.9 + 0.1 * done),
    )
    ways = {m: (found.values(f"{m}_aligned"), found.values(f"{m}_raw")) for m in metrics}
    picture = similarity_figure(ways)
    if picture is not None:
        ctx.artifact("similarity.png", picture, "image/png")
    return list(found.rows)


def _draw(ctx: JobContext, rows: Sequence[dict[str, Any]]) -> None:
    from core.plots.quality import features_figure

    picture = features_figure(rows)
    if picture is not None:
        ctx.artifact("quality.png", picture, "image/png")
