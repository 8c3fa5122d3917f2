"""Which donors go on which body in which tone: all that a plan decides, before any ray."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.synthesis.contract import Asset, Order, Source
from core.synthesis.lesion_donors import donors_of
from core.synthesis.planning import by_class, key_digest, order_seed, plan_rng, take_turns
from core.synthesis.render3d.params import Render3dParams
from core.synthesis.render3d.places import prior

if TYPE_CHECKING:
    import numpy as np

_DIGITS = 4


def plan_views(
    params: Render3dParams, sources: Sequence[Source], counts: Mapping[str, int], seed: int
) -> list[Order]:
    """Give every donor of a class its turn; in a sweep on each tone of the list.

    Bodies follow each other every ``views_per_body`` scenes, the same ones in each class, so that
    no body tells the class. InvalidInput ``no_donors``.
    """
    classes = by_class(sources)
    orders: list[Order] = []
    for label in sorted(label for label, count in counts.items() if count):
        own = classes.get(label, [])
        orders += _of_class(
            params, label, own, range(len(orders), len(orders) + counts[label]), seed
        )
    return orders


def _of_class(
    params: Render3dParams, label: str, own: Sequence[Source], indices: range, seed: int
) -> list[Order]:
    rng = plan_rng(seed, label)
    donors = _clear(donors_of(label, own))
    shares = _shares(params, own)
    steps = len(params.tone.steps or ()) if params.sweep else 1
    orders: list[Order] = []
    for number, donor in enumerate(take_turns(donors, -(-len(indices) // steps), rng)):
        parents, scene = _scene(params, donor, donors, rng)
        if shares is not None:
            scene |= {"shares": shares}
        if params.sweep:
            scene |= {"scene": order_seed(seed, label, number * steps)}
        body, assets, shared = _body(params, number // params.views_per_body, seed)
        assets += _background(params, rng)
        for step in range(min(steps, len(indices) - len(orders))):
            # every donor has another tone in each of its turns
            turn = step if params.sweep else number % len(donors) + number // len(donors)
            position = len(orders)
            orders.append(
                Order(
                    index=indices[position],
                    label=label,
                    parents=parents,
                    seed=order_seed(seed, label, position),
                    settings={"position": position} | scene | body | _tone(params, turn, rng),
                    assets=assets,
                    shared=shared,
                )
            )
    return orders


def _clear(donors: Sequence[Source]) -> list[Source]:
    """Return the donors without hairs, or the least hairy ones while these are too few."""
    import numpy as np

    from core.synthesis.pairing import clear_first

    hair = np.array([donor.facts["hair"] for donor in donors])
    return [donors[place] for place in sorted(clear_first(hair).tolist())]


def _shares(params: Render3dParams, own: Sequence[Source]) -> dict[str, float] | None:
    """Return how often each body part is looked at, after the class's metadata; None: evenly."""
    if params.places == "even":
        return None
    return prior((source.localization for source in own), params.shown)


def _scene(
    params: Render3dParams, main: Source, donors: Sequence[Source], rng: np.random.Generator
) -> tuple[tuple[Source, ...], dict[str, Any]]:
    """Draw the lesions of one view: its donors, the main one first, and how large each is."""
    low, high = params.lesions
    further = int(rng.integers(low, high + 1)) - 1
    shown = [main]
    if further:
        others = [donor for donor in donors if donor is not main] or [main]
        chosen = rng.choice(len(others), further, replace=further > len(others))
        shown += [others[int(place)] for place in chosen]
    parents = [donor for place, donor in enumerate(shown) if donor not in shown[:place]]
    lesions = [
        {
            "parent": parents.index(donor),
            "across_mm": _across(params, donor.label, rng),
            "box": params.box(donor),
            "mask": donor.facts["origin"],
            "quality": donor.facts["quality"],
        }
        for donor in shown
    ]
    return tuple(parents), {"lesions": lesions}


def _across(params: Render3dParams, label: str, rng: np.random.Generator) -> float:
    if params.across_mm == "prior":
        from core.rendering.sizes import draw_across

        return round(1e3 * draw_across(label, rng), _DIGITS)
    low, high = params.across_mm
    return round(math.exp(rng.uniform(math.log(low), math.log(high))), _DIGITS)


def _body(
    params: Render3dParams, number: int, seed: int
) -> tuple[dict[str, Any], tuple[Asset, ...], str]:
    """Return settings, asset and name of the ``number``-th body."""
    if params.bodies == "anny":
        drawn = int.from_bytes(key_digest("body", seed, number)[:8], "big")
        return {"body": drawn}, (), f"body {number:09d}"
    asset_id = params.bodies[number % len(params.bodies)]
    return {"body": None}, (Asset(asset_id, "body"),), asset_id


def _background(params: Render3dParams, rng: np.random.Generator) -> tuple[Asset, ...]:
    if params.backgrounds == "procedural":
        return ()
    chosen = params.backgrounds[int(rng.integers(len(params.backgrounds)))]
    return (Asset(chosen, "background"),)


def _tone(params: Render3dParams, turn: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return the tone of an image by its name and its ITA, degrees."""
    from core.rendering.tone import FITZPATRICK, ITA, monk_range

    tone = params.tone
    if tone.ita is not None:
        name, (low, high) = "ita", tone.ita
    elif tone.fitzpatrick is not None:
        kind = tone.fitzpatrick[turn % len(tone.fitzpatrick)]
        name, (low, high) = f"fitzpatrick {kind}", FITZPATRICK[kind]
    else:
        step = (tone.monk or (1,))[turn % len(tone.monk or (1,))]
        name, (low, high) = f"monk {step}", monk_range(step)
    drawn = float(rng.uniform(max(low, ITA[0]), min(high, ITA[1])))
    return {"tone": name, "ita": round(drawn, _DIGITS)}
