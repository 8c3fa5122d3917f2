"""Fitting one classifier on feature vectors or on pixels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from core.errors import JobFailed
from core.learning.contract import CLASSIFIERS
from core.learning.pixels import Monitor, PixelRows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ClassifierChoice:
    """A classifier with complete parameters."""

    name: str
    params: dict[str, Any]


Rows = Union["NDArray[np.float32]", PixelRows]
"""What a classifier sees, a row an image; both kinds are indexed alike."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted classifier; ``labels`` are the class numbers of its probability columns."""

    estimator: Any
    labels: NDArray[np.int64]
    converged: bool

    def probabilities(self, rows: Rows, classes: int) -> NDArray[np.float32]:
        """Return rows x classes; 0 for classes that were not trained.

        JobFailed (``predictions_not_finite``) when the classifier answers NaN or infinity, which
        would pass for an arm that was not run.
        """
        import numpy as np

        check_finite(rows)
        answer = np.zeros((len(rows), classes), dtype=np.float32)
        if self.estimator is None:
            answer[:, self.labels] = 1.0
        else:
            answer[:, self.labels] = self.estimator.predict_proba(rows)
        if not np.isfinite(answer).all():
            raise JobFailed(
                f"{type(self.estimator).__name__} gave probabilities that are no finite numbers: "
                "its weights have overflowed. Lower its learning rate, or raise its penalty.",
                code="predictions_not_finite",
            )
        return answer


def check_finite(rows: Rows) -> None:
    """Raise JobFailed (``features_not_finite``) when a feature is NaN or infinite."""
    import numpy as np

    if isinstance(rows, PixelRows):  # uint8
        return

    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise JobFailed(
            f"{len(bad)} of {len(rows)} feature vectors hold NaN or infinite values (the first is "
            f"row {bad[0]}): the backbone or its weights are broken. Extract the features again.",
            code="features_not_finite",
        )


def fit(
    choice: ClassifierChoice,
    rows: Rows,
    labels: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
    seed: int,
    threads: int,
    groups: NDArray[np.int64],
    monitor: Monitor | None = None,
) -> Fitted:
    """Fit a classifier on what it sees; with a single class it always says that class.

    groups tell which rows belong together; only classifiers that hold out rows inside use them.
    monitor watches those that train on pixels. A
    ConvergenceWarning becomes ``converged=False``; other warnings pass. JobFailed
    (``features_not_finite``).
    """
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning

    check_finite(rows)
    present = np.unique(labels)
    if len(present) == 1:
        return Fitted(None, present, True)
    entry = CLASSIFIERS.get(choice.name)
    estimator = entry.build(entry.params.model_validate(choice.params), seed, threads)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        tied: dict[str, Any] = {"groups": groups} if entry.grouped else {}
        if entry.sees == "pixels":
            tied["monitor"] = monitor
        estimator.fit(rows, labels, sample_weight=weights, **tied)
    converged = True
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            converged = False
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return Fitted(estimator, np.asarray(estimator.classes_, dtype=np.int64), converged)


def prior_corrected(
    chances: NDArray[np.float32], priors: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Divide probabilities by the training's class shares and renormalise.

    Post-hoc logit adjustment with tau = 1 (Menon et al. 2021). A class without a share
    was not trained: its probability stays 0.
    """
    import numpy as np

    safe = np.where(priors > 0, priors, np.inf)
    divided = chances.astype(np.float64) / safe
    return np.asarray(divided / divided.sum(axis=1, keepdims=True), dtype=np.float32)
