"""Train networks that outline lesions, on real and synthetic masks, and judge them on real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field

from core.jobs.context import Children, Inputs, JobContext
from core.jobs.segmentation_cost import estimate
from core.jobs.spec import MaskedVersionId, Params, Result, Seed, job_kind
from core.learning.segmentation.contract import ARMS, ArmName, no_masks
from core.pointers import invalid

if TYPE_CHECKING:
    from core.learning.segmentation.contract import Architecture

_MOST_BYTES = 64 * 1024**3
"""Memory of a batch in training beyond which no device of the field holds it."""


class NetworkParams(Params):
    """A network, and how every arm of every fold trains it."""

    architecture: str = Field("unet", description="unet: small; deeplabv3: for a GPU.")
    weights: Literal["random", "imagenet"] = Field(
        "random",
        description="What training begins with. imagenet (deeplabv3 alone) needs the weights on "
        "the workers; nothing is downloaded.",
    )
    image_size: int = Field(
        128, ge=32, le=1024, description="Side of the squares that the network sees, pixels."
    )
    epochs: int = Field(40, ge=1, le=500, description="Bound on passes over the largest arm.")
    batch_size: int = Field(8, ge=2, le=256, description="Images of one step.")
    learning_rate: float = Field(1e-3, gt=0, le=1.0, description="Largest step of AdamW.")
    weight_decay: float = Field(0.01, ge=0, le=10.0, description="Decoupled, on weights alone.")
    patience: int = Field(
        8, ge=1, le=500, description="Stop after so many epochs without a smaller validation loss."
    )
    validation: float = Field(
        0.15,
        gt=0,
        le=0.5,
        description="Share of the training side, whole groups, that early stopping looks at: real "
        "images wherever the arm has some.",
    )
    augmentation: Literal["turns", "none"] = Field(
        "turns", description="turns: an image is drawn in one of its 8 flips and turns."
    )
    ratio: float | None = Field(
        None,
        gt=0,
        le=100,
        description="Most synthetic images for each real one of a training side; null: all.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="auto: a GPU where the worker has one; cpu: no GPU; cuda: fail without one.",
    )
    seed: Seed = 0


class TrainSegmentationParams(NetworkParams):
    """A real version with masks, synthetic ones with masks, and how to compare."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_version_id": "dsv_" + "0" * 26,
                    "synthetic_version_ids": ["dsv_" + "1" * 26],
                    "architecture": "unet",
                    "image_size": 128,
                    "folds": 5,
                }
            ]
        }
    )

    dataset_version_id: MaskedVersionId
    synthetic_version_ids: list[MaskedVersionId] = Field(default_factory=list, max_length=20)
    arms: list[ArmName] | None = Field(
        None,
        min_length=1,
        max_length=3,
        description="null: real, synthetic and combined with synthetic versions, else real alone.",
    )
    folds: int = Field(5, ge=2, le=20)
    repeats: int = Field(1, ge=1, le=20, description="Seeds; each has folds of its own.")
    bootstrap: int = Field(10_000, ge=200, le=20_000, description="Replicates.")
    name: str | None = Field(None, min_length=1, max_length=200, description="Of the model.")


class SegmentationRow(Result):
    """Mean Dice and IoU of an arm on real test images; null where it could not be estimated."""

    arm: str
    dice: float | None
    dice_interval: tuple[float, float] | None
    iou: float | None
    iou_interval: tuple[float, float] | None
    valid: bool


class TrainSegmentationResult(Result):
    """verdict is helps, no_evidence, hurts or not_estimable, on Dice of combined less real.

    The model is of the arm ``model_arm``, trained on all images.
    """

    verdict: str
    reason: str
    difference: float | None
    interval: tuple[float, float] | None
    model_id: str
    model_arm: str
    table: list[SegmentationRow]
    images: dict[str, int]


def arms_of(params: TrainSegmentationParams) -> tuple[ArmName, ...]:
    """Return the arms that are asked for, in their fixed order."""
    asked = params.arms or (ARMS if params.synthetic_version_ids else ("real",))
    return tuple(arm for arm in ARMS if arm in asked)


