"""Train one model on the train side of its versions and judge it on the real test side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, ValidationError

from core.jobs.context import Inputs, JobContext
from core.jobs.spec import Cost, Params, Result, Seed, VersionId, job_kind
from core.pointers import invalid, invalid_fields

if TYPE_CHECKING:
    from core.features.contract import Backbone
    from core.learning.fitting import Rows
    from core.learning.training import Regime

FIRST = 0.5
"""Share of the progress bar that reading images fills."""


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
    from core.learning.contract import CLASSIFIERS
    from core.learning.finetuning import require_trainable
    from core.learning.training import check_counts

    check_backbone(params.backbone, "/backbone")
    classifier_params(params)
    if CLASSIFIERS.get(params.classifier).sees == "pixels":
        require_trainable(params.backbone, "/backbone")
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


def estimate(params: TrainParams, inputs: Inputs) -> Cost:
    """Estimate from images: their way through the backbone, and the fit.

    A network that is trained itself passes each image once an epoch, and costs what the
    classifier's measured epochs say.
    """
    from core.learning.contract import CLASSIFIERS
    from core.learning.finetuning import relative_cost

    images = sum(v.image_count for v in inputs.versions.values())
    entry = CLASSIFIERS.get(params.classifier)
    if entry.sees == "features":
        return Cost(seconds=images / 30 + images * 2e-3 + 10, images=images)
    passes = entry.passes(classifier_params(params)) * relative_cost(params.backbone)
    return Cost(seconds=entry.cost.seconds(images) * passes + 10, images=images)


@job_kind(
    "train",
    params=TrainParams,
    result=TrainResult,
    queue="gpu",
    profile="torch",
    timeout=24 * 3600.0,  # of a network on a processor; checkpoints keep what is done
    check=check,
    estimate=estimate,
    scopes=("datasets:read", "models:write"),
)
def train(ctx: JobContext, params: TrainParams) -> TrainResult:
    """Trains a classifier on images of the train split and judges it on real test images."""
    from core.features.contract import open_backbone
    from core.jobs.privacy_gate import gated
    from core.jobs.training_watch import TrainingWatch
    from core.learning.cohort import training_groups
    from core.learning.contract import CLASSIFIERS
    from core.learning.fitting import ClassifierChoice, fit
    from core.learning.model_report import test_report
    from core.learning.training import regime

    plan = regime(gated(ctx, params.dataset_version_ids))
    backbone = open_backbone(params.backbone, ctx.weights_dir, "/backbone")
    on_pixels = CLASSIFIERS.get(params.classifier).sees == "pixels"
    rows, sha256 = (_pixels if on_pixels else _features)(ctx, plan, backbone)
    cut = len(plan.train)
    watch = TrainingWatch(ctx, (FIRST, 1.0))
    watch.step(0, 1)
    fitted = fit(
        ClassifierChoice(params.classifier, classifier_params(params)),
        rows[:cut],
        plan.train_labels,
        None,
        params.seed,
        ctx.threads,
        training_groups(plan.train),
        watch,
    )
    if not fitted.converged:
        ctx.log("The classifier reached its iteration limit before it converged")
    chances = fitted.probabilities(rows[cut:], len(plan.classes))
    report = test_report(plan, chances, params.seed) | {"converged": fitted.converged}
    model_id = _publish(ctx, params, plan, fitted.estimator, backbone, sha256, report)
    return TrainResult(
        model_id=model_id,
        classes=list(plan.classes),
        n_train=len(plan.train),
        n_test=len(plan.test),
        scores={metric: score["value"] for metric, score in report["scores"].items()},
    )


def _features(ctx: JobContext, plan: Regime, backbone: Backbone) -> tuple[Rows, str]:
    """Return the features of the training images, then of the test images; and their weights."""
    from core.features.extract import FeatureItem, features

    items = [FeatureItem(r.sha256) for r in (*plan.train, *plan.test)]
    found = features(ctx, items, backbone.name, span=(0.0, FIRST))
    return found.matrix, found.backbone_sha256


def _pixels(ctx: JobContext, plan: Regime, backbone: Backbone) -> tuple[Rows, str]:
    """Return the training images, then the test images; and the weights to start from."""
    from core.features.extract import FeatureItem
    from core.features.squares import squares
    from core.learning.pixels import Start, pixel_rows

    weights = backbone.find(ctx.weights_dir)
    items = [FeatureItem(r.sha256) for r in (*plan.train, *plan.test)]
    found = squares(ctx, items, backbone.size, ctx.scratch, span=(0.0, FIRST))
    return pixel_rows(found, Start(backbone, weights, ctx.device)), weights.sha256


def _publish(
    ctx: JobContext,
    params: TrainParams,
    plan: Regime,
    estimator: Any,
    backbone: Backbone,
    backbone_sha256: str,
    report: dict[str, Any],
) -> str:
    """Hand in the model with its papers; return its id."""
    import hashlib

    from core.jobs.model_sources import sources
    from core.learning.contract import CLASSIFIERS
    from core.learning.finetuning import Finetuned, preprocessing
    from core.learning.model_card import model_card
    from core.learning.model_file import (
        INFO_FILE,
        WEIGHT_FILES,
        ModelInfo,
        dump_estimator,
        dump_info,
        library_versions,
    )
    from core.manifest import canonical_json
    from core.plots.confusion import confusion_figure

    model = dump_estimator(estimator)
    of_pixels = isinstance(estimator, Finetuned)
    info = ModelInfo(
        classes=plan.classes,
        backbone=params.backbone,
        backbone_sha256=backbone_sha256,
        dimension=backbone.dimension,
        classifier=params.classifier,
        params=classifier_params(params),
        seed=params.seed,
        versions=library_versions(),
        training_version_ids=tuple(params.dataset_version_ids),
        model_sha256=hashlib.sha256(model).hexdigest(),
        preprocessing=preprocessing(backbone) if of_pixels else None,
        history=estimator.history.as_json() if of_pixels else None,
    )
    name = params.name or _default_name(ctx, params)
    described = info.as_json()
    papers = sources(ctx, params.dataset_version_ids, {backbone.name: backbone.licence})
    card = model_card(name, described, report, *papers)
    ctx.artifact("model_card.md", card.encode(), "text/markdown")
    ctx.artifact("report.json", canonical_json(report).encode(), "application/json")
    picture = confusion_figure(_matrix(report), plan.classes, name)
    ctx.artifact("confusion.png", picture, "image/png")
    weights = WEIGHT_FILES[CLASSIFIERS.get(params.classifier).sees]
    files = {weights: model, INFO_FILE: dump_info(info)}
    return ctx.publish_model(name, files, described).id


def _default_name(ctx: JobContext, params: TrainParams) -> str:
    first = ctx.inputs.versions[params.dataset_version_ids[0]].dataset_name
    return f"{params.classifier} on {first}"[:200]


def _matrix(report: dict[str, Any]) -> Any:
    import numpy as np

    return np.array(report["confusion"])
