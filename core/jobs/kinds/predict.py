"""Classify a few images with a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from core.errors import JobFailed, NotFound
from core.jobs.context import Inputs, JobContext
from core.jobs.spec import ModelId, Params, Result, job_kind
from core.pointers import invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.ingest.rejects import Rejected
    from core.learning.fitting import Rows
    from core.learning.model_file import ModelInfo
    from core.learning.pixels import PixelRows


class ImageToPredict(BaseModel):
    """Bytes that were sent, as a blob, and what the sender called them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filename: str = Field(max_length=1000)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class PredictParams(Params):
    """A model and up to 32 images."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model_id": "mdl_" + "0" * 26,
                    "images": [{"filename": "lesion.jpg", "sha256": "0" * 64}],
                }
            ]
        }
    )

    model_id: ModelId
    images: list[ImageToPredict] = Field(min_length=1, max_length=32)


class Prediction(Result):
    """One image: label and probabilities by class, or an error with its code."""

    filename: str
    label: str | None = None
    probabilities: dict[str, float] | None = None
    error: dict[str, str] | None = None


class PredictResult(Result):
    """Predictions in the order of the images."""

    model_id: str
    classes: list[str]
    predictions: list[Prediction]
    intended_use: str


def check(params: PredictParams, inputs: Inputs) -> None:
    """Refuse a model that draws outlines and has no classes to tell."""
    if inputs.models[params.model_id].info.get("task") == "segmentation":
        raise invalid(
            "/model_id",
            f"{params.model_id} outlines lesions and classifies nothing: its files are "
            "model.safetensors and model.json, and docs/segmentation.md says how to use them",
            code="not_a_classifier",
        )


@job_kind(
    "predict",
    params=PredictParams,
    result=PredictResult,
    queue="interactive",
    profile="torch",
    timeout=300.0,
    check=check,
    scopes=("datasets:read", "models:read"),
)
def predict(ctx: JobContext, params: PredictParams) -> PredictResult:
    """Classifies images with a trained model; an image that is none gets an error of its own."""
    from core.learning.model_file import INFO_FILE, load_model, model_blob

    files = ctx.inputs.models[params.model_id].files
    estimator, info = load_model(ctx.blob(model_blob(files)), ctx.blob(files[INFO_FILE]))
    stored, errors = _take_in(ctx, params.images)
    chances = _probabilities(ctx, estimator, info, list(dict.fromkeys(stored.values())))
    predictions = [
        _prediction(image.filename, chances.get(stored.get(place, "")), errors.get(place))
        for place, image in enumerate(params.images)
    ]
    return PredictResult(
        model_id=params.model_id,
        classes=list(info.classes),
        predictions=predictions,
        intended_use=info.intended_use,
    )


def _take_in(
    ctx: JobContext, images: Sequence[ImageToPredict]
) -> tuple[dict[int, str], dict[int, dict[str, str]]]:
    """Turn foreign bytes into stored images, by place; what is no image gets an error."""
    from core.ingest.foreign import ForeignImages
    from core.ingest.rejects import Rejected

    stored: dict[int, str] = {}
    errors: dict[int, dict[str, str]] = {}
    limits = ctx.limits
    files = ((str(place), _sent(ctx, image)) for place, image in enumerate(images))
    processes = min(ctx.threads, len(images))
    with ForeignImages(
        processes, limits.image_pixels, limits.decoder, ctx.check_cancelled
    ) as foreign:
        for place, (_, _, image) in enumerate(foreign.images(files)):
            ctx.progress("reading", place, len(images))
            if isinstance(image, Rejected):
                errors[place] = {"code": image.code, "detail": image.detail}
            else:
                stored[place] = ctx.put(image.data)
    return stored, errors


def _sent(ctx: JobContext, image: ImageToPredict) -> bytes | Rejected:
    from core.ingest.rejects import Rejected

    try:
        return ctx.blob(image.sha256).read_bytes()
    except NotFound:
        return Rejected("not_found", "These bytes were not stored")


def _probabilities(
    ctx: JobContext, estimator: Any, info: ModelInfo, images: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return the probabilities by class of each stored image."""
    if not images:
        return {}
    seen = _seen if info.preprocessing is None else _pixels
    rows = _by_class(estimator, info, seen(ctx, info, images))
    return {
        sha256: dict(zip(info.classes, row, strict=True))
        for sha256, row in zip(images, rows.tolist(), strict=True)
    }


def _seen(ctx: JobContext, info: ModelInfo, images: Sequence[str]) -> NDArray[np.float32]:
    """Return the features of the images, from the very weights that the model was trained on."""
    from core.features.extract import FeatureItem, features

    found = features(ctx, [FeatureItem(sha256) for sha256 in images], info.backbone, persist=False)
    if found.backbone_sha256 != info.backbone_sha256:
        raise JobFailed(
            f"The model was trained on {info.backbone} with sha256 {info.backbone_sha256}; this "
            f"worker has {found.backbone_sha256}. Bring back those weights or train again.",
            code="backbone_changed",
        )
    return found.matrix


def _pixels(ctx: JobContext, info: ModelInfo, images: Sequence[str]) -> PixelRows:
    """Return the images as the model's own network sees them; it needs no pretrained weights."""
    from core.features.contract import BACKBONES
    from core.features.extract import FeatureItem
    from core.features.squares import squares
    from core.learning.pixels import Start, pixel_rows

    backbone = BACKBONES.get(info.backbone)
    found = squares(ctx, [FeatureItem(sha256) for sha256 in images], backbone.size, None)
    return pixel_rows(found, Start(backbone, None, ctx.device))


def _by_class(estimator: Any, info: ModelInfo, rows: Rows) -> NDArray[np.float64]:
    import numpy as np

    from core.learning.fitting import check_finite

    check_finite(rows)
    answer = np.zeros((len(rows), len(info.classes)))
    answer[:, np.asarray(estimator.classes_, dtype=np.intp)] = estimator.predict_proba(rows)
    return answer


def _prediction(
    filename: str, chances: dict[str, float] | None, error: dict[str, str] | None
) -> Prediction:
    if chances is None:
        return Prediction(filename=filename, error=error)
    return Prediction(
        filename=filename,
        label=max(chances, key=lambda name: chances[name]),
        probabilities=chances,
    )