def check(params: TrainSegmentationParams, inputs: Inputs) -> None:
    """Refuse what the versions and the network cannot do."""
    real = inputs.versions[params.dataset_version_id]
    if real.kind != "real":
        raise invalid("/dataset_version_id", "Outlines are judged on real masks only")
    if real.masks == 0:
        raise no_masks("/dataset_version_id", real.image_count)
    seen: set[str] = set()
    for index, version_id in enumerate(params.synthetic_version_ids):
        pointer = f"/synthetic_version_ids/{index}"
        if version_id in seen:
            raise invalid(pointer, "This version is named twice")
        version = inputs.versions[version_id]
        if version.kind != "synthetic":
            raise invalid(pointer, "This version is not synthetic")
        if version.masks == 0:
            raise no_masks(pointer, version.image_count)
        seen.add(version_id)
    arms = arms_of(params)
    if "real" not in arms:
        raise invalid("/arms", "The arm real is the line that all others are measured against")
    if len(arms) > 1 and not params.synthetic_version_ids:
        raise invalid(
            "/synthetic_version_ids",
            f"The arms {', '.join(arms[1:])} need synthetic images with masks",
            code="needs_synthetic",
        )
    check_network(params)


def check_network(params: NetworkParams) -> Architecture:
    """Refuse a square that the architecture cannot take, and batches that nothing can hold."""
    from core.learning.segmentation.contract import ARCHITECTURES, no_pretrained

    entry = ARCHITECTURES.get(params.architecture, "/architecture")
    if params.weights != "random" and entry.find is None:
        raise invalid("/weights", no_pretrained(entry.name), code="no_pretrained_weights")
    size = params.image_size
    if size < entry.smallest or size % entry.multiple:
        raise invalid(
            "/image_size",
            f"{entry.name} takes squares from {entry.smallest} pixels on whose side is a multiple "
            f"of {entry.multiple}; {size} is none",
        )
    needed = params.batch_size * size**2 * entry.bytes_per_pixel
    if needed > _MOST_BYTES:
        raise invalid(
            "/batch_size",
            f"{params.batch_size} squares of {size} pixels need about {needed / 1024**3:.0f} GiB "
            f"in training: lower batch_size or image_size",
            code="batch_too_large",
        )
    return entry


@job_kind(
    "train_segmentation",
    params=TrainSegmentationParams,
    result=TrainSegmentationResult,
    queue="cpu",
    profile="torch",
    timeout=4 * 3600.0,
    check=check,
    estimate=estimate,
    scopes=("datasets:read", "models:write"),
)
def train_segmentation(
    ctx: JobContext, params: TrainSegmentationParams
) -> TrainSegmentationResult | Children:
    """Trains networks that outline lesions and judges on real masks whether synthetic ones help."""
    from core.jobs.segmentation_merge import merge
    from core.jobs.segmentation_plan import (
        fold_children,
        gate_children,
        material,
        require_outlines,
    )

    asked = {child.role for child in ctx.children}
    found = material(ctx, params)
    if not asked:
        require_outlines(ctx, found)
        gate = gate_children(params, found)
        if gate:
            return Children(phase="privacy", children=tuple(gate), span=(0.0, 0.05))
    if "fold" not in asked:
        return Children(
            phase="folds", children=tuple(fold_children(ctx, params, found)), span=(0.05, 0.95)
        )
    model_id, arm, document = merge(ctx, params, found)
    primary = document["primary"]
    return TrainSegmentationResult(
        verdict=primary["verdict"],
        reason=primary["reason"],
        difference=primary["difference"],
        interval=primary["interval"],
        model_id=model_id,
        model_arm=arm,
        table=[_row(row) for row in document["arms"]],
        images=document["images"],
    )


def _row(arm: dict[str, Any]) -> SegmentationRow:
    dice, iou = (arm["scores"].get(m, {"value": None, "interval": None}) for m in ("dice", "iou"))
    return SegmentationRow(
        arm=arm["arm"],
        dice=dice["value"],
        dice_interval=dice["interval"],
        iou=iou["value"],
        iou_interval=iou["interval"],
        valid=arm["valid"],
    )
