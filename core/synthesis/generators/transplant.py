"""Transplant: a real lesion on other real skin; the diagnosis goes with the lesion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from core.errors import InvalidInput
from core.pointers import escaped, invalid
from core.synthesis.contract import GeneratorParams, LoadPixels, Made, Order, Source, generator
from core.synthesis.pairing import Pairs, patch_side
from core.synthesis.planning import by_class, order_seed, plan_rng, take_turns
from core.synthesis.recent import Recent

if TYPE_CHECKING:
    from core.synthesis.segmentation import Inside

Range = tuple[float, float]
BoxField = tuple[
    Annotated[int, Field(ge=0)],
    Annotated[int, Field(ge=0)],
    Annotated[int, Field(ge=1)],
    Annotated[int, Field(ge=1)],
]

_OUTLINES = 256
"""Segmentations that are kept, 25 kB each: a donor has many images, and is segmented once."""
_REASONS = {
    "no_mask": "have no mask, and automatic masks are off",
    "empty_mask": "show no lesion",
    "low_quality": "have a mask of low quality",
    "not_skin": "show no plausible skin around the lesion",
    "no_margin": "have a lesion too near the frame",
    "too_small": "have a lesion too small",
    "too_large": "have a lesion too large",
}


class TransplantParams(GeneratorParams):
    """Which lesions go where, and how far each image varies."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "imaging": "dermoscopy",
                    "targets": "class_mates",
                    "blend": "density",
                    "scale": [0.7, 1.4],
                }
            ]
        }
    )

    imaging: Literal["dermoscopy", "clinical"] = Field(
        "dermoscopy", description="What the photographs are; decides on automatic masks."
    )
    automatic_masks: bool | None = Field(
        None,
        description="Segment images that have neither a mask nor a box. Left out: for dermoscopy "
        "only, because on clinical photographs most segmentations fail.",
    )
    boxes: dict[str, BoxField] = Field(
        default_factory=dict,
        max_length=10_000,
        description="Boxes around lesions by image id: left, top, right, bottom in pixels.",
    )
    targets: Literal["class_mates", "lesion_free"] = Field(
        "class_mates",
        description="Skin to lay a lesion on: that of images of its own class, whose lesion it "
        "covers, or areas without lesion of any image used.",
    )
    healthy_classes: tuple[str, ...] = Field(
        (), max_length=100, description="Classes that show no lesion at all: whole images of skin."
    )
    smallest_patch: int = Field(
        96, ge=32, le=4096, description="Least side of an area without lesion, in pixels."
    )
    blend: Literal["density", "poisson", "paste"] = Field(
        "density",
        description="By what the lesion absorbs beyond its skin, by its gradients (Poisson, in log "
        "light), or as it is.",
    )
    scale: Range = Field((0.7, 1.4), description="Size of a lesion over that in its own image.")
    bend: Annotated[float, Field(ge=0, le=0.1)] = Field(
        0.02, description="Random deformation of the border over the lesion's diameter."
    )
    softness: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.08, description="Width of the soft border over the lesion's diameter."
    )
    melanin: Range = Field((-0.08, 0.12), description="Melanin added to the skin, optical density.")
    blood: Range = Field((-0.04, 0.04), description="Blood added to the skin, optical density.")
    exposure: Range = Field((-0.12, 0.12), description="Natural log of the exposure's factor.")
    balance: Annotated[float, Field(ge=0, le=0.3)] = Field(
        0.03, description="Standard deviation of the white balance, natural log."
    )
    slope: Annotated[float, Field(ge=0, le=1)] = Field(
        0.08, description="Standard deviation of the light's change across the image, natural log."
    )

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name, low, high in (
            ("scale", 0.2, 5.0), ("melanin", -1.0, 2.0), ("blood", -0.5, 0.5),
            ("exposure", -1.0, 1.0),
        ):  # fmt: skip
            first, last = getattr(self, name)
            if not low <= first <= last <= high:
                raise ValueError(f"{name} is a range [low, high] within {low} to {high}")
        return self

    @cached_property
    def recorded(self) -> dict[str, Any]:
        """The parameters that are not defaults; the boxes of an image stand in its settings."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"boxes"})

    @property
    def segments(self) -> bool:
        """Whether images without mask and box are segmented."""
        if self.automatic_masks is None:
            return self.imaging == "dermoscopy"
        return self.automatic_masks

    def named_classes(self) -> dict[str, str]:
        return {f"/healthy_classes/{n}": label for n, label in enumerate(self.healthy_classes)}

    def named_images(self) -> dict[str, str]:
        return {image_id: f"/boxes/{escaped(image_id)}" for image_id in self.boxes}

    def further_classes(self) -> frozenset[str]:
        return frozenset(self.healthy_classes)


@generator(
    "transplant",
    version="1",
    params=TransplantParams,
    novelty="derivative",
    modalities=("rgb",),
    seconds=0.05,
    survey_seconds=0.08,
)
class Transplant:
    """Lays real lesions on other real skin, in optical density, by Poisson's equation or as is."""

    def __init__(self) -> None:
        self._outlines: Recent[tuple[str, Sequence[int] | None], Inside] = Recent(_OUTLINES)

    def survey(self, params: TransplantParams, source: Source, load: LoadPixels) -> dict[str, Any]:
        """Find the lesion; say whether it can be lifted off, and what its image can take."""
        from core.synthesis.donors import facts, find_lesion, healthy_facts

        if source.label in params.healthy_classes:
            return healthy_facts(load(source))
        box = params.boxes.get(source.image_id)
        with _naming(source):
            mask = None if source.mask is None else load(source.mask)
            lesion = find_lesion(load(source), mask, box, automatic=params.segments)
        return facts(load(source), lesion)

    def summary(self, sources: Sequence[Source]) -> list[str]:
        """Say of each class how many lesions can be transplanted, and why the others cannot."""
        lines = []
        for label, found in by_class(sources).items():
            reasons = Counter(s.facts["donor"] for s in found)
            usable = reasons.pop(None, 0)
            rest = f"; left out: {_told(reasons)}" if reasons else ""
            lines.append(f"{label}: {usable} of {len(found)} images give a lesion{rest}")
        return lines

    def plan(
        self,
        params: TransplantParams,
        sources: Sequence[Source],
        counts: Mapping[str, int],
        seed: int,
    ) -> list[Order]:
        """Give every donor of a class its turn, each time on a target that has room for it.

        InvalidInput ``no_donors``, ``no_targets`` or ``lesion_too_large``.
        """
        classes = by_class(sources)
        orders: list[Order] = []
        for label in sorted(label for label, count in counts.items() if count):
            rng = plan_rng(seed, label)
            donors = _donors(label, classes.get(label, []))
            targets = _targets(params, label, classes, sources)
            pairs = Pairs(params, donors, targets)
            if not pairs.donors:
                raise _too_large(label, len(donors), len(targets))
            for position, donor in enumerate(take_turns(pairs.donors, counts[label], rng)):
                target, scale = pairs.draw(donor, rng)
                orders.append(
                    Order(
                        index=len(orders),
                        label=label,
                        parents=(donor, target),
                        seed=order_seed(seed, label, position),
                        settings={"position": position} | _settings(params, donor, target, scale),
                    )
                )
        return orders

    def make(self, params: TransplantParams, order: Order, load: LoadPixels) -> Made:
        """Lift the donor's lesion and lay it on the target's skin."""
        import numpy as np

        from core.synthesis.transplanting import draw, transplant

        donor, target = order.parents
        settings = order.settings
        recorded = order.settings.get("recorded")
        drawn = (
            draw(params, settings, np.random.default_rng(order.seed))
            if recorded is None
            else recorded["drawn"]
        )
        lifted = self._lesion(donor, settings["donor_box"], load)
        covered = None
        if settings["patch"] is None:
            covered = self._lesion(target, settings["target_box"], load)
        pixels, mask = transplant(
            load(donor), lifted, load(target), covered, settings, drawn, params.blend
        )
        provenance = {
            "blend": params.blend,
            "drawn": drawn,
            "operations": [
                {"op": "transplant", "factor": settings["scale"]},
                {"op": "turn", "degrees": drawn["degrees"]},
            ],
        }
        return Made(pixels, provenance, None, {"mask": mask})

    def _lesion(self, source: Source, box: Sequence[int] | None, load: LoadPixels) -> Inside:
        """Return where the lesion is that the survey has found."""
        from core.synthesis.segmentation import at_size, outline

        if source.mask is not None:
            from core.synthesis.donors import supplied

            return supplied(load(source), load(source.mask))
        prompt = None if box is None else (box[0], box[1], box[2], box[3])
        pixels = load(source)
        small = self._outlines.get((source.sha256, prompt), lambda: outline(pixels, prompt))
        return at_size(small, pixels.shape[1], pixels.shape[0])


