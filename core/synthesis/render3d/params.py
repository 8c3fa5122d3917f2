"""What can be asked of ``render3d``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from core.assets import ASSET_ID, AssetKind
from core.synthesis.lesion_donors import DonorParams
from core.synthesis.render3d.places import PARTS
from core.synthesis.render3d.presets import FITZPATRICK, PRESETS, PresetName

ModeName = Literal["dermoscopy", "clinical", "regional", "whole_body"]
Part = Literal[
    "head", "neck", "torso_front", "torso_back", "hips_front", "hips_back",
    "left_upper_arm", "left_forearm", "left_hand", "left_thigh", "left_lower_leg", "left_foot",
    "right_upper_arm", "right_forearm", "right_hand", "right_thigh", "right_lower_leg",
    "right_foot",
]  # fmt: skip
Annotation = Literal[
    "mask", "instances", "regions", "parts_16", "parts_7", "depth", "normals", "coco", "record"
]
FACES = ("head",)
"""Left out unless they are named: the default body has blank eyes and no hair."""


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the lower bound {bounds[0]} is above the upper bound {bounds[1]}")
    return bounds


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError("each may be named once")
    return values


_Share = Annotated[float, Field(ge=0, le=1)]
_Ita = Annotated[float, Field(ge=-65, le=60)]
_Years = Annotated[float, Field(ge=0, le=90)]
_Millimetres = Annotated[float, Field(ge=0.5, le=200)]
_Metres = Annotated[float, Field(ge=0.02, le=5)]
_Degrees = Annotated[float, Field(ge=5, le=90)]
_Number = Annotated[int, Field(ge=1, le=50)]
_Id = Annotated[str, Field(pattern=ASSET_ID)]

ShareRange = Annotated[tuple[_Share, _Share], AfterValidator(_ordered)]
Ids = Annotated[tuple[_Id, ...], Field(min_length=1, max_length=200), AfterValidator(_distinct)]


class Tone(BaseModel):
    """Skin tones to draw from: a range of ITA, or types, or tones of the Monk scale."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    ita: Annotated[tuple[_Ita, _Ita], AfterValidator(_ordered)] | None = Field(
        None, description="Range of the individual typology angle, degrees; 60 is lightest."
    )
    fitzpatrick: (
        Annotated[
            tuple[Literal["I", "II", "III", "IV", "V", "VI"], ...],
            Field(min_length=1),
            AfterValidator(_distinct),
        ]
        | None
    ) = Field(None, description="Fitzpatrick types, taken as ranges of ITA.")
    monk: (
        Annotated[
            tuple[Annotated[int, Field(ge=1, le=10)], ...],
            Field(min_length=1),
            AfterValidator(_distinct),
        ]
        | None
    ) = Field(None, description="Tones of the Monk scale, 1 is lightest; an approximation.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(one is not None for one in (self.ita, self.fitzpatrick, self.monk)) != 1:
            raise ValueError("give exactly one of ita, fitzpatrick and monk")
        return self

    @property
    def steps(self) -> tuple[str | int, ...] | None:
        """What takes turns; None of a range."""
        return self.fitzpatrick or self.monk


class BodyOptions(BaseModel):
    """Ranges that bodies are drawn from; all but the age are those of MakeHuman, 0 to 1."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    gender: ShareRange = Field((0.0, 1.0), description="0 is male, 1 female.")
    age_years: Annotated[tuple[_Years, _Years], AfterValidator(_ordered)] = (18.0, 85.0)
    muscle: ShareRange = (0.3, 0.75)
    weight: ShareRange = (0.3, 1.0)
    height: ShareRange = (0.25, 0.55)
    proportions: ShareRange = (0.2, 0.8)
    pose: _Share = Field(1.0, description="Scales the ranges of the joints; 0 stands still.")


class Render3dParams(DonorParams):
    """Lesions of donors on bodies; what is left out is as the preset says."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "preset": "clinical",
                    "tone": {"fitzpatrick": ["I", "III", "V"]},
                    "lesions": [1, 2],
                    "rays": 4,
                }
            ]
        }
    )

    preset: PresetName = Field("clinical", description="Sets all that is left out.")
    mode: ModeName = Field("clinical", description="What kind of photograph is taken.")
    tone: Tone = Field(
        default_factory=lambda: Tone(ita=None, fitzpatrick=FITZPATRICK, monk=None),
        description="Of skin that the skin model colours; those of a list take turns.",
    )
    sweep: bool = Field(
        False,
        description="Show every donor once on each tone of the list, all else alike.",
    )
    lesions: Annotated[tuple[_Number, _Number], AfterValidator(_ordered)] = Field(
        (1, 1), description="Lesions in a view, all of the image's class."
    )
    across_mm: (
        Literal["prior"] | Annotated[tuple[_Millimetres, _Millimetres], AfterValidator(_ordered)]
    ) = Field("prior", description="Diameters in millimetres, or those usual of the diagnosis.")
    places: Literal["prior", "even"] = Field(
        "prior",
        description="Where lesions go: as often on each part as the dataset's metadata say of the "
        "class, or evenly on all skin; without metadata evenly.",
    )
    parts: Annotated[tuple[Part, ...], Field(min_length=1), AfterValidator(_distinct)] | None = (
        Field(None, description="Body parts that may be shown; all but the head when left out.")
    )
    distance_m: Annotated[tuple[_Metres, _Metres], AfterValidator(_ordered)] | None = Field(
        None, description="From camera to skin; left out: as the mode does, which suits the lesion."
    )
    field_of_view: Annotated[tuple[_Degrees, _Degrees], AfterValidator(_ordered)] | None = Field(
        None, description="Of the shorter side, degrees; as the mode has it when left out."
    )
    around: Literal["normal", "orbit"] | None = Field(
        None, description="Look along the skin's normal, or from an orbit; the mode's own else."
    )
    min_skin: _Share | None = Field(
        None, description="Least share of the image that is skin; the mode's own when left out."
    )
    min_lesion: Annotated[float, Field(ge=0, le=0.3)] = Field(
        0.0, description="Least share of the image inside lesions."
    )
    tries: Annotated[int, Field(ge=1, le=1000)] = Field(
        120, description="Views that are tried for an image before it is an error."
    )
    rays: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="Rays to each light and to the surroundings, for every second pixel."
    )
    aspect: Literal["source", "square"] = Field(
        "source", description="Shape of an image: that of its main donor's photograph, or a square."
    )
    hair: bool = Field(True, description="Body hair.")
    blend: Literal["density", "poisson", "paste", "deep_blend"] = Field(
        "density",
        description="How a lesion is laid on: by what it absorbs beyond its own skin, by its "
        "gradients (Poisson, in log light), as it is, or by the layers of a network (slow; its "
        "weights must be on the worker).",
    )
    bodies: Literal["anny"] | Ids = Field(
        "anny", description="The parametric body, a new one for each few views, or uploaded ones."
    )
    body: BodyOptions = Field(
        default_factory=lambda: BodyOptions.model_validate({}),
        description="Of the parametric body.",
    )
    backgrounds: Literal["procedural"] | Ids = "procedural"
    views_per_body: Annotated[int, Field(ge=1, le=1000)] = Field(
        8, description="Views of a body before the next one; in each class the same bodies."
    )

    annotations: Annotated[tuple[Annotation, ...], AfterValidator(_distinct)] = Field(
        get_args(Annotation),
        description="Files kept beside each image, about 0.6 MB of 512 x 512 pixels; the lesion "
        "mask always.",
    )

    @model_validator(mode="before")
    @classmethod
    def _as_the_preset_says(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        name = given.get("preset", "clinical")
        return {**(PRESETS.get(name, {}) if isinstance(name, str) else {}), **given}

    @model_validator(mode="after")
    def _sweeps_a_list(self) -> Self:
        if self.sweep and self.tone.steps is None:
            raise ValueError("a sweep needs a list of tones: fitzpatrick or monk")
        if self.bodies != "anny" and self.body != BodyOptions.model_validate({}):
            raise ValueError("body is of the parametric body, uploaded ones are named")
        return self

    @cached_property
    def recorded(self) -> dict[str, Any]:
        """The preset, and what differs from it; boxes stand in the settings of an image."""
        usual = type(self).model_validate({"preset": self.preset}).model_dump(mode="json")
        own = self.model_dump(mode="json", exclude={"boxes"})
        return {k: v for k, v in own.items() if k == "preset" or v != usual[k]}

    @property
    def shown(self) -> tuple[str, ...]:
        """The body parts that may be shown."""
        return self.parts or tuple(part for part in PARTS if part not in FACES)

    def named_assets(self) -> dict[str, tuple[str, AssetKind]]:
        kinds: dict[str, AssetKind] = {"bodies": "body", "backgrounds": "background"}
        return {
            f"/{field}/{place}": (asset_id, kind)
            for field, kind in kinds.items()
            if not isinstance(ids := getattr(self, field), str)
            for place, asset_id in enumerate(ids)
        }
