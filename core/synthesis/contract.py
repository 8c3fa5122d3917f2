"""What a generator is: pure functions from sources to images, and the registry of them.

A generator is one file in ``core/synthesis/generators`` with one class::

    @generator("augment", params=AugmentParams, novelty="derivative", modalities=("rgb", "grey"))
    class Augment: ...

Generators see arrays and dataclasses only: no database, no settings, no job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from core.manifest import Modality
from core.registry import Registry

Pixels = NDArray[np.uint8]
"""H x W x 3 (sRGB) or H x W (grey), 0..255."""

Novelty = Literal["derivative", "novel"]


@dataclass(frozen=True, slots=True)
class Source:
    """A real image that a generator may draw from."""

    image_id: str
    sha256: str
    label: str
    group_ids: tuple[str, ...]
    width: int
    height: int
    modality: Modality
    media_type: str = "image/png"
    """How its blob is encoded; an image is stored as its main source is."""
    mask_sha256: str | None = None
    """The blob of the lesion mask that came with the image."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What a generator's survey has found out about it; empty without a survey."""

    @property
    def mask(self) -> Source | None:
        """The mask as a source of pixels, H x W grey; None without one."""
        if self.mask_sha256 is None:
            return None
        return replace(self, sha256=self.mask_sha256, mask_sha256=None, modality="grey", facts={})


@dataclass(frozen=True, slots=True)
class Order:
    """One image to be made; the whole list is planned before the first pixel.

    index counts within the whole plan and is the image's name; parents are the real images it may
    use, the first one the main source; seed is its own 64-bit seed. Whoever makes it, and in which
    shard, an order gives the same bytes.
    """

    index: int
    label: str
    parents: tuple[Source, ...]
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """A synthetic image and how it was made.

    provenance is JSON and replays the image together with the order: the operations with every
    drawn number. transform is the 3 x 3 matrix that maps source pixel coordinates (x, y, 1) of the
    first parent (pixel centres at integers) to coordinates in this image; None when no matrix does.
    annotations are masks by name (``mask`` is the lesion), H x W, 0 or 255.
    """

    pixels: Pixels
    provenance: dict[str, Any]
    transform: NDArray[np.float64] | None
    annotations: Mapping[str, Pixels] = field(default_factory=dict)


LoadPixels = Callable[[Source], Pixels]


class GeneratorParams(BaseModel):
    """Base of the parameters of all generators: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @cached_property
    def recorded(self) -> dict[str, Any]:
        """The parameters that are not defaults, as JSON: they stand in every provenance."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def named_classes(self) -> dict[str, str]:
        """Return the class labels that the parameters name, by JSON pointer within them."""
        return {}

    def further_classes(self) -> frozenset[str]:
        """Return classes whose images are drawn from besides those that images are made of."""
        return frozenset()

    def named_images(self) -> dict[str, str]:
        """Return JSON pointers within the parameters to the images that they name, by image id."""
        return {}


class Generator(Protocol):
    """Plans orders and makes them; both are deterministic.

    A made image replays from its order and its provenance: ``make`` takes what it had drawn from
    ``order.settings["recorded"]`` (the provenance of the first making) instead of drawing it anew.
    """

    def plan(
        self, params: Any, sources: Sequence[Source], counts: Mapping[str, int], seed: int
    ) -> list[Order]:
        """Return exactly ``counts[label]`` orders a label; InvalidInput when it cannot."""

    def make(self, params: Any, order: Order, load: LoadPixels) -> Made:
        """Make one image."""


@runtime_checkable
class Surveying(Protocol):
    """A generator whose plan depends on what is in the images.

    Every source is surveyed once, in any order and on any worker, before ``plan``, which then finds
    the answer in ``Source.facts``.
    """

    def survey(self, params: Any, source: Source, load: LoadPixels) -> dict[str, Any]:
        """Return what the plan must know of a source, as JSON; never empty."""

    def summary(self, sources: Sequence[Source]) -> list[str]:
        """Say in a line a class what was found, and what is left out why."""


@dataclass(frozen=True, slots=True)
class GeneratorSpec:
    """A registered generator; version enters provenance, so that a change of pixels shows."""

    name: str
    version: str
    params: type[GeneratorParams]
    novelty: Novelty
    modalities: tuple[Modality, ...]
    instance: Generator
    summary: str
    seconds: float = 0.006
    """Processor seconds that an image takes, measured on JPEG of 224 pixels."""
    survey_seconds: float = 0.0
    """The same of a source that is surveyed."""


GENERATORS: Registry[GeneratorSpec] = Registry("generator", "core.synthesis.generators")

G = TypeVar("G", bound=type[Any])


def generator(
    name: str,
    *,
    version: str,
    params: type[GeneratorParams],
    novelty: Novelty,
    modalities: tuple[Modality, ...],
    seconds: float = 0.006,
    survey_seconds: float = 0.0,
) -> Callable[[G], G]:
    """Register a class as a generator; its docstring's first line is the summary."""

    def register(cls: G) -> G:
        summary = (cls.__doc__ or "").strip().splitlines()[0]
        spec = GeneratorSpec(
            name, version, params, novelty, modalities, cls(), summary, seconds, survey_seconds
        )
        GENERATORS.add(name, spec)
        return cls

    return register
