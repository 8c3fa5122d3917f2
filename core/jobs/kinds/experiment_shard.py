"""One fold of one seed of an experiment: all arms and classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.jobs.context import JobContext
from core.jobs.spec import Params, Queue, Result, Seed, VersionId, job_kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.learning.pixels import PixelRows


class TuningBudget(BaseModel):
    """How many candidates of each grid, on how many inner folds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    candidates: int = Field(ge=2, le=8)
    folds: int = Field(ge=2, le=10)


class ExperimentShardParams(Params):
    """A fold of the frozen table; classifiers are names with complete parameters.

    seed is the repeat's; fold_table_sha256 is of the table of this seed alone; gate_sha256 is of
    the privacy.json that names the synthetic images to keep out, copycat_sha256 of the copycat.json
    that names the near-copies which the gate let pass. by_share are arms that are run on so many
    per cent of the weak classes' training groups.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_version_id": "dsv_" + "0" * 26,
                    "synthetic_version_ids": [],
                    "arms": ["real", "class_weight"],
                    "backbone": "efficientnet_lite0",
                    "classifiers": {"logistic_regression": {}},
                    "tuning": {"candidates": 4, "folds": 3},
                    "design": "cv",
                    "folds": 5,
                    "seed": 1,
                    "fold": 4,
                    "fold_table_sha256": "0" * 64,
                }
            ]
        }
    )

    dataset_version_id: VersionId
    synthetic_version_ids: list[VersionId]
    arms: list[str]
    by_share: dict[Annotated[int, Field(ge=1, le=99)], list[str]] = Field(default_factory=dict)
    backbone: str
    classifiers: dict[str, dict[str, Any]] = Field(min_length=1)
    tuning: TuningBudget | None
    design: Literal["cv", "holdout"]
    folds: int = Field(ge=2)
    seed: Seed
    fold: int = Field(ge=0)
    fold_table_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    gate_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    copycat_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")


class ExperimentShardResult(Result):
    """training: images an arm and class; notes: what the report must tell.

    tuning: one row an arm and classifier with seed, fold, the chosen candidate and all scores.
    environment_sha256 is of the wheels and the code that it ran with.
    """

    predictions: int
    tuning: list[dict[str, Any]]
    training: dict[str, dict[str, int]]
    notes: list[str]
    environment_sha256: str


def queue_for(params: ExperimentShardParams) -> Queue:
    """Networks are trained where the GPUs are; all else needs none."""
    from core.learning.contract import CLASSIFIERS

    on_pixels = any(CLASSIFIERS.get(name).sees == "pixels" for name in params.classifiers)
    return "gpu" if on_pixels else "cpu"


@job_kind(
    "experiment_shard",
    params=ExperimentShardParams,
    result=ExperimentShardResult,
    queue=("cpu", "gpu"),
    profile="torch",
    timeout=24 * 3600.0,  # of a network on a processor; checkpoints keep what is done
    public=False,
    queue_for=queue_for,
)
def experiment_shard(ctx: JobContext, params: ExperimentShardParams) -> ExperimentShardResult:
    """Fits and tests every arm of one fold and publishes its predictions."""
    from core.jobs.environment import environment_sha256
    from core.jobs.fold_watch import FoldWatch
    from core.jobs.privacy_gate import report_of, without_copies
    from core.learning.arms import parse_arms
    from core.learning.cohort import cohort, usable_synthetic_records
    from core.learning.copycat import passed_copies
    from core.learning.fitting import ClassifierChoice
    from core.learning.fold_run import FoldTask, run_fold
    from core.learning.folds import check_same, fold_table
    from core.learning.predictions import write_part
    from core.learning.shares import run_shares
    from core.learning.tuning import Budget

    environment = environment_sha256()
    members = cohort(ctx.manifest(params.dataset_version_id))
    table = fold_table(
        members,
        design=params.design,
        folds=params.folds,
        repeats=1,
        seed=params.seed,
    )
    check_same(table, params.fold_table_sha256)
    train, test = table.sides(params.seed, params.fold)
    made = [r for v in params.synthetic_version_ids for r in ctx.manifest(v)]
    usable = without_copies(ctx, usable_synthetic_records(made), params.gate_sha256)
    near_copies = report_of(ctx, params.copycat_sha256)["passed"] if params.copycat_sha256 else ()
    task = FoldTask(
        members=members,
        train=train,
        test=test,
        synthetic=usable,
        arms=parse_arms(params.arms),
        classifiers=[ClassifierChoice(n, p) for n, p in params.classifiers.items()],
        seed=params.seed,
        fold=params.fold,
        threads=ctx.threads,
        budget=Budget(**params.tuning.model_dump()) if params.tuning else None,
        copies=passed_copies(near_copies, members),
        keeper=FoldWatch(ctx, environment),
    )

    def load(keys: Sequence[tuple[str, int]]) -> NDArray[np.float32]:
        return load_features(ctx, keys, params.backbone)

    def load_images(keys: Sequence[tuple[str, int]]) -> PixelRows:
        return load_pixels(ctx, keys, params.backbone)

    def tick(done: float, total: float) -> None:
        ctx.progress("fitting", done, total)

    if params.by_share:
        outcome = run_shares(task, params.by_share, load, tick, load_images)
    else:
        outcome = run_fold(task, load, tick, load_images)
    path = ctx.scratch / "part.parquet"
    rows = write_part(path, members, test, params.seed, params.fold, outcome.blocks)
    ctx.artifact("part.parquet", path, "application/vnd.apache.parquet")
    place = {"seed": params.seed, "fold": params.fold}
    return ExperimentShardResult(
        predictions=rows,
        tuning=[place | found.as_json() for found in outcome.tuned],
        training=outcome.training,
        notes=sorted(set(outcome.notes)),
        environment_sha256=environment,
    )


def load_features(
    ctx: JobContext, keys: Sequence[tuple[str, int]], backbone: str
) -> NDArray[np.float32]:
    """Return the feature vectors of stored images and their flips and turns, cached ones first."""
    from core.features.extract import FeatureItem, features

    return features(ctx, [FeatureItem(sha, turn) for sha, turn in keys], backbone).matrix


def load_pixels(ctx: JobContext, keys: Sequence[tuple[str, int]], backbone: str) -> PixelRows:
    """Return stored images, their flips and turns and noise, as the backbone is shown them."""
    from core.features.contract import open_backbone
    from core.features.extract import FeatureItem
    from core.features.squares import squares
    from core.learning.pixels import Start, pixel_rows

    spec = open_backbone(backbone, ctx.weights_dir)
    start = Start(spec, spec.find(ctx.weights_dir), ctx.device)
    items = [FeatureItem(sha, view) for sha, view in keys]
    return pixel_rows(squares(ctx, items, spec.size, ctx.scratch), start)
