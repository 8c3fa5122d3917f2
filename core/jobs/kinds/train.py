"""Train one model on the train side of its versions and judge it on the real test side."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from core.jobs.context import Inputs, JobContext
from core.jobs.spec import Cost, Params, Result, Seed, VersionId, job_kind
from core.pointers import invalid, invalid_fields


class TrainParams(Params):
    """One regime, one model: real versions, and synthetic ones to add to their train side."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_version_ids": ["dsv_" + "0" * 26],
                    "backbone": "efficientnet_lite0",
                    "classifier": "logistic_regression",
                }
            ]
        }
    )

    dataset_version_ids: list[VersionId] = Field(min_length=1, max_length=20)
    backbone: str = "efficientnet_lite0"
    classifier: str = "logistic_regression"
    classifier_params: dict[str, Any] = Field(default_factory=dict)
    seed: Seed = 0
    name: str | None = Field(None, min_length=1, max_length=200)


class TrainResult(Result):
    """scores are of the real test side; null where it has too few images."""

    model_id: str
    classes: list[str]
    n_train: int
    n_test: int
    scores: dict[str, float | None]


def check(params: TrainParams, inputs: Inputs) -> None:
    """Refuse versions and names that cannot be trained."""
    from core.features.contract import check_backbone
    from core.learning.training import check_counts

    check_backbone(params.backbone, "/backbone")
    classifier_params(params)
    versions = [inputs.versions[v] for v in params.dataset_version_ids]
    real = [v for v in versions if v.kind == "real"]
    if not real:
        raise invalid(
            "/dataset_version_ids", "A model is judged on real images: add a real version"
        )
    splits: dict[str, dict[str, int]] = {}
    for version in real:
        for cls in version.classes:
            mine = splits.setdefault(cls.name, {})
            for split, count in cls.by_split.items():
                mine[split] = mine.get(split, 0) + count
    check_counts(sorted(splits.items()))


def classifier_params(params: TrainParams) -> dict[str, Any]:
    """Return the classifier's complete parameters; errors point into ``classifier_params``."""
    from core.learning.contract import CLASSIFIERS

    entry = CLASSIFIERS.get(params.classifier, "/classifier")
    try:
        return entry.params.model_validate(params.classifier_params).model_dump(mode="json")
    except ValidationError as error:
        raise invalid_fields(error, "/classifier_params") from error


def estimate(_params: TrainParams, inputs: Inputs) -> Cost:
    """Estimate from images: 30 a second through the backbone, 2 ms each in the classifier."""
    images = sum(v.image_count for v in inputs.versions.values())
    return Cost(seconds=images / 30 + images * 2e-3 + 10, images=images)


@job_kind(
    "train",
    params=TrainParams,
    result=TrainResult,
    queue="gpu",
    profile="torch",
    check=check,
    estimate=estimate,
    scopes=("datasets:read", "models:write"),
)
def train(ctx: JobContext, params: TrainParams) -> TrainResult:
    """Trains a classifier on images of the train split and judges it on real test images."""
    import hashlib

    from core.features.extract import FeatureItem, features
    from core.jobs.privacy_gate import gated
    from core.learning.cohort import training_groups
    from core.learning.fitting import ClassifierChoice, fit
    from core.learning.model_file import (
        INFO_FILE,
        MODEL_FILE,
        ModelInfo,
        dump_estimator,
        dump_info,
        library_versions,
    )
    from core.learning.training import model_card, regime, test_report
    from core.manifest import canonical_json
    from core.plots.confusion import confusion_figure

    plan = regime(gated(ctx, params.dataset_version_ids))
    items = [FeatureItem(r.sha256) for r in (*plan.train, *plan.test)]
    found = features(ctx, items, params.backbone)
    ctx.progress("fitting", 0, 1)
    choice = ClassifierChoice(params.classifier, classifier_params(params))
    cut = len(plan.train)
    fitted = fit(
        choice,
        found.matrix[:cut],
        plan.train_labels,
        None,
        params.seed,
        ctx.threads,
        training_groups(plan.train),
    )
    if not fitted.converged:
        ctx.log("The classifier reached its iteration limit before it converged")
    chances = fitted.probabilities(found.matrix[cut:], len(plan.classes))
    report = test_report(plan, chances, params.seed) | {"converged": fitted.converged}
    model = dump_estimator(fitted.estimator)
    info = ModelInfo(
        classes=plan.classes,
        backbone=params.backbone,
        backbone_sha256=found.backbone_sha256,
        dimension=found.matrix.shape[1],
        classifier=params.classifier,
        params=choice.params,
        seed=params.seed,
        versions=library_versions(),
        training_version_ids=tuple(params.dataset_version_ids),
        model_sha256=hashlib.sha256(model).hexdigest(),
    )
    name = params.name or _default_name(ctx, params)
    described = info.as_json()
    card = model_card(name, described, report)
    ctx.artifact("model_card.md", card.encode(), "text/markdown")
    ctx.artifact("report.json", canonical_json(report).encode(), "application/json")
    picture = confusion_figure(_matrix(report), plan.classes, name)
    ctx.artifact("confusion.png", picture, "image/png")
    draft = ctx.publish_model(name, {MODEL_FILE: model, INFO_FILE: dump_info(info)}, described)
    return TrainResult(
        model_id=draft.id,
        classes=list(plan.classes),
        n_train=len(plan.train),
        n_test=len(plan.test),
        scores={metric: score["value"] for metric, score in report["scores"].items()},
    )


def _default_name(ctx: JobContext, params: TrainParams) -> str:
    first = ctx.inputs.versions[params.dataset_version_ids[0]].dataset_name
    return f"{params.classifier} on {first}"[:200]


def _matrix(report: dict[str, Any]) -> Any:
    import numpy as np

    return np.array(report["confusion"])
