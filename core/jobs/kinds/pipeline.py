"""Runs a whole study from one request: from synthesis to verdict, quality and report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import FieldError, InvalidInput
from core.jobs.context import (
    Children,
    ChildResult,
    ChildSpec,
    ClassSummary,
    Inputs,
    JobContext,
    VersionInput,
)
from core.jobs.generator_choice import GeneratorChoice
from core.jobs.spec import JOB_KINDS, Cost, Params, Result, Seed, VersionId, job_kind
from core.pointers import invalid, invalid_fields
from core.synthesis.planning import Balance, Count

MOST_REPEATS = 20
PLACEHOLDERS = tuple(f"dsv_{number:026d}" for number in range(MOST_REPEATS))
"""Stand for the synthetic versions while the steps that will use them are checked."""

_STEPS = ("synthesize", "extract_features", "experiment", "project", "evaluate")
_DEFAULT_BALANCE = Balance(target="max", max_per_real=5)


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SynthesizeStep(GeneratorChoice, _Step):
    """Parameters of the kind synthesize; ``sources`` is all, as every fold filters its own."""

    balance: Balance | None = Field(
        None,
        description="Which classes to fill and how far; when counts are left out too: up to the "
        "largest class, at most 5 images per real one.",
    )
    counts: dict[str, Count] | None = Field(
        None, min_length=1, description="Images to make, by class; instead of balance."
    )
    resolution: int | None = Field(None, ge=16, le=4096, description="Pixels of the longer side.")


class ExperimentStep(_Step):
    """Parameters of the kind experiment; what is left out has its default there."""

    arms: list[str] | None = Field(None, min_length=1, max_length=40)
    classifier: str | None = Field(None, description="Carries the verdict.")
    other_classifiers: list[str] | None = Field(None, max_length=10)
    classifier_params: dict[str, Any] | None = None
    tuning: Literal["none", "grid"] | None = None
    tuning_candidates: int | None = Field(None, ge=2, le=8)
    inner_folds: int | None = Field(None, ge=2, le=10)
    design: Literal["cv", "holdout"] | None = None
    folds: int | None = Field(None, ge=2, le=20)
    repeats: int | None = Field(
        None,
        ge=1,
        le=MOST_REPEATS,
        description="Each has folds, fits and a synthetic version of its own.",
    )
    ratios: list[float] | None = Field(None, max_length=20)
    worth: bool | None = None
    apparent_tone: bool | None = None
    bootstrap: int | None = Field(None, ge=200, le=100_000)
    legacy_protocol: bool | None = None
    legacy_per_class: int | None = Field(None, ge=0, le=10_000)
    real_is_augmented: bool | None = None


class ProjectStep(_Step):
    """Parameters of the kind project."""

    method: Literal["pca", "tsne", "umap"] = "pca"


class EvaluateStep(_Step):
    """Parameters of the kind evaluate; what is left out has its default there."""

    metrics: list[str] | None = Field(None, min_length=1, max_length=20)


class PipelineParams(Params):
    """A real version, the parameters of each step, and the backbone and seed of all of them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_version_id": "dsv_" + "0" * 26,
                    "synthesize": {
                        "generator": "augment",
                        "balance": {"target": "max", "max_per_real": 5},
                    },
                    "backbone": "efficientnet_lite0",
                    "experiment": {"folds": 5, "repeats": 3},
                    "project": {"method": "pca"},
                    "evaluate": {"metrics": ["fd", "kid", "ssim"]},
                    "seed": 0,
                }
            ]
        }
    )

    dataset_version_id: VersionId
    synthesize: SynthesizeStep = Field(default_factory=lambda: SynthesizeStep.model_validate({}))
    backbone: str = Field("efficientnet_lite0", description="A backbone of the catalog.")
    experiment: ExperimentStep = Field(default_factory=lambda: ExperimentStep.model_validate({}))
    project: ProjectStep = Field(default_factory=lambda: ProjectStep.model_validate({}))
    evaluate: EvaluateStep = Field(default_factory=lambda: EvaluateStep.model_validate({}))
    seed: Seed = 0


