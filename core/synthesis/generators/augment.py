"""Augmentation: a real image, flipped, turned, zoomed, recoloured; the label stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import ConfigDict, Field

from core.errors import InvalidInput
from core.manifest import Modality
from core.pointers import escaped, invalid
from core.synthesis.contract import (
    GeneratorParams,
    LoadPixels,
    Made,
    Order,
    Source,
    generator,
)
from core.synthesis.planning import (
    by_class,
    plan_orders,
    plan_rng,
    take_random,
    take_turns,
)
from core.synthesis.policy import Policy, default_operations, unsuited

if TYPE_CHECKING:
    import numpy as np

_MAX_SIDE = 32_766  # the longest side that OpenCV warps


class AugmentParams(GeneratorParams):
    """What to do to a real image."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "policy": "default",
                    "per_class": {
                        "mel": [
                            {"op": "flip"},
                            {"op": "rotate", "degrees": [-90, 90], "border": "reflect"},
                            {"op": "brightness", "factor": [0.9, 1.1], "probability": 0.5},
                        ]
                    },
                }
            ]
        }
    )

    policy: Policy = Field(
        "default",
        description="A built-in policy, or operations that are applied in this order. "
        "seed_generate and seed_augment apply the operations of the course project in turn.",
    )
    per_class: dict[str, Policy] = Field(
        default_factory=dict, description="Policies of single classes, instead of `policy`."
    )
    quality: Literal["standard", "high"] = Field(
        "standard", description="Interpolation: bilinear, or bicubic at half the speed."
    )

    def policy_of(self, label: str) -> Any:
        return self.per_class.get(label, self.policy)

    def named_classes(self) -> dict[str, str]:
        return {f"/per_class/{escaped(label)}": label for label in self.per_class}


@generator(
    "augment", version="1", params=AugmentParams, novelty="derivative", modalities=("rgb", "grey")
)
class Augment:
    """Changes real images by flips, turns, zoom, colour, blur and elastic deformation."""

    def plan(
        self,
        params: AugmentParams,
        sources: Sequence[Source],
        counts: Mapping[str, int],
        seed: int,
    ) -> list[Order]:
        """Give every real image of a class its turn; the seed's policies draw at random instead."""
        classes = by_class(sources)
        chosen: dict[str, list[Source]] = {}
        for label, count in counts.items():
            if not count:
                continue
            if label not in classes:
                raise InvalidInput(
                    f"Class {label!r} has no usable real image to start from", code="no_sources"
                )
            policy = params.policy_of(label)
            _require_suited(params, label, classes[label])
            take = take_random if policy in ("seed_generate", "seed_augment") else take_turns
            chosen[label] = take(classes[label], count, plan_rng(seed, label))
        return plan_orders(chosen, seed)

    def make(self, params: AugmentParams, order: Order, load: LoadPixels) -> Made:
        """Apply the policy of the order's class to its source."""
        import numpy as np

        from core.synthesis.operations import apply

        source = order.parents[0]
        policy = params.policy_of(order.label)
        recorded = order.settings.get("recorded")
        if recorded is None:
            rng = np.random.default_rng(order.seed)
            steps = _draw(policy, source.modality, order.settings["position"], rng)
        else:
            steps = recorded["operations"]
        pixels, matrix = apply(load(source), steps, params.quality)
        name = policy if isinstance(policy, str) else "custom"
        return Made(pixels, {"policy": name, "operations": steps}, matrix)


def _draw(
    policy: Any, modality: Modality, position: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    from core.synthesis import operations, seed_steps

    if policy in seed_steps.SEQUENCES:
        names = seed_steps.sequence(policy, modality)
        return [seed_steps.draw(names[position % len(names)], rng)]
    chosen = default_operations(modality) if policy == "default" else policy
    return operations.draw(chosen, rng)


def _require_suited(params: AugmentParams, label: str, sources: Sequence[Source]) -> None:
    """Refuse operations that a modality has no meaning for, and images too long to warp."""
    pointer = f"/per_class/{escaped(label)}" if label in params.per_class else "/policy"
    pointer = f"/generator_params{pointer}"
    policy = params.policy_of(label)
    for modality in get_args(Modality):
        if isinstance(policy, str) or all(s.modality != modality for s in sources):
            continue
        position = unsuited(policy, modality)
        if position is not None:
            detail = f"{policy[position].op!r} has no meaning for {modality} images of {label!r}"
            raise invalid(f"{pointer}/{position}", detail, "unsuited_operation")
    for source in sources:
        if max(source.width, source.height) > _MAX_SIDE:
            raise InvalidInput(
                f"Image {source.image_id} is {source.width} x {source.height} pixels; a side of "
                f"at most {_MAX_SIDE} can be augmented",
                code="image_too_large",
            )
