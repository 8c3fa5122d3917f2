"""What carries no verdict: the doses and their knee, and the spread over seeds."""

from __future__ import annotations

from statistics import stdev
from typing import TYPE_CHECKING, Any

from core.learning.analysis import Analysis
from core.learning.comparison import METRIC, Question, compare, estimate
from core.learning.inference import interval, p_value, simultaneous_band, with_seeds

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXTERNAL = "external"
"""Arm and classifier of predictions made elsewhere."""


def exploratory_member(found: Analysis, question: Question) -> dict[str, Any]:
    """Return the member ``exploratory`` of verdict.json.

    dose_response: differences to ``real`` of the ratio arms with a simultaneous (max-|t|) band.
    knee: the smallest dose that cannot be told from the best one, None without ratio arms.
    external: predictions made elsewhere less each arm of the primary classifier.
    with_seeds: intervals of the primary comparisons when seeds are resampled too. seeds: each score
    seed by seed, with the standard deviation; synthesis_by_seed: whether it holds synthesis too.
    """
    doses, knee = _doses(found, question)
    return {
        "dose_response": doses,
        "knee": knee,
        "external": _external(found, question),
        "with_seeds": [
            {
                "comparator": c.comparator,
                "interval": list(interval(with_seeds(c.by_seed, question.seed))),
            }
            for c in compare(found, question)
        ],
        "seeds": [
            {
                "arm": arm,
                "classifier": classifier,
                "balanced_accuracy": known.by_seed,
                "deviation": stdev(known.by_seed) if len(known.by_seed) > 1 else None,
            }
            for (arm, classifier), known in found.scores.items()
        ],
        "synthesis_by_seed": question.synthesis_by_seed,
    }


def _external(found: Analysis, question: Question) -> list[dict[str, Any]]:
    drawn, ours = found.replicates, found.index(EXTERNAL, EXTERNAL)
    if drawn is None or ours is None:
        return []
    value = found.scores[(EXTERNAL, EXTERNAL)].overall[METRIC]
    scores = drawn.metric(METRIC)
    rows = []
    for arm in question.arms:
        other = found.index(arm.id, question.classifier)
        if other is not None:
            paired = scores[:, ours] - scores[:, other]
            rows.append(
                {
                    "comparator": arm.id,
                    "difference": value - estimate(found, arm.id, question),
                    "interval": list(interval(paired)),
                    "p": p_value(paired),
                }
            )
    return rows


def _doses(
    found: Analysis, question: Question
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    import numpy as np

    real = found.index("real", question.classifier)
    doses = [
        (arm, place)
        for arm in sorted((a for a in question.arms if a.ratio), key=lambda a: a.ratio or 0.0)
        if (place := found.index(arm.id, question.classifier)) is not None
    ]
    if found.replicates is None or real is None or not doses:
        return [], None
    scores = found.replicates.metric(METRIC)[:, [real, *(place for _, place in doses)]]
    values = np.array([estimate(found, arm, question) for arm in ("real", *_ids(doses))])
    bands = simultaneous_band(values[1:] - values[0], scores[:, 1:] - scores[:, [0]])
    rows = [
        {"arm": arm.id, "ratio": arm.ratio, "difference": float(value), "band": list(band)}
        for (arm, _), value, band in zip(doses, values[1:] - values[0], bands, strict=True)
    ]
    return rows, knee([0.0, *(float(arm.ratio or 0.0) for arm, _ in doses)], values, scores)


def _ids(doses: list[tuple[Any, int]]) -> list[str]:
    return [arm.id for arm, _ in doses]


def knee(ratios: list[float], values: NDArray[Any], replicates: NDArray[Any]) -> dict[str, Any]:
    """Return the smallest dose whose difference to the best dose has a band that includes 0.

    ratios: K ascending, the first is 0 (``real``). values: K scores. replicates: B x K. The bands
    hold together over all doses (max-|t|), after the multiple comparisons with the best of Hsu
    (1981), so that more doses asked for make no earlier knee out of chance. ``ratio`` 0 says that
    no dose can be told from none.
    """
    best = int(values.argmax())
    others = [k for k in range(len(ratios)) if k != best]
    differences = values[others] - values[best]
    bands = simultaneous_band(differences, replicates[:, others] - replicates[:, [best]])
    rows = [
        {"ratio": ratios[k], "difference": float(d), "band": list(band)}
        for k, d, band in zip(others, differences, bands, strict=True)
    ]
    level = [ratios[k] for k, band in zip(others, bands, strict=True) if band[1] >= 0]
    return {
        "ratio": min([*level, ratios[best]]),
        "best_ratio": ratios[best],
        "differences_to_best": rows,
    }