class PipelineResult(Result):
    """verdict: helps, no_evidence, hurts or not_estimable; quality: overall rows by metric."""

    experiment_id: str
    synthetic_version_id: str = Field(description="Of the first repeat.")
    synthetic_version_ids: list[str] = Field(description="One a repeat.")
    verdict: str
    table: list[dict[str, Any]]
    legacy_protocol: dict[str, Any] | None
    quality: dict[str, dict[str, Any]]
    report_artifact: str


def check(params: PipelineParams, inputs: Inputs) -> None:
    """Refuse at once whatever a step would refuse later, pointing into that step's group."""
    version = inputs.versions[params.dataset_version_id]
    if version.kind != "real":
        raise invalid("/dataset_version_id", "A study starts from a version of real images")
    filled = [c.name for c in version.classes if c.count]
    if len(filled) < 2:
        raise invalid(
            "/dataset_version_id",
            f"A study compares classes; this version has {len(filled)} with images",
            code="too_few_classes",
        )
    models = _models(params)
    with _pointing("synthesize"):
        _check_step("synthesize", models["synthesize"], inputs)
    coming = _with_placeholder(params, inputs)
    for step in _STEPS[1:]:
        with _pointing(step):
            _check_step(step, models[step], coming)


def _check_step(step: str, model: Params, inputs: Inputs) -> None:
    kind = JOB_KINDS.get(step)
    if kind.check is not None:
        kind.check(model, inputs)


def estimate(params: PipelineParams, inputs: Inputs) -> Cost:
    """Add up the steps, less the features that the later ones find already computed.

    Synthesis is run once a repeat.
    """
    coming = _with_placeholder(params, inputs)
    costs = {
        step: kind.estimate(model, coming) if kind.estimate else Cost(seconds=1)
        for step, model in _models(params).items()
        if (kind := JOB_KINDS.get(step))
    }
    features = costs["extract_features"].seconds
    later = [max(1.0, costs[step].seconds - features) for step in _STEPS[2:]]
    return Cost(
        seconds=5 + costs["synthesize"].seconds * repeats_of(params) + features + sum(later),
        images=max(cost.images for cost in costs.values()),
        children=sum(1 + cost.children for cost in costs.values())
        + (repeats_of(params) - 1) * (1 + costs["synthesize"].children),
    )


def _models(params: PipelineParams) -> dict[str, Params]:
    """Return each step's parameters as its own model, a placeholder for what is not yet."""
    found = {}
    for step in _STEPS:
        with _pointing(step):
            made = PLACEHOLDERS[: repeats_of(params)]
            found[step] = _validated(step, step_params(params, step, made))
    return found


def _validated(step: str, values: dict[str, Any]) -> Params:
    kind = JOB_KINDS.get(step)
    try:
        model: Params = kind.params.model_validate(values)
    except ValidationError as error:
        raise invalid_fields(error) from error
    return model


@contextmanager
def _pointing(step: str) -> Iterator[None]:
    """Make the pointers of a step's errors those of the pipeline's parameters."""
    try:
        yield
    except InvalidInput as error:
        error.errors = tuple(FieldError(_pointer(step, e.pointer), e.detail) for e in error.errors)
        raise


def _pointer(step: str, pointer: str) -> str:
    top = pointer.split("/")[1] if pointer.startswith("/") else ""
    if top in ("backbone", "seed", "dataset_version_id"):
        return pointer
    if top in ("dataset_version_ids", "synthetic_version_id", "synthetic_version_per_repeat"):
        return "/dataset_version_id" if top == "dataset_version_ids" else "/synthesize"
    return f"/{step}{pointer}"


def repeats_of(params: PipelineParams) -> int:
    """Return the number of repeats of the experiment, and so of synthetic versions."""
    default: int = JOB_KINDS.get("experiment").params.model_fields["repeats"].default
    return params.experiment.repeats or default


