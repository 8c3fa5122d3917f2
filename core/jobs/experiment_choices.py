"""What an experiment compares: its arms, its classifiers and their tuning, from its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from core.pointers import invalid, invalid_fields

if TYPE_CHECKING:
    from core.jobs.kinds.experiment import ExperimentParams
    from core.learning.arms import Arm

MOST_REPLICATES = 100_000_000
"""Bootstrap replicates of all scores together: 0.8 GB for each of two tables of them."""


def arms_of(params: ExperimentParams) -> list[Arm]:
    """Return the arms that are asked for, those of the ratios last."""
    from core.learning.arms import parse_arms

    return parse_arms(params.arms, params.ratios)


def classifiers(params: ExperimentParams) -> dict[str, dict[str, Any]]:
    """Return all classifiers with complete parameters, the primary one first."""
    from core.learning.contract import CLASSIFIERS

    entry = CLASSIFIERS.get(params.classifier, "/classifier")
    try:
        own = entry.params.model_validate(params.classifier_params)
    except ValidationError as error:
        raise invalid_fields(error, "/classifier_params") from error
    fixed = sorted(set(params.classifier_params) & set(entry.tuned))
    if params.tuning == "grid" and fixed:
        raise invalid(
            f"/classifier_params/{fixed[0]}",
            f"Tuning chooses {fixed[0]} of {params.classifier}: leave it out, or set tuning to "
            "none",
        )
    compared = sorted(set(params.classifier_params) & set(entry.of_arms))
    if compared:
        raise invalid(
            f"/classifier_params/{compared[0]}",
            f"An experiment sets {compared[0]} of {params.classifier} to "
            f"{entry.of_arms[compared[0]]} in all arms, because it is what they compare",
        )
    chosen = {params.classifier: own.model_dump(mode="json") | dict(entry.of_arms)}
    for index, name in enumerate(params.other_classifiers):
        other = CLASSIFIERS.get(name, f"/other_classifiers/{index}")
        whole = other.params().model_dump(mode="json")
        chosen.setdefault(name, whole | dict(other.of_arms))
    return chosen


def tuning_budget(params: ExperimentParams) -> dict[str, int] | None:
    """Return candidates and inner folds, None without tuning."""
    if params.tuning == "none":
        return None
    return {"candidates": params.tuning_candidates, "folds": params.inner_folds}


def on_features(params: ExperimentParams, *, primary: bool = False) -> bool:
    """Tell whether a classifier (the primary one) is fitted on features and not on pixels."""
    from core.learning.contract import CLASSIFIERS

    names = [params.classifier] if primary else classifiers(params)
    return any(CLASSIFIERS.get(name).sees == "features" for name in names)


def check_size(params: ExperimentParams, classes: int) -> None:
    """Refuse more bootstrap replicates than the merge has memory for, before anything is fitted."""
    models = len(arms_of(params)) * len(classifiers(params))
    wanted = params.bootstrap * models * max(params.repeats, classes)
    if wanted > MOST_REPLICATES:
        fit = MOST_REPLICATES // (models * max(params.repeats, classes))
        raise invalid(
            "/bootstrap",
            f"{params.bootstrap:,} replicates of {models} arms and classifiers with "
            f"{params.repeats} repeats and {classes} classes need too much memory: at most "
            f"{fit:,} replicates, or fewer arms, ratios, classifiers or repeats",
            code="too_many_replicates",
        )
