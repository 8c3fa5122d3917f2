"""Transplant: a real lesion on other real skin; the diagnosis goes with the lesion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from core.errors import InvalidInput
from core.pointers import invalid
from core.synthesis.contract import LoadPixels, Made, Order, Source, generator
from core.synthesis.lesion_donors import DonorParams, LesionDonors, donors_of, told
from core.synthesis.pairing import Pairs, patch_side
from core.synthesis.planning import by_class, order_seed, plan_rng, take_turns

Range = tuple[float, float]


class TransplantParams(DonorParams):
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

    def named_classes(self) -> dict[str, str]:
        return {f"/healthy_classes/{n}": label for n, label in enumerate(self.healthy_classes)}

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
class Transplant(LesionDonors):
    """Lays real lesions on other real skin, in optical density, by Poisson's equation or as is."""

    def survey(self, params: TransplantParams, source: Source, load: LoadPixels) -> dict[str, Any]:
        """Find the lesion, or the free skin of an image of a class that shows none."""
        from core.synthesis.donors import healthy_facts

        if source.label in params.healthy_classes:
            return healthy_facts(load(source))
        return super().survey(params, source, load)

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
            donors = donors_of(label, classes.get(label, []))
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
        lifted = self.lesion(donor, settings["donor_box"], load)
        covered = None
        if settings["patch"] is None:
            covered = self.lesion(target, settings["target_box"], load)
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


def _settings(
    params: TransplantParams, donor: Source, target: Source, scale: float
) -> dict[str, Any]:
    """Return what the plan has decided and found out of a pair, as JSON."""
    on_patch = params.targets == "lesion_free"
    return {
        "scale": round(scale, 4),
        "patch": target.facts["free"] if on_patch else None,
        "donor_box": params.box(donor),
        "target_box": None if on_patch else params.box(target),
        "donor_mask": donor.facts["origin"],
        "donor_quality": donor.facts["quality"],
    }


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
        why = f": {told(left_out)}" if left_out else f" of {params.smallest_patch} pixels"
        raise _invalid(
            f"No image has skin that a lesion of class {label!r} can be laid on{why}", "no_targets"
        )
    return found


def _too_large(label: str, donors: int, targets: int) -> InvalidInput:
    return _invalid(
        f"None of {donors} lesions of class {label!r} fits on any of {targets} targets at the "
        f"sizes allowed; widen /generator_params/scale or choose other targets",
        "lesion_too_large",
    )


def _invalid(detail: str, code: str) -> InvalidInput:
    return invalid("/generator_params", detail, code)
