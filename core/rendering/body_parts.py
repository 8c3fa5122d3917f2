"""Parts of the body: 18 as they are decided on the surface, merged to 16 and to 7.

The 7 are those of DermSynth3D (Sinha et al., Medical Image Analysis 2024); left and right are the
subject's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_SIDES = ("left", "right")
_LIMBS = {
    "upper_arm": ("arms", ("upperarm01", "upperarm02")),
    "forearm": ("arms", ("lowerarm01", "lowerarm02")),
    "hand": ("hands", ("wrist", "metacarpal", "finger")),
    "thigh": ("legs", ("upperleg01", "upperleg02")),
    "lower_leg": ("legs", ("lowerleg01", "lowerleg02")),
    "foot": ("feet", ("foot", "toe")),
}
_MIDDLE = {
    "head": ("head", "head"),
    "neck": ("head", "head"),
    "torso_front": ("torso_front", "torso"),
    "torso_back": ("torso_back", "torso"),
    "hips_front": ("hips", "hips"),
    "hips_back": ("hips", "hips"),
}
UNKNOWN = "unknown"
"""The only part of an own mesh whose parts nobody named."""

PARTS: tuple[str, ...] = (*_MIDDLE, *(f"{side}_{limb}" for side in _SIDES for limb in _LIMBS))
"""18 parts; columns of ``Surface.part_weights``."""
TO_16: dict[str, str] = {
    **{part: merged for part, (merged, _) in _MIDDLE.items()},
    **{part: part for part in PARTS if part not in _MIDDLE},
}
TO_7: dict[str, str] = {
    **{part: merged for part, (_, merged) in _MIDDLE.items()},
    **{f"{side}_{limb}": merged for side in _SIDES for limb, (merged, _) in _LIMBS.items()},
}
PARTS_16: tuple[str, ...] = tuple(dict.fromkeys(TO_16.values()))
PARTS_7: tuple[str, ...] = tuple(dict.fromkeys(TO_7.values()))
KNOWN_PARTS: tuple[str, ...] = tuple(dict.fromkeys((*PARTS, *PARTS_16)))
"""What the parts of an own mesh may be called: any of the 18 or of the 16."""

_TORSO_BONES = ("spine01", "spine02", "spine03", "spine04", "clavicle", "shoulder01")
_HIP_BONES = ("root", "pelvis", "spine05")


def merged_ids(parts: Sequence[str], merged: Sequence[str]) -> NDArray[np.uint8]:
    """Return for each of ``parts`` its number among ``merged`` (PARTS_16 or PARTS_7), from 1.

    0 is what no merged part holds: the background, and parts that are unknown.
    """
    numbers = {name: number for number, name in enumerate(merged, 1)}
    further = {"hips": "hips"} | (TO_16 if tuple(merged) == PARTS_16 else TO_7)
    return np.array([numbers.get(further.get(part, part), 0) for part in parts], np.uint8)


def part_weights(
    bones: Sequence[str], weights: NDArray[np.float64], back: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum the weights (V, B) of the bones of each part to (V, 18).

    ``back`` (V,) is how much of the trunk at a vertex is its back, in [0, 1].
    """
    summed = {part: np.zeros(len(weights)) for part in ("torso", "hips", *PARTS)}
    for column, bone in enumerate(bones):
        summed[_part_of(bone)] += weights[:, column]
    for region in ("torso", "hips"):
        trunk = summed.pop(region)
        summed[f"{region}_front"] = trunk * (1 - back)
        summed[f"{region}_back"] = trunk * back
    return np.stack([summed[part] for part in PARTS], axis=1)


def _part_of(bone: str) -> str:
    if _starts(bone, ("head", "eye")):
        return "head"
    if _starts(bone, ("neck",)):
        return "neck"
    if _starts(bone, _TORSO_BONES):
        return "torso"
    if _starts(bone, _HIP_BONES):
        return "hips"
    side = "left" if bone.endswith(".L") else "right"
    for limb, (_, names) in _LIMBS.items():
        if _starts(bone, names):
            return f"{side}_{limb}"
    raise KeyError(f"The bone {bone} belongs to no part")


def _starts(bone: str, names: Iterable[str]) -> bool:
    return bone.startswith(tuple(names))
