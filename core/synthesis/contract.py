"""What a generator is: pure functions from sources to images, and the registry of them.

A generator is one file in ``core/synthesis/generators`` with one class::

    @generator("augment", params=AugmentParams, novelty="derivative", modalities=("rgb", "grey"))
    class Augment: ...

Generators see arrays and dataclasses only: no database, no settings, no job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from core.assets import AssetKind
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
    localization: str | None = None
    """Where on the body it was taken, in the dataset's words."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What a generator's survey has found out about it; empty without a survey."""

    @property
    def mask(self) -> Source | None:
        """The mask as a source of pixels, H x W grey; None without one."""
        if self.mask_sha256 is None:
            return None
        return replace(self, sha256=self.mask_sha256, mask_sha256=None, modality="grey", facts={})


@dataclass(frozen=True, slots=True)
class Asset:
    """What someone uploaded to render with: its files by name as blob hashes.

    A plan names an asset by id and kind alone; its files, its groups and where they are read are
    known when an image is made.
    """

    id: str
    kind: AssetKind
    files: Mapping[str, str] = field(default_factory=dict)
    group_ids: tuple[str, ...] = ()
    find: Callable[[str], Path] | None = field(default=None, repr=False, compare=False)

    def path(self, name: str) -> Path | None:
        """Return where a file lies; None when the asset has none of that name."""
        if name not in self.files:
            return None
        if self.find is None:
            raise ValueError(f"nobody said where the files of asset {self.id} are")
        return self.find(self.files[name])


@dataclass(frozen=True, slots=True)
class Order:
    """One image to be made; the whole list is planned before the first pixel.

    index counts within the whole plan and is the image's name; parents are the real images it may
    use, the first one the main source; seed is its own 64-bit seed; assets are what it is rendered
    with. Orders of the same ``shared`` need something that is dear to make, and are made one after
    another. Whoever makes it, and in which shard, an order gives the same bytes.
    """

    index: int
    label: str
    parents: tuple[Source, ...]
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)
    assets: tuple[Asset, ...] = ()
    shared: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """A synthetic image and how it was made.

    provenance is JSON and replays the image together with the order: the operations with every
    drawn number. transform is the 3 x 3 matrix that maps source pixel coordinates (x, y, 1) of the
    first parent (pixel centres at integers) to coordinates in this image; None when no matrix does.
    annotations are, by name, masks (``mask`` is the lesion), H x W, 0 or 255, or files that are
    stored as they are and fit the pixels as they are.
    """

    pixels: Pixels
    provenance: dict[str, Any]
    transform: NDArray[np.float64] | None
    annotations: Mapping[str, Pixels | bytes] = field(default_factory=dict)


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

    def named_assets(self) -> dict[str, tuple[str, AssetKind]]:
        """Return id and kind of the assets that the parameters name, by JSON pointer."""
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
class Workplace:
    """What a generator may need of the machine that it works on."""

    weights_dir: Path


@runtime_checkable
class Situated(Protocol):
    """A generator that uses what only some machines have."""

    def at(self, place: Workplace) -> Generator:
        """Return the same generator for a machine."""


@runtime_checkable
class Costing(Protocol):
    """A generator whose images differ in what they take."""

    def seconds(self, params: Any, side: int) -> float:
        """Return the processor seconds of an image with ``side`` pixels on its longer side."""


@runtime_checkable
class Reporting(Protocol):
    """A generator with something to say about what was made."""

    def report(self, made: Iterable[Mapping[str, Any]]) -> list[str]:
        """Sum up in lines what the provenances of all images of a job tell."""


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
    start_seconds: float = 0.0
    """The same of what a job does before its first image."""
    side: int | None = None
    """Pixels on the longer side when nothing else is asked for, of a generator that makes images
    of any size: it finds the size asked for in ``Order.settings["side"]``, and nothing is resized.
    None: images are as large as their sources, and resized."""
    needs: tuple[str, ...] = ()
    """Modules that it cannot do without, of ``extra``."""
    extra: str = "worker"

    def at(self, place: Workplace) -> GeneratorSpec:
        """Return the generator for a machine."""
        if isinstance(self.instance, Situated):
            return replace(self, instance=self.instance.at(place))
        return self

    def image_seconds(self, params: GeneratorParams, resolution: int | None) -> float:
        """Return the processor seconds that an image takes."""
        if isinstance(self.instance, Costing) and self.side is not None:
            return self.instance.seconds(params, resolution or self.side)
        return self.seconds


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
    start_seconds: float = 0.0,
    side: int | None = None,
    needs: tuple[str, ...] = (),
    extra: str = "worker",
) -> Callable[[G], G]:
    """Register a class as a generator; its docstring's first line is the summary."""

    def register(cls: G) -> G:
        summary = (cls.__doc__ or "").strip().splitlines()[0]
        spec = GeneratorSpec(
            name=name,
            version=version,
            params=params,
            novelty=novelty,
            modalities=modalities,
            instance=cls(),
            summary=summary,
            seconds=seconds,
            survey_seconds=survey_seconds,
            start_seconds=start_seconds,
            side=side,
            needs=needs,
            extra=extra,
        )
        GENERATORS.add(name, spec)
        return cls

    return register
