"""What a classifier is: an estimator on feature vectors or on pixels, and all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from core.registry import Registry

P = TypeVar("P", bound=BaseModel)

COST_BACKBONE = "efficientnet_lite0"
GRID_SIZE = 8
"""Candidates in the grid of every classifier: equal budgets need grids of one size."""


@dataclass(frozen=True, slots=True)
class FitCost:
    """CPU seconds of a fit and its predictions on 1,280 features and 7 classes, or on pixels.

    On pixels it is of COST_BACKBONE; core.learning.finetuning.relative_cost tells that of others.
    ``fixed`` is that of any fit, ``image`` is added for each training image. Measured by
    ``python -m tests.bench fits``.
    """

    fixed: float
    image: float

    def seconds(self, images: float) -> float:
        """Return what a fit on so many images takes."""
        return self.fixed + self.image * images


@dataclass(frozen=True, slots=True)
class Classifier:
    """A registered classifier.

    ``build(params, seed, threads)`` returns an unfitted scikit-learn estimator with ``fit(X, y,
    sample_weight=...)`` and ``predict_proba``. ``sees``: ``features``, X is float32, rows x
    features; ``pixels``, X is core.learning.pixels.PixelRows, ``fit`` takes a ``monitor`` as well,
    and its backbone must be trainable. ``grouped``: its
    ``fit`` takes ``groups`` as well, because it holds out images inside. ``trusted`` are the
    type names that skops may load beside its own safe ones. ``weighting`` says what sample weights
    act on, ``caution`` (may be empty) what the card of a model must tell.

    ``grid`` holds GRID_SIZE candidates, each a change of parameters, the most useful first: a
    budget of n takes the first n. ``of_arms`` are parameters that an experiment sets, because its
    arms are what they are about. ``inner`` are limits that make the fits of tuning cheaper: upper
    ones, for the tolerance ``tol`` a lower one. ``cost`` is that of a fit, ``inner_cost`` that of a
    fit of tuning.
    """

    name: str
    params: type[BaseModel]
    build: Callable[[Any, int, int], Any]
    trusted: tuple[str, ...]
    summary: str
    weighting: str
    caution: str
    grid: tuple[Mapping[str, Any], ...]
    inner: Mapping[str, Any]
    cost: FitCost
    inner_cost: FitCost
    grouped: bool
    sees: Literal["features", "pixels"]
    of_arms: Mapping[str, Any]

    def passes(self, params: Mapping[str, Any]) -> float:
        """Return the epochs that parameters ask for in units of those that ``cost`` is of."""
        if "epochs" not in self.params.model_fields:
            return 1.0
        default: int = self.params.model_fields["epochs"].default
        return float(params["epochs"] / default)

    def inner_passes(self, params: Mapping[str, Any]) -> float:
        """Return the epochs of a fit of tuning in units of those that ``inner_cost`` is of."""
        limit = self.inner.get("epochs")
        return 1.0 if limit is None else float(min(params["epochs"], limit) / limit)

    @property
    def tuned(self) -> tuple[str, ...]:
        """Names of the parameters that the grid changes, sorted."""
        return tuple(sorted({name for candidate in self.grid for name in candidate}))


CLASSIFIERS: Registry[Classifier] = Registry("classifier", "core.learning.classifiers")


def classifier(
    name: str,
    *,
    params: type[P],
    weighting: str,
    grid: Sequence[Mapping[str, Any]],
    cost: FitCost,
    inner_cost: FitCost,
    inner: Mapping[str, Any] | None = None,
    trusted: tuple[str, ...] = (),
    caution: str = "",
    grouped: bool = False,
    sees: Literal["features", "pixels"] = "features",
    of_arms: Mapping[str, Any] | None = None,
) -> Callable[[Callable[[P, int, int], Any]], Callable[[P, int, int], Any]]:
    """Register a function as a classifier; its docstring's first line is the summary.

    ValueError when the grid has not GRID_SIZE different candidates that are all valid parameters.
    """
    _check_grid(name, params, grid, inner or {})

    def register(build: Callable[[P, int, int], Any]) -> Callable[[P, int, int], Any]:
        entry = Classifier(
            name=name,
            params=params,
            build=build,
            trusted=trusted,
            summary=(build.__doc__ or "").strip().splitlines()[0],
            weighting=weighting,
            caution=caution,
            grid=tuple(grid),
            inner=inner or {},
            cost=cost,
            inner_cost=inner_cost,
            grouped=grouped,
            sees=sees,
            of_arms=of_arms or {},
        )
        CLASSIFIERS.add(name, entry)
        return build

    return register


def _check_grid(
    name: str, params: type[BaseModel], grid: Sequence[Mapping[str, Any]], inner: Mapping[str, Any]
) -> None:
    complete = [params.model_validate({**candidate}) for candidate in grid]
    different = {model.model_dump_json() for model in complete}
    if len(grid) != GRID_SIZE or len(different) != GRID_SIZE:
        raise ValueError(f"The grid of {name} must hold {GRID_SIZE} different candidates")
    params.model_validate({**inner})
    if any(key in candidate for candidate in grid for key in inner):
        raise ValueError(f"The grid of {name} changes what its inner fits fix")
