"""What somebody needs to do an experiment again: request, hashes, software, and the groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.ingest.groups import large_group_warning, largest_group
from core.jobs.context import JobContext
from core.jobs.environment import environment, environment_sha256, versions
from core.jobs.experiment_versions import given_versions
from core.manifest import canonical_json

if TYPE_CHECKING:
    from core.jobs.kinds.experiment import ExperimentParams
    from core.learning.cohort import Cohort
    from core.learning.folds import FoldTable

SOFTWARE = (
    *("dermsynth3d", "numpy", "scipy", "scikit-learn", "skops", "torch", "torchvision"),
    *("opencv-python-headless", "pillow", "pyarrow", "matplotlib"),
)
ENVIRONMENT = "environment.json"


def record(
    ctx: JobContext, params: ExperimentParams, members: Cohort, table: FoldTable
) -> dict[str, Any]:
    """Publish environment.json and return the settings that name all that went in."""
    real = ctx.inputs.versions[params.dataset_version_id]
    ctx.artifact(ENVIRONMENT, canonical_json(environment()).encode(), "application/json")
    return {
        "request": params.model_dump(mode="json"),
        "dataset_manifest_sha256": real.manifest_sha256,
        "synthetic_manifests": _synthetic(ctx, params),
        "fold_table_sha256": table.sha256,
        "groups": _groups(members, real.group_basis),
        "software": versions(SOFTWARE),
        "code_sha256": environment()["code_sha256"],
        "environment_sha256": environment_sha256(),
        "environments_of_folds": sorted(_environments(ctx)),
    }


def record_warnings(ctx: JobContext, members: Cohort) -> list[str]:
    """Return what casts doubt on repeating or on the groups: unlike workers, one large group."""
    found = [
        text.split(": ", 1)[1][:1].upper() + text.split(": ", 1)[1][1:]
        for text in large_group_warning(largest_group(members.group_of, _labels(members)))
    ]
    unlike = _environments(ctx) - {environment_sha256()}
    if unlike:
        found.append(
            f"Folds were fitted in {len(_environments(ctx))} different environments: the same "
            "numbers are promised for the same wheels and code alone"
        )
    return found


def _environments(ctx: JobContext) -> set[str]:
    shards = (c for c in ctx.children if c.kind == "experiment_shard")
    # a fold that was fitted before an upgrade does not say
    return {str(c.result.get("environment_sha256", "unknown")) for c in shards}


def _synthetic(ctx: JobContext, params: ExperimentParams) -> list[dict[str, Any]]:
    """Return what is known of each synthetic version, without the ids of this installation."""
    given = [
        {
            "role": "given",
            "generator": (ctx.inputs.versions[v].generator or {}).get("name"),
            "images": ctx.inputs.versions[v].image_count,
            "manifest_sha256": ctx.inputs.versions[v].manifest_sha256,
        }
        for v in given_versions(params)
    ]
    made = [
        {
            "role": child.role,
            "generator": child.params["generator"],
            "seed": child.params["seed"],
            "images": child.result["generated"],
            "manifest_sha256": child.result["manifest_sha256"],
        }
        for child in ctx.children
        if child.kind == "synthesize"
    ]
    return given + made


def _groups(members: Cohort, basis: str) -> dict[str, Any]:
    largest = largest_group(members.group_of, _labels(members))
    return {
        "basis": basis,
        "count": len(set(members.group_of)),
        "largest": largest.as_dict() if largest else None,
    }


def _labels(members: Cohort) -> list[str]:
    return [r.label for r in members.records]
