"""Augmentation policies as data: which operations, with what ranges, how likely.

Everything here is light (pydantic alone), so that the API can show it as a form.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from core.manifest import Modality

PolicyName = Literal["default", "seed_generate", "seed_augment"]


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the lower bound {bounds[0]} is above the upper bound {bounds[1]}")
    return bounds


def _distinct(turns: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(turns)) != len(turns):
        raise ValueError("each number of turns may be named once")
    return turns


_Degrees = Annotated[float, Field(ge=-180, le=180)]
_Factor = Annotated[float, Field(ge=0, le=4)]
_Positive = Annotated[float, Field(ge=0.1, le=4)]
_Zoom = Annotated[float, Field(ge=0.25, le=4)]
_Sigma = Annotated[float, Field(ge=0, le=20)]
_Fraction = Annotated[float, Field(ge=0, le=0.1)]
_Smoothness = Annotated[float, Field(ge=0.02, le=0.5)]
_Count = Annotated[int, Field(ge=1, le=60)]

DegreesRange = Annotated[tuple[_Degrees, _Degrees], AfterValidator(_ordered)]
FactorRange = Annotated[tuple[_Factor, _Factor], AfterValidator(_ordered)]
PositiveRange = Annotated[tuple[_Positive, _Positive], AfterValidator(_ordered)]
ZoomRange = Annotated[tuple[_Zoom, _Zoom], AfterValidator(_ordered)]
SigmaRange = Annotated[tuple[_Sigma, _Sigma], AfterValidator(_ordered)]
FractionRange = Annotated[tuple[_Fraction, _Fraction], AfterValidator(_ordered)]
SmoothnessRange = Annotated[tuple[_Smoothness, _Smoothness], AfterValidator(_ordered)]
CountRange = Annotated[tuple[_Count, _Count], AfterValidator(_ordered)]


class _Operation(BaseModel):
    """One operation: it happens with ``probability`` and draws its numbers within its ranges."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    modalities: ClassVar[tuple[Modality, ...]] = ("rgb", "grey")
    probability: float = Field(1.0, ge=0, le=1)


class _ColourOperation(_Operation):
    modalities: ClassVar[tuple[Modality, ...]] = ("rgb",)


class Flip(_Operation):
    """Mirror left-right (horizontal), top-bottom (vertical), or one of these or both (any)."""

    op: Literal["flip"]
    axis: Literal["horizontal", "vertical", "any"] = "any"


class QuarterTurn(_Operation):
    """Turn counter-clockwise by a number of right angles; exact, sides may swap."""

    op: Literal["quarter_turn"]
    turns: Annotated[
        tuple[Annotated[int, Field(ge=1, le=3)], ...],
        Field(min_length=1, max_length=3),
        AfterValidator(_distinct),
    ] = (1, 2, 3)


class Rotate(_Operation):
    """Turn counter-clockwise about the centre; what comes into view is reflected or black."""

    op: Literal["rotate"]
    degrees: DegreesRange = (-180, 180)
    border: Literal["reflect", "black"] = "reflect"


class Zoom(_Operation):
    """Magnify about the centre; below 1 the border is reflected."""

    op: Literal["zoom"]
    factor: ZoomRange = (0.9, 1.25)


class Elastic(_Operation):
    """Displace smoothly; ``amplitude`` and ``smoothness`` are fractions of the shorter side."""

    op: Literal["elastic"]
    amplitude: FractionRange = (0.005, 0.015)
    smoothness: SmoothnessRange = (0.1, 0.2)


class Colour(_ColourOperation):
    """Change saturation: 0 is grey, 1 the image itself."""

    op: Literal["colour"]
    factor: FactorRange = (0.8, 1.25)


class Hue(_ColourOperation):
    """Turn the hue about the grey axis."""

    op: Literal["hue"]
    degrees: DegreesRange = (-6, 6)


class Brightness(_Operation):
    """Multiply all values."""

    op: Literal["brightness"]
    factor: PositiveRange = (0.85, 1.15)


class Contrast(_Operation):
    """Stretch values about the image's mean."""

    op: Literal["contrast"]
    factor: PositiveRange = (0.85, 1.15)


class Blur(_Operation):
    """Blur by a Gaussian of ``sigma`` pixels."""

    op: Literal["blur"]
    sigma: SigmaRange = (0.3, 1.2)


class Hair(_ColourOperation):
    """Lay dark hairs over the image (an artefact of dermoscopy)."""

    op: Literal["hair"]
    count: CountRange = (3, 12)


class Ruler(_ColourOperation):
    """Lay a scale with ticks along one side (an artefact of dermoscopy)."""

    op: Literal["ruler"]
    opacity: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]],
        AfterValidator(_ordered),
    ] = (0.6, 0.9)


Operation = Annotated[
    Flip
    | QuarterTurn
    | Rotate
    | Zoom
    | Elastic
    | Colour
    | Hue
    | Brightness
    | Contrast
    | Blur
    | Hair
    | Ruler,
    Field(discriminator="op"),
]


def _form(value: Any) -> str:
    return "operations" if isinstance(value, list | tuple) else "name"


Policy = Annotated[
    Annotated[PolicyName, Tag("name")]
    | Annotated[tuple[Operation, ...], Field(min_length=1, max_length=32), Tag("operations")],
    Discriminator(_form),
]
"""The name of a built-in policy, or a list of operations that are applied in this order."""

_DEFAULT: tuple[Any, ...] = (
    Flip(op="flip", probability=0.75),
    Rotate(op="rotate"),
    Zoom(op="zoom", probability=0.5),
    Elastic(op="elastic", probability=0.2),
    Colour(op="colour", probability=0.5),
    Hue(op="hue", probability=0.3),
    Brightness(op="brightness", probability=0.5),
    Contrast(op="contrast", probability=0.3),
    Blur(op="blur", probability=0.2),
)


def default_operations(modality: Modality) -> tuple[Operation, ...]:
    """Return the default policy: operations that keep the diagnosis and suit the modality.

    Grey images have no colour, so their default has no colour operations; hair and rulers are off.
    """
    return tuple(step for step in _DEFAULT if modality in step.modalities)


def unsuited(operations: tuple[Operation, ...], modality: Modality) -> int | None:
    """Return the position of the first operation that does not suit the modality."""
    for position, step in enumerate(operations):
        if modality not in step.modalities:
            return position
    return None
