"""One arm of one fold of one seed: a network trained and tested, or trained on everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field

from core.errors import DeviceMissing, OutOfMemory
from core.jobs.context import JobContext
from core.jobs.kinds.train_segmentation import NetworkParams, check_network
from core.jobs.spec import Queue, Result, VersionId, job_kind
from core.learning.segmentation.contract import ArmName

if TYPE_CHECKING:
    import torch

    from core.features.contract import Weights
    from core.learning.course import History
    from core.learning.segmentation.arms import FoldData, Side
    from core.learning.segmentation.contract import Architecture
    from core.learning.segmentation.samples import Samples

READ, TRAINED = 0.05, 0.95
"""Shares of the progress bar at which images are read and the network is trained."""


class TrainSegmentationShardParams(NetworkParams):
    """arms are all that share the number of steps; fold null: train on everything, test nothing.

    seed is the repeat's; fold_table_sha256 is of the table of this seed alone; gate_sha256 is of
    the privacy.json that names the synthetic images to keep out; keep_masks asks for masks.npy.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_version_id": "dsv_" + "0" * 26,
                    "arms": ["real"],
                    "arm": "real",
                    "folds": 5,
                    "fold": 0,
                    "fold_table_sha256": "0" * 64,
                }
            ]
        }
    )

    dataset_version_id: VersionId
    synthetic_version_ids: list[VersionId] = Field(default_factory=list)
    arms: list[ArmName] = Field(min_length=1)
    arm: ArmName
    folds: int = Field(ge=2)
    fold: int | None = Field(ge=0)
    fold_table_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    gate_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    keep_masks: bool = False


class TrainSegmentationShardResult(Result):
    """trained: images, 0 where the arm has none; begin_sha256: of the ImageNet weights."""

    trained: int
    held_out: int
    history: dict[str, Any]
    begin_sha256: str | None
    notes: list[str]
    environment_sha256: str


def queue_for(params: TrainSegmentationShardParams) -> Queue:
    return "cpu" if params.device == "cpu" else "gpu"


@job_kind(
    "train_segmentation_shard",
    params=TrainSegmentationShardParams,
    result=TrainSegmentationShardResult,
    queue=("gpu", "cpu"),
    profile="torch",
    timeout=24 * 3600.0,  # of a network on a processor; checkpoints keep what is done
    public=False,
    queue_for=queue_for,
)
def train_segmentation_shard(
    ctx: JobContext, params: TrainSegmentationShardParams
) -> TrainSegmentationShardResult:
    """Trains one arm of a fold and publishes its scores, or the network itself."""
    from core.jobs.environment import environment_sha256
    from core.learning.segmentation.arms import sides, steps_of
    from core.learning.segmentation.model_file import WEIGHTS_FILE, dump_network
    from core.learning.segmentation.samples import read_samples

    entry = check_network(params)
    begin = entry.weights(params.weights, ctx.weights_dir)
    data = fold_data(ctx, params)
    found = sides(data, params.arms)
    side = found.get(params.arm)
    notes = _notes(params.arm, side)
    history: History | None = None
    if side is not None:
        device = _device(ctx, params)
        steps = steps_of(found, params.batch_size)
        _require_memory(params, entry, device)
        tested = [data.members.records[i] for i in data.test.tolist()]
        records = (*side.records, *tested)
        samples = read_samples(ctx, records, params.image_size, ctx.scratch, span=(0.0, READ))
        network, history = _train(ctx, params, entry, begin, side, samples, device, steps)
        if params.fold is None:
            ctx.artifact(WEIGHTS_FILE, dump_network(network), "application/octet-stream")
        else:
            _test(ctx, params, data, samples, network, device)
    held = int(side.held.sum()) if side else 0
    return TrainSegmentationShardResult(
        trained=len(side.records) - held if side else 0,
        held_out=held,
        history=history.as_json() if history else {},
        begin_sha256=begin.sha256 if begin else None,
        notes=notes,
        environment_sha256=environment_sha256(),
    )


