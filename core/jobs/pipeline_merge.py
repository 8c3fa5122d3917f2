"""The merge phase of a pipeline: from the results of its steps to summary.json and report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from core.jobs.context import Artifact, ChildResult, JobContext
from core.jobs.environment import versions
from core.jobs.experiment_record import SOFTWARE
from core.jobs.kinds.pipeline import (
    PipelineParams,
    PipelineResult,
    step_params,
    synthetic_versions,
)
from core.learning.cohort import usable_real
from core.learning.splits import components
from core.manifest import canonical_json
from core.plots.dataset import class_balance
from core.plots.report import pipeline_report

_PICTURES = (".png", ".jpg", ".webp")


def merge(
    ctx: JobContext, params: PipelineParams, done: Mapping[str, ChildResult]
) -> PipelineResult:
    """Publish report.html, summary.json and class_balance.png; returns what they say in short."""
    ctx.progress("report", 0, 1)
    made, judged = done["synthesize"].result, done["experiment"].result
    verdict = json.loads(_bytes(ctx, done["experiment"].artifacts["verdict.json"]))
    quality = done["evaluate"].result["rows"]
    dataset = _dataset(ctx, params)
    balance = class_balance({c["name"]: c["count"] for c in dataset["classes"]}, made["per_class"])
    ctx.artifact("class_balance.png", balance, "image/png")
    page = pipeline_report(
        dataset=dataset,
        synthesis=_synthesis(params, made) | {"versions": synthetic_versions(done)},
        verdict=verdict,
        quality=quality,
        projection=done["project"].result,
        figures={"class_balance.png": balance} | _figures(ctx, done),
        provenance=_provenance(ctx, params, done, verdict),
    )
    report = ctx.artifact("report.html", page.encode(), "text/html")
    summary = _summary(dataset, judged, verdict, quality, made)
    summary["synthetic_version_ids"] = synthetic_versions(done)
    ctx.artifact("summary.json", canonical_json(summary).encode(), "application/json")
    ctx.progress("report", 1, 1)
    return PipelineResult(
        experiment_id=judged["experiment_id"],
        synthetic_version_id=made["dataset_version_id"],
        synthetic_version_ids=synthetic_versions(done),
        verdict=judged["verdict"],
        table=judged["table"],
        legacy_protocol=judged["legacy_protocol"],
        quality=summary["quality"],
        report_artifact=report.id,
    )


def _dataset(ctx: JobContext, params: PipelineParams) -> dict[str, Any]:
    """Return the real version with its independent groups; quarantined images do not count."""
    records = usable_real(ctx.manifest(params.dataset_version_id))
    dataset = ctx.inputs.versions[params.dataset_version_id].model_dump(mode="json")
    groups = set(components([record.group_ids for record in records]))
    return dataset | {"image_count": len(records), "groups": len(groups)}


def _synthesis(params: PipelineParams, made: Mapping[str, Any]) -> dict[str, Any]:
    asked = step_params(params, "synthesize", ())
    del asked["dataset_version_id"]
    return {name: value for name, value in asked.items() if value is not None} | dict(made)


def _figures(ctx: JobContext, done: Mapping[str, ChildResult]) -> dict[str, bytes]:
    """Read the pictures of all steps; names are unique within a step, the first one stays."""
    found: dict[str, bytes] = {}
    for child in done.values():
        for name, artifact in child.artifacts.items():
            if name.endswith(_PICTURES):
                found.setdefault(name, _bytes(ctx, artifact))
    return found


def _summary(
    dataset: Mapping[str, Any],
    judged: Mapping[str, Any],
    verdict: Mapping[str, Any],
    quality: list[dict[str, Any]],
    made: Mapping[str, Any],
) -> dict[str, Any]:
    """Return summary.json: what a script needs to know about the run."""
    classes = [
        {
            "name": c["name"],
            "real": c["count"],
            "synthetic": made["per_class"].get(c["name"], 0),
            "weak": c["weak"],
        }
        for c in dataset["classes"]
    ]
    return {
        "dataset": dataset["dataset_name"],
        "dataset_version_id": dataset["id"],
        "manifest_sha256": dataset["manifest_sha256"],
        "images": dataset["image_count"],
        "classes": classes,
        "synthetic_version_id": made["dataset_version_id"],
        "synthetic_images": made["generated"],
        "experiment_id": judged["experiment_id"],
        "arms": judged["table"],
        "verdict": judged["verdict"],
        "primary": verdict["primary"],
        "legacy_protocol": judged["legacy_protocol"],
        "quality": {row["metric"]: row for row in quality if row.get("scope") == "overall"},
        "intended_use": "research only, not for diagnosis",
    }


def _provenance(
    ctx: JobContext,
    params: PipelineParams,
    done: Mapping[str, ChildResult],
    verdict: Mapping[str, Any],
) -> dict[str, Any]:
    features = done["extract_features"].result
    return {
        "Features": {
            "backbone": features["backbone"],
            "backbone sha256": features["backbone_sha256"],
            "dimension": features["dimension"],
        },
        "Experiment": verdict.get("settings") or {},
        "Request": params.model_dump(mode="json", exclude_none=True),
        "Jobs": {"pipeline": ctx.job_id} | {role: child.id for role, child in done.items()},
        "Software": versions(SOFTWARE),
    }


def _bytes(ctx: JobContext, artifact: Artifact) -> bytes:
    return ctx.blob(artifact.sha256).read_bytes()
