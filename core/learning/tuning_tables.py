"""What tuning chose over all folds, for the artifacts and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from core.learning.contract import CLASSIFIERS
from core.manifest import canonical_json


def tuning_statement(budget: Mapping[str, int] | None) -> str:
    """Return how hyperparameters were chosen, in one sentence of the methods."""
    if budget is None:
        return "the same for all arms, not tuned"
    return (
        f"chosen in each fold for each arm and classifier among {budget['candidates']} candidates "
        f"by balanced accuracy on {budget['folds']} inner folds over the training side's real "
        "groups; inner training parts hold the arm's own rows whose groups lie in them; the first "
        "candidate wins a tie; grids and choices stand in tuning.json"
    )


def tuning_document(
    rows: Sequence[Mapping[str, Any]],
    classifiers: Iterable[str],
    budget: Mapping[str, int] | None,
) -> dict[str, Any]:
    """Return tuning.json: the candidates of each classifier and the choice of every fold and arm.

    rows: {seed, fold, arm, classifier, chosen, params, scores, reason}. Without tuning budget is
    null and grids and rows are empty.
    """
    names = list(classifiers) if budget else []
    return {
        "budget": dict(budget) if budget else None,
        "metric": "balanced_accuracy",
        "grids": {
            name: [dict(c) for c in CLASSIFIERS.get(name).grid[: (budget or {})["candidates"]]]
            for name in names
        },
        "inner_limits": {name: dict(CLASSIFIERS.get(name).inner) for name in names},
        "rows": [dict(row) for row in rows],
    }


def tuning_table(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each arm and classifier how often which candidate was chosen, most often first.

    score is the mean inner balanced accuracy of the chosen candidate; null where none was chosen.
    """
    seen: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        seen.setdefault((row["arm"], row["classifier"]), []).append(row)
    return [
        {
            "arm": arm,
            "classifier": classifier,
            "chosen": _counts(found),
            "inner balanced accuracy": _mean_score(found),
        }
        for (arm, classifier), found in seen.items()
    ]


def _counts(rows: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(
        canonical_json(row["params"]) if row["chosen"] is not None else "not tuned" for row in rows
    )
    return "; ".join(
        f"{params} in {count} of {len(rows)}" for params, count in counts.most_common()
    )


def _mean_score(rows: Sequence[Mapping[str, Any]]) -> float | None:
    scores = [row["scores"][row["chosen"]] for row in rows if row["chosen"] is not None]
    return sum(scores) / len(scores) if scores else None
