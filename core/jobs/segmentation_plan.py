"""What a job on segmentation has to work with, and the jobs that it wants done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.jobs.context import ChildSpec, JobContext
from core.jobs.experiment_plan import gate_report
from core.manifest import ImageRecord
from core.pointers import invalid

_SHARD = "train_segmentation_shard"

if TYPE_CHECKING:
    from core.jobs.kinds.train_segmentation import TrainSegmentationParams
    from core.learning.cohort import Cohort
    from core.learning.folds import FoldTable


@dataclass(frozen=True, slots=True)
class Material:
    """Real images with masks (members), their folds, all real ones, and what synthetic ones serve.

    without_mask counts synthetic images; unused those whose parents are foreign.
    """

    members: Cohort
    whole: Cohort
    table: FoldTable
    synthetic: tuple[ImageRecord, ...]
    without_mask: int
    unused: int


def material(ctx: JobContext, params: TrainSegmentationParams) -> Material:
    """Read the manifests; InvalidInput ``no_masks``, ``foreign_synthetic``, ``too_few_groups``."""
    from core.learning.cohort import usable_synthetic_records
    from core.learning.folds import fold_table
    from core.learning.segmentation.arms import masked_cohort, usable
    from core.learning.segmentation.contract import no_masks
    from core.learning.segmentation.samples import mask_of

    members, whole = masked_cohort(ctx.manifest(params.dataset_version_id))
    table = fold_table(
        members, design="cv", folds=params.folds, repeats=params.repeats, seed=params.seed
    )
    made: list[ImageRecord] = []
    for index, version_id in enumerate(params.synthetic_version_ids):
        own = usable_synthetic_records(ctx.manifest(version_id))
        if not any(map(mask_of, own)):
            raise no_masks(f"/synthetic_version_ids/{index}", len(own))
        made += own
    every = usable_synthetic_records(made)
    masked = [record for record in every if mask_of(record)]
    known = usable(whole, masked)
    if masked and not known:
        raise invalid(
            "/synthetic_version_ids",
            f"None of the {len(masked)} synthetic images with a mask was made of real images of "
            "this version alone: they were made of another dataset, or their parents were dropped, "
            "quarantined or given another label since",
            code="foreign_synthetic",
        )
    return Material(
        members=members,
        whole=whole,
        table=table,
        synthetic=tuple(known),
        without_mask=len(every) - len(masked),
        unused=len(masked) - len(known),
    )


def require_outlines(ctx: JobContext, found: Material) -> None:
    """Refuse masks all of which are empty or full: InvalidInput ``masks_without_outline``."""
    from core.learning.segmentation.overlap import INSIDE
    from core.learning.segmentation.samples import read_mask

    for record in found.members.records:
        ctx.check_cancelled()
        inside = read_mask(ctx.blob, record) >= INSIDE
        if inside.any() and not inside.all():
            return
    raise invalid(
        "/dataset_version_id",
        f"All {len(found.members)} masks of this version are empty or full: no outline can be "
        "learned from them or tested on them",
        code="masks_without_outline",
    )


def gate_children(params: TrainSegmentationParams, found: Material) -> list[ChildSpec]:
    """Return the job that looks for copies among the synthetic images; none without images.

    LeakDetected when an image hides the group of a parent that it declares.
    """
    from core.learning.firewall import check_declared

    if not params.synthetic_version_ids:
        return []
    check_declared(found.synthetic, found.whole.records)
    asked = {
        "dataset_version_id": params.dataset_version_id,
        "synthetic_version_ids": list(params.synthetic_version_ids),
    }
    return [ChildSpec(kind="experiment_gate", role="gate", params=asked)]


def fold_children(
    ctx: JobContext, params: TrainSegmentationParams, found: Material
) -> list[ChildSpec]:
    """Ask for every arm of every fold of every seed, and for the model on all images.

    InvalidInput ``no_usable_synthetic`` when the gate or early stopping leave none for the model.
    """
    from core.jobs.kinds.train_segmentation import NetworkParams, arms_of
    from core.learning.folds import table_of_seed

    arms, table = arms_of(params), found.table
    told = params.model_dump(mode="json")
    shared: dict[str, Any] = {name: told[name] for name in NetworkParams.model_fields} | {
        "dataset_version_id": params.dataset_version_id,
        "synthetic_version_ids": list(params.synthetic_version_ids),
        "arms": list(arms),
        "folds": params.folds,
        "gate_sha256": gate_report(ctx),
    }
    hashes = {seed: table_of_seed(table, found.members, seed).sha256 for seed in table.seeds}
    children = []
    for seed, fold in table.pairs():
        place = {"seed": seed, "fold": fold, "fold_table_sha256": hashes[seed]}
        for arm in arms:
            shown = seed == table.seeds[0] and arm == model_arm(params)
            asked = shared | place | {"arm": arm, "keep_masks": shown}
            children.append(ChildSpec(kind=_SHARD, role="fold", params=asked))
    first = table.seeds[0]
    last = shared | {"seed": first, "fold": None, "fold_table_sha256": hashes[first]}
    last |= {"arm": model_arm(params)}
    _require_model(ctx, last)
    return [*children, ChildSpec(kind=_SHARD, role="model", params=last)]


def _require_model(ctx: JobContext, asked: dict[str, Any]) -> None:
    from core.jobs.kinds.train_segmentation_shard import TrainSegmentationShardParams, fold_data
    from core.learning.segmentation.arms import sides

    params = TrainSegmentationShardParams.model_validate(asked)
    if params.arm not in sides(fold_data(ctx, params), params.arms):
        raise invalid(
            "/synthetic_version_ids",
            "The privacy gate and the groups held out for early stopping leave too few synthetic "
            f"images with a mask for the arm {params.arm}: add some, or train on real ones alone",
            code="no_usable_synthetic",
        )


def model_arm(params: TrainSegmentationParams) -> str:
    """Return the arm whose network is kept and whose outlines are shown."""
    from core.jobs.kinds.train_segmentation import arms_of

    return "combined" if "combined" in arms_of(params) else "real"
