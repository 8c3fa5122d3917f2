"""The primary difference within subgroups of the tested images, or why it cannot be said.

Exploratory: no verdict, no correction for the number of subgroups, and abstention below a stated
number of independent test groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.learning.cohort import Cohort
from core.learning.comparison import METRIC, MIN_TEST_GROUPS, PRIMARY_ARM, Question
from core.learning.folds import FoldTable
from core.learning.inference import bootstrap, interval
from core.learning.predictions import Predictions
from core.learning.scores import mean_decision_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REPLICATES = 2000
MAX_LEVELS = 12
"""Values of one attribute that are shown, by falling number of images; the others are counted."""

_AGES = ((0, 20), (20, 40), (40, 60), (60, 80), (80, 131))


def _age(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    told = (
        (f"{low} to {high - 1}" if high < 131 else f"{low} and older")
        for low, high in _AGES
        if low <= value < high
    )
    return next(told, None)


def _fitzpatrick(value: Any) -> str | None:
    return f"type {value}" if value is not None else None


def _text(value: Any) -> str | None:
    return str(value) if value is not None else None


ATTRIBUTES: Mapping[str, Callable[[Any], str | None]] = {
    "fitzpatrick": _fitzpatrick,
    "apparent_tone": _text,
    "sex": _text,
    "age": _age,
    "localization": _text,
    "dx_type": _text,
}


def tested_metadata(
    members: Cohort, table: FoldTable, tones: Mapping[str, Mapping[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """Return what is known about each tested image, in the order of Predictions.

    That is what the dataset says, and by image id the group of its apparent tone, as measured: a
    column of that name in the dataset does not count.
    """
    import numpy as np

    records = [members.records[i] for i in np.flatnonzero(table.tested).tolist()]
    measured = tones or {}
    return [
        {**r.metadata, "apparent_tone": measured.get(r.image_id, {}).get("group")} for r in records
    ]


def subgroup_member(
    found: Predictions, metadata: Sequence[Mapping[str, Any]], question: Question
) -> list[dict[str, Any]]:
    """Return the member ``subgroups`` of verdict.json: a row an attribute and value.

    The score of a row is balanced accuracy over the classes with MIN_TEST_GROUPS test groups within
    the subgroup; fewer than two such classes: the row abstains. difference is ``combined`` less
    ``real``; its interval is of the same bootstrap, within the subgroup, unadjusted.
    """
    rows: list[dict[str, Any]] = []
    for attribute, read in ATTRIBUTES.items():
        levels: dict[str, list[int]] = {}
        for place, facts in enumerate(metadata):
            level = read(facts.get(attribute))
            if level is not None:
                levels.setdefault(level, []).append(place)
        ordered = sorted(levels, key=lambda name: (-len(levels[name]), name))
        rows += [_row(found, question, attribute, n, levels[n]) for n in ordered[:MAX_LEVELS]]
        if hidden := ordered[MAX_LEVELS:]:
            rest = [place for name in hidden for place in levels[name]]
            row = _empty(found, attribute, f"{len(hidden)} further values", rest)
            rows.append(row | {"reason": f"only the {MAX_LEVELS} largest values are shown"})
    return rows


def _empty(found: Predictions, attribute: str, level: str, places: Sequence[int]) -> dict[str, Any]:
    return {
        "attribute": attribute,
        "level": level,
        "n_images": len(places),
        "n_groups": len(set(found.groups[list(places)].tolist())),
        "classes": [],
        "combined": None,
        "real": None,
        "difference": None,
        "interval": None,
        "reason": None,
    }


def _row(
    found: Predictions, question: Question, attribute: str, level: str, places: Sequence[int]
) -> dict[str, Any]:
    import numpy as np

    row = _empty(found, attribute, level, places)
    pair = [(PRIMARY_ARM, question.classifier), ("real", question.classifier)]
    models = [found.models.index(m) for m in pair if m in found.models]
    if len(models) < 2 or not all(found.complete(m) for m in models):
        return row | {"reason": "the arms combined and real were not both estimated"}
    here = np.array(places)
    large = [c for c in range(len(found.classes)) if _groups(found, here, c) >= MIN_TEST_GROUPS]
    if len(large) < 2:
        reason = f"fewer than two classes have {MIN_TEST_GROUPS} test groups here"
        return row | {"reason": reason}
    here = here[np.isin(found.labels[here], large)]
    labels = np.searchsorted(large, found.labels[here])
    groups = np.unique(found.groups[here], return_inverse=True)[1]
    kept = [found.decisions(m)[:, here] for m in models]
    decisions = np.stack([_renumbered(d, large) for d in kept])
    values = [mean_decision_scores(labels, d, len(large) + 1)[0][METRIC] for d in decisions]
    drawn = bootstrap(labels, groups, decisions, len(large) + 1, REPLICATES, question.seed)
    scores = drawn.metric(METRIC)
    return row | {
        "classes": [found.classes[c] for c in large],
        "combined": values[0],
        "real": values[1],
        "difference": values[0] - values[1],
        "interval": list(interval(scores[:, 0] - scores[:, 1])),
    }


def _groups(found: Predictions, here: NDArray[np.intp], label: int) -> int:
    return len(set(found.groups[here][found.labels[here] == label].tolist()))


def _renumbered(decisions: NDArray[np.int64], large: Sequence[int]) -> NDArray[np.int64]:
    """Number decisions by the classes kept; any other class is one more, never right."""
    import numpy as np

    number = np.full(int(max(decisions.max(), *large)) + 1, len(large), dtype=np.int64)
    number[list(large)] = np.arange(len(large))
    return np.asarray(number[decisions])
