"""Which lesion goes on which skin, and how large it may be there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from core.synthesis.contract import Source

COVER = 0.95
"""Least diameter of a lesion over that of the one it takes the place of, as drawn."""
CLEAR = 0.005
"""Most of the skin around a lesion that hairs cover where there are as good as none."""
ENOUGH = 8
"""So many donors of a class, and targets of a donor, are used whatever their hairs."""
_WIDEST = 0.8
_FILLED = 0.7
"""Most of the shorter side of an image, and of free skin, that a lesion's diameter is."""

Places = NDArray[np.intp]
Values = NDArray[np.float64]


class Pairing(Protocol):
    """What of the parameters decides on pairs."""

    @property
    def targets(self) -> Literal["class_mates", "lesion_free"]: ...
    @property
    def scale(self) -> tuple[float, float]: ...


class Pairs:
    """The donors that fit on any target, and a target for each when its turn comes.

    Images of other groups are preferred, then those without hairs.
    """

    def __init__(
        self, params: Pairing, donors: Sequence[Source], targets: Sequence[Source]
    ) -> None:
        self._scale = params.scale
        self._targets = targets
        on_patch = params.targets == "lesion_free"
        self._least = np.array([0.0 if on_patch else _covered(t) for t in targets])
        self._most = np.array([_patch_room(t) if on_patch else _WIDEST for t in targets])
        self._hair = np.array([t.facts["hair"] for t in targets])
        self._by_image: dict[str, list[int]] = defaultdict(list)
        self._by_group: dict[str, list[int]] = defaultdict(list)
        for place, target in enumerate(targets):
            self._by_image[target.image_id].append(place)
            for group in target.group_ids:
                self._by_group[group].append(place)
        fits = [donor for donor in donors if self._fitting(donor).size]
        hair = np.array([donor.facts["hair"] for donor in fits])
        self.donors = [fits[n] for n in sorted(clear_first(hair).tolist())]

    def draw(self, donor: Source, rng: np.random.Generator) -> tuple[Source, float]:
        """Choose a target with room, and the scale of the lesion there (shares of short sides)."""
        fitting = self._fitting(donor)
        place = int(fitting[int(rng.integers(fitting.size))])
        least, most = self._bounds(donor)
        return self._targets[place], float(
            np.exp(rng.uniform(*np.log((least[place], most[place]))))
        )

    def _bounds(self, donor: Source) -> tuple[Values, Values]:
        """Return least and most scale of the donor on each target."""
        low, high = self._scale
        size = donor.facts["diameter"]
        return np.maximum(low, self._least / size), np.minimum(high, self._most / size)

    def _fitting(self, donor: Source) -> Places:
        least, most = self._bounds(donor)
        fits = least <= most
        fits[self._by_image.get(donor.image_id, [])] = False
        apart = fits.copy()
        for group in donor.group_ids:
            apart[self._by_group.get(group, [])] = False
        places = np.nonzero(apart if apart.any() else fits)[0]
        return places[clear_first(self._hair[places])]


def clear_first(hair: Values) -> Places:
    """Return the places that are clear of hairs; the least hairy ones while these are too few."""
    clear = np.nonzero(hair <= CLEAR)[0]
    return clear if clear.size >= ENOUGH else np.sort(np.argsort(hair, kind="stable")[:ENOUGH])


def patch_side(source: Source) -> int:
    """Return the side of the largest square without lesion, pixels; 0 when there is none."""
    free: list[int] | None = source.facts["free"]
    return 0 if free is None else min(free[2] - free[0], free[3] - free[1])


def _covered(target: Source) -> float:
    """Return the least diameter of a lesion on a target, over its shorter side."""
    diameter: Any = target.facts["diameter"]
    return COVER * float(diameter)


def _patch_room(target: Source) -> float:
    return _FILLED * patch_side(target) / min(target.width, target.height)
