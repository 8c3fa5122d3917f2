"""What an experiment asks of the feature workers beside the images as they are stored.

The flips and turns of the arm ``augment`` and the noise of ``control_noise`` are known before
anything is fitted, so that they are computed once, in shards on the queue of the features, and not
again in every fold.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from core.jobs.context import ChildSpec, JobContext
from core.jobs.experiment_choices import on_features
from core.jobs.experiment_versions import given_versions, synthetic_of

if TYPE_CHECKING:
    from core.jobs.kinds.experiment import ExperimentParams
    from core.learning.cohort import Cohort
    from core.learning.folds import FoldTable
    from core.learning.shares import ByShare

VIEWS = "views"
_LOOKS_PER_FEATURE = 10
"""Looking for copies takes a tenth of the time that features take."""


def view_children(
    ctx: JobContext,
    params: ExperimentParams,
    members: Cohort,
    table: FoldTable,
    by_share: ByShare | None = None,
    role: str = VIEWS,
) -> list[ChildSpec]:
    """Return jobs of up to SHARD_IMAGES views each that some fold needs and the cache has not.

    by_share: arms that are run on shares of the training sides, by the primary classifier alone;
    None: those on the whole sides.
    """
    from core.features.extract import FeatureItem, missing_items
    from core.features.shards import SHARD_IMAGES
    from core.learning.arms import NOISE_VIEW

    if not on_features(params, primary=by_share is not None):
        return []
    keys = _views(ctx, params, members, table, by_share)
    if by_share is None:
        keys += _noise(ctx, params, table)
    if not keys:
        return []
    items = [FeatureItem(*key) for key in keys]
    absent = set(missing_items(ctx, items, params.backbone))
    wanted = [item for item in items if item in absent]
    row_of = {record.sha256: row for row, record in enumerate(members.records)}
    shared = {"dataset_version_id": params.dataset_version_id, "backbone": params.backbone}
    children = []
    shards = -(-len(wanted) // SHARD_IMAGES)
    edges = [len(wanted) * shard // max(1, shards) for shard in range(shards + 1)]
    for start, stop in pairwise(edges):
        own = wanted[start:stop]
        views = [(row_of[i.sha256], i.dihedral) for i in own if i.dihedral != NOISE_VIEW]
        noise = [i.sha256 for i in own if i.dihedral == NOISE_VIEW]
        asked = shared | {"views": views, "noise": noise}
        children.append(
            ChildSpec(kind="experiment_views", role=role, params=asked, weight=stop - start)
        )
    return children


def gate_children(ctx: JobContext, params: ExperimentParams, members: Cohort) -> list[ChildSpec]:
    """Return the job that looks for copies among all synthetic images; none without images.

    LeakDetected when an image hides the group of a parent that it declares.
    """
    from core.learning.firewall import check_declared

    own = [c for c in ctx.children if c.role.startswith("synthesis:")]
    given = given_versions(params)
    versions = [*given, *(c.result["dataset_version_id"] for c in own)]
    if not versions:
        return []
    made = [r for v in given for r in ctx.manifest(v)]
    check_declared(made, members.records)
    images = len(made) + sum(c.result["generated"] for c in own)
    asked = {
        "dataset_version_id": params.dataset_version_id,
        "synthetic_version_ids": list(dict.fromkeys(versions)),
    }
    weight = 1 + images / _LOOKS_PER_FEATURE
    return [ChildSpec(kind="experiment_gate", role="gate", params=asked, weight=weight)]


def copycat_children(params: ExperimentParams) -> list[ChildSpec]:
    """Return the job that puts near-copies to the gate, when the arm ``control_copycat`` is run."""
    from core.learning.arms import COPYCAT
    from core.learning.copycat import MOST

    if COPYCAT not in params.arms:
        return []
    asked = {
        "dataset_version_id": params.dataset_version_id,
        "backbone": params.backbone,
        "seed": params.seed,
    }
    return [ChildSpec(kind="experiment_copycat", role="copycat", params=asked, weight=MOST)]


def copycat_report(ctx: JobContext) -> str | None:
    """Return the copycat.json of this experiment by its sha256; None without that control."""
    found = [c for c in ctx.children if c.role == "copycat"]
    return found[0].artifacts["copycat.json"].sha256 if found else None


def gate_report(ctx: JobContext) -> str | None:
    """Return the privacy.json of the gate by its sha256; None when there was nothing to look at."""
    gates = [c for c in ctx.children if c.role == "gate"]
    return gates[0].artifacts["privacy.json"].sha256 if gates else None


def _views(
    ctx: JobContext,
    params: ExperimentParams,
    members: Cohort,
    table: FoldTable,
    by_share: ByShare | None,
) -> list[tuple[str, int]]:
    """Return (sha256, view) of every flip and turn of every fold, each once, in a fixed order."""
    from core.learning.arms import parse_arms
    from core.learning.cohort import usable_synthetic_records
    from core.learning.fold_run import FoldTask, turned_views
    from core.learning.shares import subsample

    whole = {100: parse_arms(params.arms, params.ratios)}
    asked = whole if by_share is None else {s: parse_arms(ids) for s, ids in by_share.items()}
    found: set[tuple[int, int]] = set()
    for seed in table.seeds:
        synthetic = usable_synthetic_records(synthetic_of(ctx, params, seed))
        for fold in range(table.count):
            train, test = table.sides(seed, fold)
            for share, arms in asked.items():
                side = subsample(members, train, share, seed, fold)
                task = FoldTask(members, side, test, synthetic, arms, (), seed, fold, 1)
                found.update(turned_views(task))
    return [(members.records[row].sha256, view) for row, view in sorted(found)]


def _noise(ctx: JobContext, params: ExperimentParams, table: FoldTable) -> list[tuple[str, int]]:
    """Return (sha256, NOISE_VIEW) of the synthetic images that the noise control replaces."""
    from core.learning.arms import NOISE_VIEW
    from core.learning.cohort import usable_synthetic_records

    if "control_noise" not in params.arms:
        return []
    made = [r for seed in table.seeds for r in synthetic_of(ctx, params, seed)]
    images = dict.fromkeys(r.sha256 for r in usable_synthetic_records(made))
    return [(sha256, NOISE_VIEW) for sha256 in images]