def fold_data(ctx: JobContext, params: TrainSegmentationShardParams) -> FoldData:
    """Return the two sides of this fold, and the synthetic images that the gate let pass."""
    import numpy as np

    from core.jobs.privacy_gate import without_copies
    from core.learning.cohort import usable_synthetic_records
    from core.learning.folds import check_same, fold_table
    from core.learning.segmentation.arms import FoldData, masked_cohort
    from core.learning.segmentation.samples import mask_of

    members, whole = masked_cohort(ctx.manifest(params.dataset_version_id))
    table = fold_table(members, design="cv", folds=params.folds, repeats=1, seed=params.seed)
    check_same(table, params.fold_table_sha256)
    train, test = np.arange(len(members)), np.empty(0, dtype=np.intp)
    if params.fold is not None:
        train, test = table.sides(params.seed, params.fold)
    made = [r for v in params.synthetic_version_ids for r in ctx.manifest(v)]
    kept = without_copies(ctx, usable_synthetic_records(made), params.gate_sha256)
    return FoldData(
        members=members,
        whole=whole,
        train=train,
        test=test,
        synthetic=[record for record in kept if mask_of(record)],
        ratio=params.ratio,
        validation=params.validation,
        seed=params.seed,
        fold=params.fold,
    )


def _device(ctx: JobContext, params: NetworkParams) -> str:
    if params.device == "cpu":
        return "cpu"
    if params.device == "cuda" and ctx.device != "cuda":
        raise DeviceMissing(
            "The job asks for a GPU (device cuda), and this worker has none: start worker-gpu, or "
            "set device to auto"
        )
    return ctx.device


def _require_memory(params: NetworkParams, entry: Architecture, device: str) -> None:
    """Refuse a batch that this machine's memory does not hold, before the kernel kills for it."""
    from core.memory import available_memory

    needed = params.batch_size * params.image_size**2 * entry.bytes_per_pixel
    free = available_memory()
    if device == "cpu" and free is not None and needed > free:
        raise OutOfMemory(
            f"{params.batch_size} squares of {params.image_size} pixels need about "
            f"{needed / 2**30:.1f} GiB in training, {free / 2**30:.1f} GiB are free: lower "
            "batch_size or image_size"
        )


def _notes(arm: str, side: Side | None) -> list[str]:
    if side is None:
        return [f"arm {arm}: too few synthetic images may be used, so it was not run"]
    if not side.held.any():
        return [f"arm {arm}: too few groups to hold any out, so all epochs were run"]
    return []


def _train(
    ctx: JobContext,
    params: TrainSegmentationShardParams,
    entry: Architecture,
    begin: Weights | None,
    side: Side,
    samples: Samples,
    device: str,
    steps: int,
) -> tuple[torch.nn.Module, History]:
    import numpy as np

    from core.jobs.training_watch import TrainingWatch
    from core.learning.finetuning import repeatable_torch
    from core.learning.segmentation.course import SegmentationCourse

    with repeatable_torch(ctx.threads):
        course = SegmentationCourse(
            params,
            params.seed,
            lambda: entry.build(begin),
            device,
            samples,
            train=np.flatnonzero(~side.held),
            held=np.flatnonzero(side.held),
            steps=steps,
            turns=params.augmentation == "turns",
            name=entry.name,
        )
        watch = TrainingWatch(ctx, (READ, TRAINED), entry.checkpoint_seconds)
        return course.best, course.run(watch)


def _test(
    ctx: JobContext,
    params: TrainSegmentationShardParams,
    data: FoldData,
    samples: Samples,
    network: torch.nn.Module,
    device: str,
) -> None:
    """Publish the scores of the test side, at the end of the samples, and its masks if asked."""
    import numpy as np

    from core.learning.finetuning import repeatable_torch
    from core.learning.segmentation.course import predict
    from core.learning.segmentation.overlap import THRESHOLD, compare
    from core.learning.segmentation.samples import read_mask
    from core.learning.segmentation.scores import write_part

    rows = data.test.tolist()
    pixels = samples.pixels[len(samples.pixels) - len(rows) :]
    scores, masks = [], []
    with repeatable_torch(ctx.threads):
        for place, chances in enumerate(predict(network, pixels, device)):
            ctx.progress("testing", TRAINED + (1 - TRAINED) * place / len(rows))
            scores.append(compare(chances, read_mask(ctx.blob, data.members.records[rows[place]])))
            masks.append(np.packbits(chances >= THRESHOLD))
    assert params.fold is not None  # noqa: S101 - only folds are tested
    path = ctx.scratch / "part.parquet"
    write_part(path, data.members, rows, scores, seed=params.seed, fold=params.fold, arm=params.arm)
    ctx.artifact("part.parquet", path, "application/vnd.apache.parquet")
    if params.keep_masks:
        kept = ctx.scratch / "masks.npy"
        np.save(kept, np.stack(masks))
        ctx.artifact("masks.npy", kept, "application/octet-stream")
