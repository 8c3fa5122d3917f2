"""Which synthetic versions an experiment uses, and in which of its repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.jobs.context import JobContext
from core.learning.folds import seeds_of
from core.manifest import ImageRecord, read_manifest

if TYPE_CHECKING:
    from core.jobs.kinds.experiment import ExperimentParams


def synthesized(ctx: JobContext) -> dict[str, str]:
    """Return the versions that this experiment had made, by role."""
    return {c.role: c.result["dataset_version_id"] for c in ctx.children if c.kind == "synthesize"}


def given_versions(params: ExperimentParams) -> list[str]:
    """Return the versions that were handed in, for whichever repeats."""
    return [*params.synthetic_version_ids, *params.synthetic_version_per_repeat]


def versions_of(ctx: JobContext, params: ExperimentParams, seed: int) -> list[str]:
    """Return the versions that the folds of a seed may use: handed in, then made here."""
    own = [synthesized(ctx)[role] for role in (f"synthesis:{seed}",) if role in synthesized(ctx)]
    return [*_given_to(params, seed), *own]


def synthetic_of(ctx: JobContext, params: ExperimentParams, seed: int) -> list[ImageRecord]:
    """Return the synthetic images that the folds of a seed may use."""
    given = [r for v in _given_to(params, seed) for r in ctx.manifest(v)]
    own = [c for c in ctx.children if c.role == f"synthesis:{seed}"]
    made = [r for c in own for r in read_manifest(ctx.blob(c.artifacts["manifest.parquet"].sha256))]
    return given + made


def synthesized_by_seed(params: ExperimentParams) -> bool | None:
    """Tell whether no two seeds share a synthetic image; None without synthetic images."""
    if params.synthetic_version_ids:
        return False
    return True if params.synthesis or params.synthetic_version_per_repeat else None


def _given_to(params: ExperimentParams, seed: int) -> list[str]:
    place = seeds_of(params.seed, params.repeats).index(seed)
    return [*params.synthetic_version_ids, *params.synthetic_version_per_repeat[place : place + 1]]
