"""What a classifier is: an estimator on feature vectors, and the registry of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from core.registry import Registry

P = TypeVar("P", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Classifier:
    """A registered classifier.

    ``build(params, seed, threads)`` returns an unfitted scikit-learn estimator with ``fit(X, y,
    sample_weight=...)`` and ``predict_proba``; X is float32, rows x features. ``trusted`` are the
    type names that skops may load beside its own safe ones.
    """

    name: str
    params: type[BaseModel]
    build: Callable[[Any, int, int], Any]
    trusted: tuple[str, ...]
    summary: str


CLASSIFIERS: Registry[Classifier] = Registry("classifier", "core.learning.classifiers")


def classifier(
    name: str, *, params: type[P], trusted: tuple[str, ...] = ()
) -> Callable[[Callable[[P, int, int], Any]], Callable[[P, int, int], Any]]:
    """Register a function as a classifier; its docstring's first line is the summary."""

    def register(build: Callable[[P, int, int], Any]) -> Callable[[P, int, int], Any]:
        summary = (build.__doc__ or "").strip().splitlines()[0]
        CLASSIFIERS.add(name, Classifier(name, params, build, trusted, summary))
        return build

    return register
