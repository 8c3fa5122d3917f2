"""Render3d: real lesions on bodies of any skin tone, ray traced, with every label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from core.synthesis.contract import LoadPixels, Made, Order, Source, Workplace, generator
from core.synthesis.lesion_donors import LesionDonors
from core.synthesis.recent import Recent
from core.synthesis.render3d.params import Render3dParams
from core.synthesis.render3d.plan import plan_views

if TYPE_CHECKING:
    from core.rendering.lesions import Lesion
    from core.synthesis.render3d.bodies import Bodies

_LIFTED = 8
"""Lesions that are kept as they were lifted, some MB each: in a sweep one is shown many times."""
_SECONDS = (0.06, 0.47, 0.11, 0.45)
"""Processor seconds: of an image whatever its size; of one of 512 x 512 without rays, of each ray;
of a body."""
_DEEP_SECONDS = 120.0
"""Of a lesion that a network blends, 50 to 250 by its size."""


@generator(
    "render3d",
    version="1",
    params=Render3dParams,
    novelty="derivative",
    modalities=("rgb",),
    survey_seconds=0.08,
    start_seconds=6.0,
    side=512,
    needs=("anny", "warp"),
    extra="render",
)
class Render3d(LesionDonors):
    """Lays real lesions on bodies of every skin tone and renders them with depth, parts, masks."""

    def __init__(self, weights_dir: Path | None = None) -> None:
        super().__init__()
        self._weights_dir = weights_dir
        self._lifted: Recent[tuple[Any, ...], Lesion] = Recent(_LIFTED)
        self._made_bodies: Bodies | None = None
        self._lock = Lock()

    def at(self, place: Workplace) -> Render3d:
        """Return the generator for a machine: ``deep_blend`` needs the weights of a network."""
        return Render3d(place.weights_dir)

    def plan(
        self,
        params: Render3dParams,
        sources: Sequence[Source],
        counts: Mapping[str, int],
        seed: int,
    ) -> list[Order]:
        """Give every donor of a class its turn; InvalidInput ``no_donors``."""
        return plan_views(params, sources, counts, seed)

    def make(self, params: Render3dParams, order: Order, load: LoadPixels) -> Made:
        """Lay the donors' lesions on the order's body and take its photograph.

        Everything is drawn from the order's seed, so a replay draws the same.
        """
        from core.synthesis.render3d.making import make_view

        lesions = [self._lesion(params, order, one, load) for one in order.settings["lesions"]]
        sites = self._bodies().sites(params, order)
        return make_view(params, order, sites, lesions, self._weights_dir)

    def seconds(self, params: Render3dParams, side: int) -> float:
        """Return the processor seconds of an image, its share of a body included."""
        base, pixels, ray, body = _SECONDS
        area = (side / 512) ** 2
        shown = params.views_per_body * (len(params.tone.steps or ()) if params.sweep else 1)
        deep = _DEEP_SECONDS * sum(params.lesions) / 2 if params.blend == "deep_blend" else 0.0
        return base + area * (pixels + ray * params.rays) + body / shown + deep

    def report(self, made: Iterable[Mapping[str, Any]]) -> list[str]:
        """Sum up which views and places were refused, and on how much of the body lesions went."""
        refused: dict[str, Counter[str]] = {"views": Counter(), "places": Counter()}
        placed: Counter[str] = Counter()
        for one in made:
            for kind, counts in one["refused"].items():
                refused[kind].update(counts)
            placed[one["places"]] += 1
        lines = [
            f"{kind.capitalize()} refused and drawn again: {_listed(counts)}"
            for kind, counts in refused.items()
        ]
        return [*lines, f"Body parts chosen: {_listed(placed)}"]

    def _bodies(self) -> Bodies:
        """Return the bodies; what renders is imported when the first one is needed."""
        with self._lock:
            if self._made_bodies is None:
                from core.synthesis.render3d.bodies import Bodies

                self._made_bodies = Bodies()
            return self._made_bodies

    def _lesion(
        self, params: Render3dParams, order: Order, one: Mapping[str, Any], load: LoadPixels
    ) -> Lesion:
        from core.rendering.lesions import lifted

        donor, box = order.parents[one["parent"]], one["box"]

        def lift() -> Lesion:
            return lifted(load(donor), self.lesion(donor, box, load), 1.0)

        key = (donor.sha256, donor.mask_sha256, tuple(box or ()))
        return replace(self._lifted.get(key, lift), across=one["across_mm"] * 1e-3)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "none"
