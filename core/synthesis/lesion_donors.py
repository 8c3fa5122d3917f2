"""What generators share that take lesions from donors: which images give one, and where it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from core.errors import InvalidInput
from core.pointers import escaped, invalid
from core.synthesis.contract import GeneratorParams, LoadPixels, Source
from core.synthesis.planning import by_class
from core.synthesis.recent import Recent

if TYPE_CHECKING:
    from core.synthesis.segmentation import Inside

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


class DonorParams(GeneratorParams):
    """How lesions are found on their own images."""

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

    def named_images(self) -> dict[str, str]:
        return {image_id: f"/boxes/{escaped(image_id)}" for image_id in self.boxes}

    def box(self, source: Source) -> list[int] | None:
        """Return the box around an image's lesion as its settings keep it; None without one."""
        found = self.boxes.get(source.image_id)
        return None if found is None else list(found)


class LesionDonors:
    """Base of a generator that takes lesions from donors: it looks at every source first."""

    def __init__(self) -> None:
        self._outlines: Recent[tuple[str, Sequence[int] | None], Inside] = Recent(_OUTLINES)

    def survey(self, params: Any, source: Source, load: LoadPixels) -> dict[str, Any]:
        """Find the lesion; say whether it can be lifted off, and what its image can take."""
        from core.synthesis.donors import facts, find_lesion

        box = params.boxes.get(source.image_id)
        with _naming(source):
            mask = None if source.mask is None else load(source.mask)
            lesion = find_lesion(load(source), mask, box, automatic=params.segments)
        return facts(load(source), lesion)

    def summary(self, sources: Sequence[Source]) -> list[str]:
        """Say of each class how many lesions can be taken, and why the others cannot."""
        lines = []
        for label, found in by_class(sources).items():
            reasons = Counter(s.facts["donor"] for s in found)
            usable = reasons.pop(None, 0)
            rest = f"; left out: {told(reasons)}" if reasons else ""
            lines.append(f"{label}: {usable} of {len(found)} images give a lesion{rest}")
        return lines

    def lesion(self, source: Source, box: Sequence[int] | None, load: LoadPixels) -> Inside:
        """Return where the lesion is that the survey has found."""
        from core.synthesis.segmentation import at_size, outline

        if source.mask is not None:
            from core.synthesis.donors import supplied

            return supplied(load(source), load(source.mask))
        prompt = None if box is None else (box[0], box[1], box[2], box[3])
        pixels = load(source)
        small = self._outlines.get((source.sha256, prompt), lambda: outline(pixels, prompt))
        return at_size(small, pixels.shape[1], pixels.shape[0])


def donors_of(label: str, sources: Sequence[Source]) -> list[Source]:
    """Return the sources of a class whose lesion can be taken; InvalidInput ``no_donors``."""
    found = [s for s in sources if s.facts["donor"] is None]
    if not found:
        left_out = Counter(s.facts["donor"] for s in sources)
        raise invalid(
            "/generator_params",
            f"No image of class {label!r} gives a lesion: {told(left_out)}. Upload masks (layout "
            f"masks), or name boxes in /generator_params/boxes",
            "no_donors",
        )
    return found


def told(left_out: Counter[str]) -> str:
    """Return in words how many images are left out why."""
    parts = [f"{n} {_REASONS[reason]}" for reason, n in left_out.most_common() if reason]
    return ", ".join(parts) or "there are none"


@contextmanager
def _naming(source: Source) -> Iterator[None]:
    """Say of which image an error is."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"Image {source.image_id}: {error.detail}", code=error.code) from None
