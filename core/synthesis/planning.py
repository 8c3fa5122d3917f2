"""How many images each class needs, and which real image each of them starts from.

Plans depend on the seed and on what images are, never on their ids, on the order of rows or on
other classes; so the same seed gives the same plan wherever it is made.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from statistics import median_high
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.errors import InvalidInput, UnknownName
from core.manifest import canonical_json
from core.pointers import escaped, invalid

if TYPE_CHECKING:
    import numpy as np

    from core.synthesis.contract import Order, Source

MAX_IMAGES = 1_000_000
"""Most images of one plan."""

Count = Annotated[int, Field(ge=0, le=MAX_IMAGES)]


class Balance(BaseModel):
    """Fill classes up to the size of the largest class, of the median one, or to a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    target: Literal["max", "median"] | Count = "max"
    classes: tuple[str, ...] | None = Field(
        None, min_length=1, description="Only these classes; all when left out."
    )
    max_per_real: float | None = Field(
        None, gt=0, le=1000, description="At most this many synthetic images per real image."
    )


def balance_counts(classes: Mapping[str, int], balance: Balance) -> dict[str, int]:
    """Return how many images to make for each class that needs some.

    ``classes`` are the numbers of usable real images. A class without any is left out, or, when
    ``balance`` names it, InvalidInput ``no_sources``; others: ``unknown_class``,
    ``nothing_to_synthesize``, ``too_many_images``.
    """
    chosen = list(dict.fromkeys(balance.classes)) if balance.classes is not None else None
    for position, label in enumerate(chosen or ()):
        _require_known(label, classes, f"/balance/classes/{position}")
        if not classes[label]:
            raise _no_sources(label, f"/balance/classes/{position}")
    sizes = {label: count for label, count in classes.items() if count}
    target = _target(list(sizes.values()), balance.target)
    counts = {}
    for label in sorted(chosen if chosen is not None else sizes):
        missing = max(0, target - sizes[label])
        if balance.max_per_real is not None:
            missing = min(missing, math.floor(balance.max_per_real * sizes[label] + 1e-9))
        if missing:
            counts[label] = missing
    return _bounded(counts, "/balance")


def explicit_counts(classes: Mapping[str, int], counts: Mapping[str, int]) -> dict[str, int]:
    """Check numbers given per class and return those above zero; errors as in balance_counts."""
    for label, count in counts.items():
        here = f"/counts/{escaped(label)}"
        _require_known(label, classes, here)
        if count < 0:
            raise invalid(here, "A number of images cannot be negative")
        if count and not classes[label]:
            raise _no_sources(label, here)
    return _bounded({label: counts[label] for label in sorted(counts) if counts[label]}, "/counts")


def key_digest(*key: int | str) -> bytes:
    """Return 32 bytes that depend on the key alone."""
    return hashlib.sha256(canonical_json(list(key)).encode()).digest()


def order_seed(seed: int, label: str, position: int) -> int:
    """Return the 64-bit seed of the ``position``-th image of a class."""
    return int.from_bytes(key_digest("order", seed, label, position)[:8], "big")


def plan_rng(seed: int, label: str) -> np.random.Generator:
    """Return the generator that the plan of one class draws from."""
    import numpy as np

    return np.random.default_rng(int.from_bytes(key_digest("plan", seed, label), "big"))


def by_class(sources: Iterable[Source]) -> dict[str, list[Source]]:
    """Group sources by label, in an order that depends on their bytes alone."""
    found: dict[str, list[Source]] = {}
    for source in sorted(sources, key=lambda s: (s.label, s.sha256, s.image_id)):
        found.setdefault(source.label, []).append(source)
    return found


def take_turns(sources: Sequence[Source], count: int, rng: np.random.Generator) -> list[Source]:
    """Return ``count`` sources: a shuffled round after another, so use differs by one at most."""
    shuffled = [sources[int(place)] for place in rng.permutation(len(sources))]
    return [shuffled[position % len(shuffled)] for position in range(count)]


def take_random(sources: Sequence[Source], count: int, rng: np.random.Generator) -> list[Source]:
    """Return ``count`` sources, each drawn from all of them."""
    return [sources[int(place)] for place in rng.integers(0, len(sources), count)]


def plan_orders(chosen: Mapping[str, Sequence[Source]], seed: int) -> list[Order]:
    """Turn the main source of every image into orders, class after class in order of names.

    Their settings hold ``position``, the place in the class.
    """
    from core.synthesis.contract import Order

    orders: list[Order] = []
    for label in sorted(chosen):
        for position, source in enumerate(chosen[label]):
            orders.append(
                Order(
                    index=len(orders),
                    label=label,
                    parents=(source,),
                    seed=order_seed(seed, label, position),
                    settings={"position": position},
                )
            )
    return orders


def preview(orders: Sequence[Order], limit: int) -> list[Order]:
    """Return the first ``limit`` orders, class by class in turn; they keep index and seed."""
    found: dict[str, list[Order]] = {}
    for order in orders:
        found.setdefault(order.label, []).append(order)
    in_turn = chain.from_iterable(zip_longest(*found.values()))
    chosen = [order for order in in_turn if order is not None][:limit]
    return sorted(chosen, key=lambda order: order.index)


def _target(sizes: list[int], target: Literal["max", "median"] | int) -> int:
    if isinstance(target, int):
        return target
    if not sizes:
        return 0
    return max(sizes) if target == "max" else median_high(sizes)


def _bounded(counts: dict[str, int], pointer: str) -> dict[str, int]:
    total = sum(counts.values())
    if not total:
        raise invalid(
            pointer,
            "There is nothing to synthesize: every class already has what was asked for",
            "nothing_to_synthesize",
        )
    if total > MAX_IMAGES:
        raise invalid(
            pointer, f"{total} images are more than {MAX_IMAGES} in one job", "too_many_images"
        )
    return counts


def _require_known(label: str, classes: Mapping[str, int], pointer: str) -> None:
    if label not in classes:
        raise UnknownName("class", label, classes, pointer)


def _no_sources(label: str, pointer: str) -> InvalidInput:
    return invalid(pointer, f"Class {label!r} has no usable real image to start from", "no_sources")
