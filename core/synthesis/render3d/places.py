"""Where on the body a diagnosis occurs, by the words of a dataset's metadata."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

_ARMS = ("left_upper_arm", "right_upper_arm", "left_forearm", "right_forearm")
_LEGS = ("left_thigh", "right_thigh", "left_lower_leg", "right_lower_leg")
_HANDS = ("left_hand", "right_hand")
_FEET = ("left_foot", "right_foot")

PARTS: tuple[str, ...] = (
    *("head", "neck", "torso_front", "torso_back", "hips_front", "hips_back"),
    *("left_upper_arm", "left_forearm", "left_hand", "left_thigh", "left_lower_leg", "left_foot"),
    *("right_upper_arm", "right_forearm", "right_hand"),
    *("right_thigh", "right_lower_leg", "right_foot"),
)
"""The parts of ``core.rendering.body_parts``, known here without what renders."""

SITES: dict[str, tuple[str, ...]] = {
    "abdomen": ("torso_front", "hips_front"),
    "acral": (*_HANDS, *_FEET),
    "anterior torso": ("torso_front", "hips_front"),
    "back": ("torso_back", "hips_back"),
    "chest": ("torso_front",),
    "ear": ("head",),
    "face": ("head",),
    "foot": _FEET,
    "genital": ("hips_front",),
    "hand": _HANDS,
    "head/neck": ("head", "neck"),
    "lateral torso": ("torso_front", "torso_back"),
    "lower extremity": _LEGS,
    "neck": ("neck",),
    "oral/genital": ("hips_front",),
    "palms/soles": (*_HANDS, *_FEET),
    "posterior torso": ("torso_back", "hips_back"),
    "scalp": ("head",),
    "torso": ("torso_front", "torso_back"),
    "trunk": ("torso_front", "torso_back"),
    "upper extremity": _ARMS,
}
"""Parts by the terms of HAM10000 and of the ISIC archive; a count is shared evenly among them."""


def prior(localizations: Iterable[str | None], allowed: Iterable[str]) -> dict[str, float] | None:
    """Return the share of a class's lesions on each allowed part, summing to 1.

    Counts plus one each, after Laplace: no part is excluded because few images tell of it. None
    when no image says where it was taken in words that are known.
    """
    counts: defaultdict[str, float] = defaultdict(float)
    for told in localizations:
        parts = SITES.get((told or "").strip().lower(), ())
        for part in parts:
            counts[part] += 1 / len(parts)
    if not counts:
        return None
    smoothed = {part: counts[part] + 1.0 for part in PARTS if part in set(allowed)}
    total = sum(smoothed.values())
    return {part: round(count / total, 6) for part, count in smoothed.items()}