def step_params(params: PipelineParams, step: str, synthetic_ids: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of the child job of a step; synthesis is that of the first repeat.

    Pictures and quality are of the first repeat's synthetic version, the experiment uses them all.
    """
    real = params.dataset_version_id
    shared: dict[str, Any] = {"backbone": params.backbone}
    match step:
        case "synthesize":
            own = params.synthesize
            balance = own.balance
            if balance is None and own.counts is None:
                balance = _DEFAULT_BALANCE
            values = own.model_copy(update={"balance": balance}).model_dump(mode="json")
            return {"dataset_version_id": real, "sources": "all", "seed": params.seed, **values}
        case "extract_features":
            return shared | {"dataset_version_ids": [real, *synthetic_ids]}
        case "experiment":
            shared |= {"dataset_version_id": real}
            shared |= {"synthetic_version_per_repeat": list(synthetic_ids)}
            given = params.experiment.model_dump(mode="json", exclude_none=True)
        case "project":
            shared |= {"dataset_version_ids": [real, *synthetic_ids[:1]]}
            given = params.project.model_dump(mode="json")
        case _:
            shared |= {"dataset_version_id": real, "synthetic_version_id": synthetic_ids[0]}
            given = params.evaluate.model_dump(mode="json", exclude_none=True)
    return shared | given | {"seed": params.seed}


def _with_placeholder(params: PipelineParams, inputs: Inputs) -> Inputs:
    """Add the synthetic versions as they will be: classes and counts are known beforehand."""
    from core.synthesis.planning import balance_counts, explicit_counts

    real = inputs.versions[params.dataset_version_id]
    sizes = {c.name: c.count for c in real.classes}
    own = params.synthesize
    with _pointing("synthesize"):
        if own.counts is not None:
            counts = explicit_counts(sizes, own.counts)
        else:
            counts = balance_counts(sizes, own.balance or _DEFAULT_BALANCE)
    largest = max(counts.values(), default=0)
    coming = VersionInput(
        **real.model_dump(exclude={"id", "kind", "image_count", "classes", "generator"}),
        id=PLACEHOLDERS[0],
        kind="synthetic",
        image_count=sum(counts.values()),
        classes=tuple(
            ClassSummary(
                name=name, count=n, by_split={}, weak=n < largest, target=largest, groups=n
            )
            for name, n in sorted(counts.items())
        ),
        generator={"name": own.generator, "params": own.generator_params},
    )
    made = {name: coming.model_copy(update={"id": name}) for name in PLACEHOLDERS}
    return inputs.model_copy(update={"versions": inputs.versions | made})


@job_kind(
    "pipeline",
    params=PipelineParams,
    result=PipelineResult,
    queue="cpu",
    check=check,
    estimate=estimate,
    scopes=("datasets:write",),
)
def pipeline(ctx: JobContext, params: PipelineParams) -> PipelineResult | Children:
    """Runs synthesis, features, experiment, projection and quality, and writes one report."""
    done = {child.role: child for child in ctx.children}
    if "synthesize" not in done:
        return Children(phase="synthesize", children=_syntheses(params), span=(0.0, 0.15))
    synthetic_ids = synthetic_versions(done)
    if "extract_features" not in done:
        second = _child(params, "extract_features", synthetic_ids)
        return Children(phase="features", children=(second,), span=(0.15, 0.45))
    if "experiment" not in done:
        weights = {"experiment": 6.0, "project": 1.0, "evaluate": 2.0}
        return Children(
            phase="experiment",
            children=tuple(_child(params, step, synthetic_ids, w) for step, w in weights.items()),
            span=(0.45, 0.97),
        )
    from core.jobs.pipeline_merge import merge

    return merge(ctx, params, done)


def synthetic_versions(done: Mapping[str, ChildResult]) -> list[str]:
    """Return the versions that were made, one a repeat, by role of the children."""
    return [str(c.result["dataset_version_id"]) for c in done.values() if c.kind == "synthesize"]


def _syntheses(params: PipelineParams) -> tuple[ChildSpec, ...]:
    """Return one synthesis a repeat, each with the seed of its repeat."""
    from core.learning.folds import seeds_of

    first = step_params(params, "synthesize", ())
    return tuple(
        ChildSpec(
            kind="synthesize",
            role="synthesize" if not number else f"synthesize:{number}",
            params=first | {"seed": seed},
        )
        for number, seed in enumerate(seeds_of(params.seed, repeats_of(params)))
    )


def _child(
    params: PipelineParams, step: str, synthetic_ids: Sequence[str], weight: float = 1.0
) -> ChildSpec:
    return ChildSpec(
        kind=step, role=step, params=step_params(params, step, synthetic_ids), weight=weight
    )