def _settings(
    params: TransplantParams, donor: Source, target: Source, scale: float
) -> dict[str, Any]:
    """Return what the plan has decided and found out of a pair, as JSON."""
    on_patch = params.targets == "lesion_free"
    return {
        "scale": round(scale, 4),
        "patch": target.facts["free"] if on_patch else None,
        "donor_box": _listed(params.boxes.get(donor.image_id)),
        "target_box": None if on_patch else _listed(params.boxes.get(target.image_id)),
        "donor_mask": donor.facts["origin"],
        "donor_quality": donor.facts["quality"],
    }


@contextmanager
def _naming(source: Source) -> Iterator[None]:
    """Say of which image an error is."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"Image {source.image_id}: {error.detail}", code=error.code) from None


def _donors(label: str, sources: Sequence[Source]) -> list[Source]:
    found = [s for s in sources if s.facts["donor"] is None]
    if not found:
        left_out = Counter(s.facts["donor"] for s in sources)
        raise _invalid(
            f"No image of class {label!r} gives a lesion to transplant: {_told(left_out)}. Upload "
            f"masks (layout masks), or name boxes in /generator_params/boxes",
            "no_donors",
        )
    return found


def _targets(
    params: TransplantParams,
    label: str,
    classes: Mapping[str, Sequence[Source]],
    sources: Sequence[Source],
) -> list[Source]:
    if params.targets == "class_mates":
        mates = classes.get(label, [])
        found = [s for s in mates if s.facts["target"] is None]
        if len(found) < 2 and len(mates) < 2:
            raise _invalid(
                f"Class {label!r} has one image, so its lesion has no class mate to go to; use "
                f"targets lesion_free",
                "no_targets",
            )
        left_out = Counter(s.facts["target"] for s in mates)
    else:
        ordered = [s for group in by_class(sources).values() for s in group]
        found = [s for s in ordered if patch_side(s) >= params.smallest_patch]
        left_out = Counter()
    if not found:
        why = f": {_told(left_out)}" if left_out else f" of {params.smallest_patch} pixels"
        raise _invalid(
            f"No image has skin that a lesion of class {label!r} can be laid on{why}", "no_targets"
        )
    return found


def _told(left_out: Counter[str]) -> str:
    parts = [f"{n} {_REASONS[reason]}" for reason, n in left_out.most_common() if reason]
    return ", ".join(parts) or "there are none"


def _too_large(label: str, donors: int, targets: int) -> InvalidInput:
    return _invalid(
        f"None of {donors} lesions of class {label!r} fits on any of {targets} targets at the "
        f"sizes allowed; widen /generator_params/scale or choose other targets",
        "lesion_too_large",
    )


def _listed(box: Sequence[int] | None) -> list[int] | None:
    return None if box is None else list(box)


def _invalid(detail: str, code: str) -> InvalidInput:
    return invalid("/generator_params", detail, code)
