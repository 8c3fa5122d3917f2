"""The jobs that ask what synthetic images are worth in real ones, and what they found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.jobs.context import Children, ChildSpec, JobContext
from core.jobs.experiment_choices import classifiers
from core.jobs.experiment_plan import view_children
from core.learning.comparison import PRIMARY_ARM, Question
from core.learning.merge import told_once
from core.learning.predictions import Predictions, merge_parts, read_predictions
from core.learning.shares import (
    COMBINED_SHARES,
    REAL_SHARES,
    arms_by_share,
    share_arm,
    subsample,
    weak_rows,
)
from core.learning.worth import Size, best_remedy, worth_member

if TYPE_CHECKING:
    from core.jobs.kinds.experiment import ExperimentParams
    from core.learning.cohort import Cohort
    from core.learning.folds import FoldTable

ROLE = "worth"
VIEWS = "worth_views"
PREDICTIONS = "worth.parquet"


def worth_step(
    ctx: JobContext,
    params: ExperimentParams,
    members: Cohort,
    table: FoldTable,
    question: Question,
) -> Children | None:
    """Return the next jobs of the question of worth; None when they are done or not asked for.

    The best remedy is known once the folds are. When it is ``augment``, views of images that it
    shows on smaller sides only are computed first, as for the folds.
    """
    asked = {child.role for child in ctx.children}
    if not params.worth or ROLE in asked:
        return None
    parts = [ctx.blob(c.artifacts["part.parquet"].sha256) for c in ctx.children if c.role == "fold"]
    remedy = best_remedy(parts, question)
    if VIEWS not in asked and remedy == "augment":
        shown = {share: [remedy] for share in REAL_SHARES}
        views = view_children(ctx, params, members, table, shown, role=VIEWS)
        if views:
            return Children(phase="worth", children=tuple(views), span=(0.75, 0.8))
    return Children(phase="worth", children=tuple(_shards(ctx, params, remedy)), span=(0.8, 0.95))


def _shards(ctx: JobContext, params: ExperimentParams, remedy: str) -> list[ChildSpec]:
    """Return the jobs of all folds once more, on shares of their training sides."""
    arms = {str(share): ids for share, ids in arms_by_share(remedy, PRIMARY_ARM).items()}
    primary = classifiers(params)[params.classifier]
    changed: dict[str, Any] = {
        "arms": [],
        "by_share": arms,
        "classifiers": {params.classifier: primary},
        "copycat_sha256": None,
    }
    return [
        ChildSpec(kind=c.kind, role=ROLE, params=c.params | changed)
        for c in ctx.children
        if c.role == "fold"
    ]


def worth_found(
    ctx: JobContext,
    params: ExperimentParams,
    members: Cohort,
    table: FoldTable,
    question: Question,
    whole: Predictions,
) -> dict[str, Any] | None:
    """Publish worth.parquet and return the member ``worth`` of verdict.json, or None."""
    shards = [c for c in ctx.children if c.role == ROLE]
    if not shards:
        return None
    ctx.progress("worth", 0, 1)
    remedy = str(shards[0].params["by_share"][str(REAL_SHARES[0])][0])
    path = ctx.scratch / PREDICTIONS
    merge_parts(
        [ctx.blob(c.artifacts["part.parquet"].sha256) for c in shards], path, members, question
    )
    order = [
        *((share_arm(remedy, s), question.classifier) for s in REAL_SHARES),
        *((share_arm(PRIMARY_ARM, s), question.classifier) for s in COMBINED_SHARES),
    ]
    shared = read_predictions(path, members, table, order)
    found = worth_member(
        whole,
        shared,
        question,
        remedy,
        _sizes(members, table),
        replicates=params.bootstrap,
        seed=params.seed,
    )
    ctx.artifact(PREDICTIONS, path, "application/vnd.apache.parquet")
    notes = told_once((note for c in shards for note in c.result["notes"]), len(shards))
    return found | {"notes": notes}


def _sizes(members: Cohort, table: FoldTable) -> dict[int, Size]:
    """Return the real images and groups of the weak classes at each share, means over all folds."""
    found = {}
    for share in (*REAL_SHARES, 100):
        images, groups = 0, 0
        for seed, fold in table.pairs():
            side = subsample(members, table.sides(seed, fold)[0], share, seed, fold)
            weak = weak_rows(members, side)
            images += len(weak)
            groups += len(set(members.groups[weak].tolist()))
        count = len(table.pairs())
        found[share] = Size(images / count, groups / count)
    return found
