"""What synthetic images are worth in real ones: the horizontal distance of two learning curves.

The curve of the best remedy without synthesis over real images of the weak classes is made monotone
(isotonic regression, Ayer et al. 1955) and read linearly between its points. Where ``combined`` on
a share of the groups lies above its end, the worth is "at least" the way to the end; nothing is
extrapolated. Scores, curve and distance are taken anew in every replicate of the bootstrap over
test groups, whose draws are those of the primary comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.learning.comparison import METRIC, PRIMARY_ARM, Question
from core.learning.inference import bootstrap, interval
from core.learning.predictions import Predictions
from core.learning.scores import mean_decision_scores
from core.learning.shares import COMBINED_SHARES, REAL_SHARES, share_arm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Bound = Literal["exact", "at_least", "at_most"]


@dataclass(frozen=True, slots=True)
class Size:
    """Real images and groups of the weak classes on a training side, means over folds and seeds."""

    images: float
    groups: float


def best_remedy(parts: Sequence[Path], question: Question) -> str:
    """Return the comparator with the highest balanced accuracy over all folds, the first on a tie.

    A comparator that was not run in every fold was tested on fewer images, and is none to choose.
    The others are compared on the images that they are tested on, which favours the best of them:
    the worth of synthetic images comes out rather too small than too large.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = ["arm", "classifier", "seed", "label", "predicted"]
    rows = pa.concat_tables([pq.read_table(part, columns=columns) for part in parts])
    facts = {name: np.array(rows[name].to_pylist()) for name in columns}
    right = facts["label"] == facts["predicted"]
    arms = {
        arm: (facts["arm"] == arm) & (facts["classifier"] == question.classifier)
        for arm in question.comparators
    }
    scores: dict[str, float] = {}
    for arm, own in arms.items():
        if own.sum() == arms["real"].sum():
            cells = dict.fromkeys(
                zip(facts["seed"][own].tolist(), facts["label"][own].tolist(), strict=True)
            )
            recalls = [
                right[own & (facts["seed"] == seed) & (facts["label"] == label)].mean()
                for seed, label in cells
            ]
            scores[arm] = float(np.mean(recalls))
    return max(scores, key=lambda arm: scores[arm])


def isotonic(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the monotone curves nearest to these in least squares: rows x points, equal weights.

    The largest over starts of the smallest over ends of means (the min-max formula of isotonic
    regression), for the few points of a learning curve.
    """
    import numpy as np

    points = curves.shape[1]
    sums = np.concatenate([np.zeros((len(curves), 1)), curves.cumsum(axis=1)], axis=1)
    answer = np.empty_like(curves)
    for k in range(points):
        starts = [
            np.min([(sums[:, j + 1] - sums[:, i]) / (j + 1 - i) for j in range(k, points)], axis=0)
            for i in range(k + 1)
        ]
        answer[:, k] = np.max(starts, axis=0)
    return answer


def needed(
    sizes: NDArray[np.float64], curves: NDArray[np.float64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the smallest size at which each monotone curve reaches its level.

    sizes: K ascending. curves: rows x K. levels: rows. A level above the curve's end gives the last
    size, one not above its start the first.
    """
    import numpy as np

    answer = np.empty(len(levels))
    answer[:] = sizes[-1]
    for k in range(len(sizes) - 1, 0, -1):
        low, high = curves[:, k - 1], curves[:, k]
        crossed = (levels > low) & (levels <= high)
        part = (levels - low) / np.where(high > low, high - low, 1.0)
        answer = np.where(crossed, sizes[k - 1] + part * (sizes[k] - sizes[k - 1]), answer)
    return np.asarray(np.where(levels <= curves[:, 0], sizes[0], answer))


def worth_member(
    whole: Predictions,
    shared: Predictions,
    question: Question,
    remedy: str,
    sizes: Mapping[int, Size],
    *,
    replicates: int,
    seed: int,
) -> dict[str, Any]:
    """Return the member ``worth`` of verdict.json.

    whole: predictions of the arms on all groups; shared: those of the arms on shares. sizes: by
    share, 100 included. A share of ``combined`` that could not be fitted everywhere has a reason.
    """
    import numpy as np

    shares = [*REAL_SHARES, 100]
    found = [_decisions(shared, share_arm(remedy, s), question) for s in REAL_SHARES]
    found.append(_decisions(whole, remedy, question))
    mixed = {s: _decisions(shared, share_arm(PRIMARY_ARM, s), question) for s in COMBINED_SHARES}
    told: dict[str, Any] = {"remedy": remedy, "classifier": question.classifier}
    if any(d is None for d in found):
        reason = f"{remedy} could not be fitted on every share"
        return told | {"curve": [], "combined": [], "reason": reason}
    known = {s: d for s, d in mixed.items() if d is not None}
    decisions = np.stack([d for d in [*found, *known.values()] if d is not None])
    size = len(whole.classes)
    drawn = bootstrap(whole.labels, whole.groups, decisions, size, replicates, seed).metric(METRIC)
    values = np.array([mean_decision_scores(whole.labels, d, size)[0][METRIC] for d in decisions])
    rows = np.concatenate([values[None], drawn])  # the estimate, then its replicates
    cut = len(shares)
    curves = isotonic(rows[:, :cut])
    places = {s: cut + i for i, s in enumerate(known)}
    return told | {
        "curve": [_point(s, sizes[s], values[i], drawn[:, i]) for i, s in enumerate(shares)],
        "combined": [
            _worth(s, sizes, curves, rows[:, places[s]]) if s in places else _unknown(s, sizes[s])
            for s in COMBINED_SHARES
        ],
        "reason": None,
    }


def _decisions(found: Predictions, arm: str, question: Question) -> NDArray[np.int64] | None:
    model = (arm, question.classifier)
    if model not in found.models or not found.complete(found.models.index(model)):
        return None
    return found.decisions(found.models.index(model))


def _point(share: int, size: Size, value: float, drawn: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "share": share,
        "groups": size.groups,
        "images": size.images,
        "score": float(value),
        "interval": list(interval(drawn)),
    }


def _unknown(share: int, size: Size) -> dict[str, Any]:
    return {
        "share": share,
        "groups": size.groups,
        "images": size.images,
        "score": None,
        "interval": None,
        "worth": None,
        "bound": None,
        "worth_interval": None,
        "interval_bounds": None,
        "reason": "in some folds no synthetic image has all of its groups in the share",
    }


def _worth(
    share: int,
    sizes: Mapping[int, Size],
    curves: NDArray[np.float64],
    levels: NDArray[np.float64],
) -> dict[str, Any]:
    import numpy as np

    axis = np.array([sizes[s].images for s in (*REAL_SHARES, 100)])
    mine = sizes[share].images
    found = needed(axis, curves, levels) - mine
    reach = axis[-1] - mine
    # inverted_cdf: a quantile is one of the replicates, never a mean of a bound and a number
    low, high = np.quantile(found[1:], [0.025, 0.975], method="inverted_cdf").tolist()

    def bound(value: float, level: float, row: int) -> Bound:
        if value >= reach and level > curves[row, -1]:
            return "at_least"
        return "at_most" if level <= curves[row, 0] else "exact"

    ends: list[Bound] = [
        "at_least" if end >= reach else "at_most" if end <= axis[0] - mine else "exact"
        for end in (low, high)
    ]
    return _point(share, sizes[share], levels[0], levels[1:]) | {
        "worth": float(found[0]),
        "bound": bound(float(found[0]), float(levels[0]), 0),
        "worth_interval": [low, high],
        "interval_bounds": ends,
        "reason": None,
    }
