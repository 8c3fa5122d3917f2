"""The rows of quality.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

OVERALL = "overall"
INCEPTION = "inception_fid"
"""The backbone whose Frechet distance may be called FID."""


def metric_name(kind: str, backbone: str) -> str:
    """Return the name of a metric over features: ``fid``, or the kind and its backbone."""
    return "fid" if (kind, backbone) == ("fd", INCEPTION) else f"{kind}_{backbone}"


@dataclass(frozen=True, slots=True)
class QualityRow:
    """One number about the synthetic images, with what it may not be read without.

    label None: over all classes at equal class mix. n: images on each side (of similarity: images
    compared). interval: 95 %, over groups. floor: the same number among real images at the same n,
    floor_range its 95 % range over the splits. ratio: value over floor. left_out: images that the
    metric could not use.
    """

    metric: str
    label: str | None
    backbone: str | None
    n: int
    value: float | None
    interval: tuple[float, float] | None = None
    floor: float | None = None
    floor_range: tuple[float, float] | None = None
    ratio: float | None = None
    estimable: bool = True
    reason: str | None = None
    reference_contains_parents: bool | None = None
    left_out: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "scope": OVERALL if self.label is None else "class",
            "class": self.label,
            "backbone": self.backbone,
            "n": self.n,
            "value": self.value,
            "interval": _pair(self.interval),
            "floor": self.floor,
            "floor_range": _pair(self.floor_range),
            "ratio": self.ratio,
            "estimable": self.estimable,
            "reason": self.reason,
            "reference_contains_parents": self.reference_contains_parents,
            "left_out": self.left_out,
        }


def _pair(pair: tuple[float, float] | None) -> list[float] | None:
    return None if pair is None else list(pair)
