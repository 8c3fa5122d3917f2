"""The experiment: does adding synthetic images help, judged on real images only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field

from core.errors import FieldError, InvalidInput
from core.jobs.context import Children, Inputs, JobContext
from core.jobs.experiment_choices import arms_of, check_size, classifiers
from core.jobs.experiment_cost import estimate
from core.jobs.generator_choice import GeneratorChoice
from core.jobs.spec import (
    JOB_KINDS,
    Params,
    Result,
    Seed,
    UploadId,
    VersionId,
    job_kind,
)
from core.pointers import invalid
from core.synthesis.planning import Balance, Count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.learning.cohort import Cohort
    from core.learning.folds import FoldTable

DEFAULT_ARMS: list[Any] = [
    "real",
    "class_weight",
    "logit_adjust",
    "oversample",
    "augment",
    "synthetic",
    "combined",
]


class SynthesisPlan(GeneratorChoice):
    """Synthesis that the experiment runs itself, once a seed: parameters of the kind synthesize."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    balance: Balance | None = None
    counts: dict[str, Count] | None = Field(None, min_length=1)


class ExperimentParams(Params):
    """A real version, synthetic versions or a plan to make them, and how to compare."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_version_id": "dsv_" + "0" * 26,
                    "synthesis": {"generator": "augment", "balance": {"target": "max"}},
                    "arms": DEFAULT_ARMS,
                    "classifier": "logistic_regression",
                    "folds": 5,
                    "repeats": 3,
                }
            ]
        }
    )

    dataset_version_id: VersionId
    synthetic_version_ids: list[VersionId] = Field(
        default_factory=list, max_length=20, description="Serve all repeats."
    )
    synthetic_version_per_repeat: list[VersionId] = Field(
        default_factory=list,
        max_length=20,
        description="One for each repeat, in their order: each trains on its own, so that the "
        "spread over seeds holds that of synthesis.",
    )
    synthesis: SynthesisPlan | None = None
    arms: list[str] = Field(default_factory=lambda: list(DEFAULT_ARMS), min_length=1, max_length=40)
    backbone: str = "efficientnet_lite0"
    classifier: str = Field("logistic_regression", description="Carries the verdict.")
    other_classifiers: list[str] = Field(
        default_factory=list, max_length=10, description="Exploratory, tuned alike."
    )
    classifier_params: dict[str, Any] = Field(
        default_factory=dict,
        description="Of the primary classifier; what tuning does not choose is the same in all "
        "arms.",
    )
    tuning: Literal["none", "grid"] = Field(
        "grid",
        description="grid: each arm and classifier chooses from its catalog grid, by balanced "
        "accuracy on inner grouped folds of the training side, with one budget for all.",
    )
    tuning_candidates: int = Field(
        4, ge=2, le=8, description="First so many candidates of each grid."
    )
    inner_folds: int = Field(3, ge=2, le=10, description="Inner folds of tuning.")
    design: Literal["cv", "holdout"] = "cv"
    folds: int = Field(5, ge=2, le=20, description="Of the design cv.")
    repeats: int = Field(3, ge=1, le=20, description="Seeds; each has folds of its own.")
    ratios: list[float] = Field(
        default_factory=list, max_length=20, description="Adds arms combined_r<ratio>."
    )
    worth: bool = Field(
        False,
        description="Also ask what the synthetic images are worth in real ones: the best remedy "
        "and the arm combined on shares of the weak classes' groups. About as many fits again as "
        "seven arms of the primary classifier.",
    )
    apparent_tone: bool = Field(
        True,
        description="Measure the healthy skin around each lesion for a subgroup by apparent tone.",
    )
    bootstrap: int = Field(10_000, ge=200, le=100_000, description="Replicates.")
    legacy_protocol: bool = Field(True, description="Run the course project's protocol beside it.")
    legacy_per_class: int = Field(30, ge=0, le=10_000)
    real_is_augmented: bool = Field(
        False, description="Legacy protocol: fill small real classes with copies first."
    )
    external_upload_id: UploadId | None = Field(
        None,
        description="CSV or Parquet of predictions made elsewhere, judged as the arm external: "
        "image_id, fold, seed, probability_<class>.",
    )
    external_fold_table_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="The fold table that they were made on."
    )
    seed: Seed = 0


class ArmRow(Result):
    """Balanced accuracy of one arm with one classifier; null where it could not be estimated."""

    arm: str
    classifier: str
    balanced_accuracy: float | None
    interval: tuple[float, float] | None
    valid: bool


class ExperimentResult(Result):
    """verdict is helps, no_evidence, hurts or not_estimable; legacy_protocol is never valid."""

    experiment_id: str
    verdict: str
    table: list[ArmRow]
    legacy_protocol: dict[str, Any] | None


def check(params: ExperimentParams, inputs: Inputs) -> None:
    """Refuse what the versions cannot answer."""
    real = inputs.versions[params.dataset_version_id]
    if real.kind != "real":
        raise invalid("/dataset_version_id", "The experiment is judged on real images only")
    _check_versions(params, inputs)
    filled = [c for c in real.classes if c.count > 0]
    if len(filled) < 2:
        raise invalid(
            "/dataset_version_id",
            f"An experiment compares classes; this version has {len(filled)} with images",
            code="too_few_classes",
        )
    most = max(c.groups for c in filled)
    if params.design == "cv" and most < params.folds:
        raise invalid(
            "/folds",
            f"{params.folds} folds need a class with as many independent groups; the largest "
            f"has {most}",
            code="too_few_groups",
        )
    if (params.external_upload_id is None) != (params.external_fold_table_sha256 is None):
        raise invalid(
            "/external_fold_table_sha256",
            "Predictions made elsewhere need external_upload_id and external_fold_table_sha256",
        )
    _check_names(params)
    check_size(params, len(filled))
    _check_synthesis(params, inputs)


def _check_versions(params: ExperimentParams, inputs: Inputs) -> None:
    """Refuse versions that are named twice, are not synthetic, or are not one a repeat."""
    named: set[str] = set()
    for field in ("synthetic_version_ids", "synthetic_version_per_repeat"):
        for index, version_id in enumerate(getattr(params, field)):
            if version_id in named:
                raise invalid(f"/{field}/{index}", "This version is named twice")
            if inputs.versions[version_id].kind != "synthetic":
                raise invalid(f"/{field}/{index}", "This version is not synthetic")
            named.add(version_id)
    own = len(params.synthetic_version_per_repeat)
    if own and own != params.repeats:
        raise invalid(
            "/synthetic_version_per_repeat",
            f"There are {own} versions for {params.repeats} repeats: give one for each",
        )
    if own and params.synthesis:
        raise invalid("/synthesis", "Each repeat has its version already: leave the plan out")


def _check_names(params: ExperimentParams) -> None:
    from core.features.contract import check_backbone
    from core.learning.contract import CLASSIFIERS
    from core.learning.finetuning import require_trainable

    arms = arms_of(params)
    if "real" not in {arm.id for arm in arms}:
        raise invalid("/arms", "The arm real is the line that all others are measured against")
    check_backbone(params.backbone, "/backbone")
    for name in classifiers(params):
        if CLASSIFIERS.get(name).sees == "pixels":
            require_trainable(params.backbone, "/backbone")
    if params.worth and "combined" not in {arm.id for arm in arms}:
        raise invalid("/worth", "What synthetic images are worth is read off the arm combined")
    if not (
        params.synthetic_version_ids or params.synthetic_version_per_repeat or params.synthesis
    ):
        needy = [arm.id for arm in arms if arm.needs_synthetic]
        if needy:
            raise invalid(
                "/synthetic_version_ids",
                f"The arms {', '.join(needy)} need synthetic images: give synthetic_version_ids "
                "or a synthesis plan",
                code="needs_synthetic",
            )


def _check_synthesis(params: ExperimentParams, inputs: Inputs) -> None:
    """Check the plan as the kind synthesize will; generators that learn cannot see all folds."""
    if params.synthesis is None:
        return
    from core.synthesis.contract import GENERATORS

    if GENERATORS.get(params.synthesis.generator, "/synthesis/generator").novelty == "novel":
        raise invalid(
            "/synthesis/generator",
            "A generator that learns must be fitted on training sides: pass the versions that it "
            "made as synthetic_version_ids",
            code="generator_learns",
        )
    kind = JOB_KINDS.get("synthesize")
    child = kind.params.model_validate(synthesis_params(params, params.seed))
    if kind.check:
        try:
            kind.check(child, inputs)
        except InvalidInput as error:
            error.errors = tuple(
                FieldError(f"/synthesis{e.pointer}", e.detail) for e in error.errors
            )
            raise


@job_kind(
    "experiment",
    params=ExperimentParams,
    result=ExperimentResult,
    queue="cpu",
    profile="torch",
    timeout=4 * 3600.0,
    check=check,
    estimate=estimate,
    scopes=("datasets:read",),
)
def experiment(ctx: JobContext, params: ExperimentParams) -> ExperimentResult | Children:
    """Judges on real images whether adding synthetic images to training helps, arm by arm."""
    from core.jobs.experiment_children import (
        PREPARED,
        features_children,
        fold_children,
        synthesis_children,
    )
    from core.jobs.experiment_merge import merge, question_of
    from core.jobs.experiment_plan import copycat_children, gate_children, view_children
    from core.jobs.experiment_tone import tone_children
    from core.jobs.experiment_worth import worth_step
    from core.learning.cohort import cohort
    from core.learning.folds import fold_table

    members = cohort(ctx.manifest(params.dataset_version_id))
    asked = {child.role for child in ctx.children}
    table = fold_table(
        members,
        design=params.design,
        folds=params.folds,
        repeats=params.repeats,
        seed=params.seed,
    )
    if not asked:
        external(ctx, params, members, table)  # refused before anything is computed
    synthesis = synthesis_children(params, members)
    if synthesis and not asked:
        return Children(phase="synthesis", children=tuple(synthesis), span=(0.0, 0.25))
    if not asked & PREPARED and "fold" not in asked:
        prepared = [
            *features_children(ctx, params, members),
            *gate_children(ctx, params, members),
            *copycat_children(params),
            *tone_children(params, members, table),
            *view_children(ctx, params, members, table),
        ]
        if prepared:
            return Children(phase="features", children=tuple(prepared), span=(0.25, 0.55))
    if "fold" not in asked:
        return Children(
            phase="folds",
            children=tuple(fold_children(ctx, params, members, table)),
            span=(0.55, 0.75 if params.worth else 0.95),
        )
    worth = worth_step(ctx, params, members, table, question_of(ctx, params, members))
    if worth is not None:
        return worth
    experiment_id, verdict = merge(ctx, params, members, table)
    return ExperimentResult(
        experiment_id=experiment_id,
        verdict=verdict["primary"]["verdict"],
        table=[_row(arm) for arm in verdict["arms"]],
        legacy_protocol=verdict["legacy_protocol"],
    )


def external(
    ctx: JobContext, params: ExperimentParams, members: Cohort, table: FoldTable
) -> NDArray[np.float32] | None:
    """Read and check the predictions made elsewhere; None when there are none."""
    from core.learning.external import check_table, read_external

    if params.external_upload_id is None:
        return None
    check_table(table, params.external_fold_table_sha256)
    return read_external(Path(ctx.inputs.uploads[params.external_upload_id].path), members, table)


def synthesis_params(params: ExperimentParams, seed: int) -> dict[str, Any]:
    """Return the parameters of the synthesis that serves a seed."""
    plan = params.synthesis or SynthesisPlan()
    return {
        "dataset_version_id": params.dataset_version_id,
        "sources": "all",
        "seed": seed,
        **plan.model_dump(mode="json"),
    }


def _row(arm: dict[str, Any]) -> ArmRow:
    score = arm["scores"].get("balanced_accuracy", {"value": None, "interval": None})
    return ArmRow(
        arm=arm["arm"],
        classifier=arm["classifier"],
        balanced_accuracy=score["value"],
        interval=score["interval"],
        valid=arm["valid"],
    )
