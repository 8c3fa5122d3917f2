"""The jobs of an experiment that make synthetic images, extract features and fit the folds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.jobs.context import ChildSpec, JobContext
from core.jobs.experiment_choices import arms_of, classifiers, on_features, tuning_budget
from core.jobs.experiment_plan import VIEWS, copycat_report, gate_report
from core.jobs.experiment_tone import ROLE as TONE
from core.jobs.experiment_versions import given_versions, synthesized, versions_of
from core.jobs.kinds.experiment import synthesis_params
from core.learning.cohort import weak_classes
from core.learning.folds import seeds_of, table_of_seed
from core.learning.protocol import augment_counts, generate_counts

if TYPE_CHECKING:
    from core.jobs.kinds.experiment import ExperimentParams
    from core.learning.cohort import Cohort
    from core.learning.folds import FoldTable

LEGACY = "legacy"
FEATURES = "features"
PREPARED = frozenset({FEATURES, "gate", "copycat", TONE, VIEWS})
"""Roles of the jobs that have to be done before the folds."""


def synthesis_children(params: ExperimentParams, members: Cohort) -> list[ChildSpec]:
    """Ask for one synthetic version a seed, and for the images of the legacy protocol."""
    seeds = seeds_of(params.seed, params.repeats) if params.synthesis else ()
    asked = [(f"synthesis:{seed}", synthesis_params(params, seed)) for seed in seeds]
    if params.legacy_protocol:
        sizes = {c: int((members.labels == i).sum()) for i, c in enumerate(members.classes)}
        weak = weak_classes(members.labels, len(members.classes)).tolist()
        names = [c for c, is_weak in zip(members.classes, weak, strict=True) if is_weak]
        plans = {LEGACY: ("seed_generate", generate_counts(names, params.legacy_per_class))}
        if params.real_is_augmented:
            plans[f"{LEGACY}_real"] = ("seed_augment", augment_counts(sizes))
        for role, (policy, counts) in plans.items():
            if counts:
                asked.append((role, _legacy_params(params, policy, counts)))
    return [ChildSpec(kind="synthesize", role=role, params=p) for role, p in asked]


def _legacy_params(params: ExperimentParams, policy: str, counts: dict[str, int]) -> dict[str, Any]:
    return {
        "dataset_version_id": params.dataset_version_id,
        "generator": "augment",
        "generator_params": {"policy": policy},
        "counts": counts,
        "sources": "all",
        "seed": params.seed,
    }


def features_children(
    ctx: JobContext, params: ExperimentParams, members: Cohort
) -> list[ChildSpec]:
    """Return the job that extracts features of all versions that something is fitted on.

    Of networks trained end to end that is the legacy protocol alone; without it there is no job.
    """
    made = synthesized(ctx)
    if on_features(params):
        versions = [params.dataset_version_id, *given_versions(params), *made.values()]
    elif params.legacy_protocol:
        legacy = [version for role, version in made.items() if role.startswith(LEGACY)]
        versions = [params.dataset_version_id, *legacy]
    else:
        return []
    asked = {"dataset_version_ids": list(dict.fromkeys(versions)), "backbone": params.backbone}
    return [ChildSpec(kind="extract_features", role=FEATURES, params=asked, weight=len(members))]


def fold_children(
    ctx: JobContext, params: ExperimentParams, members: Cohort, table: FoldTable
) -> list[ChildSpec]:
    """Ask for every fold of every seed, each with the synthetic versions of its seed."""
    gate = gate_report(ctx)
    hashes = {seed: table_of_seed(table, members, seed).sha256 for seed in table.seeds}
    children = []
    for seed, fold in table.pairs():
        shard = {
            "dataset_version_id": params.dataset_version_id,
            "synthetic_version_ids": versions_of(ctx, params, seed),
            "gate_sha256": gate,
            "copycat_sha256": copycat_report(ctx),
            "arms": [arm.id for arm in arms_of(params)],
            "backbone": params.backbone,
            "classifiers": classifiers(params),
            "tuning": tuning_budget(params),
            "design": params.design,
            "folds": params.folds,
            "seed": seed,
            "fold": fold,
            "fold_table_sha256": hashes[seed],
        }
        children.append(ChildSpec(kind="experiment_shard", role="fold", params=shard))
    return children
