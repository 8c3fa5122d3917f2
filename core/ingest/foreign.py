"""The one door for image files that others sent: they are decoded in :class:`Decoders` only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from core.ingest.annotations import prepare_mask
from core.ingest.decoder import DecoderLimits, Frame, Work, rejected
from core.ingest.decoding import Decoders, Task, refused
from core.ingest.fingerprints import SIDE, Fingerprint, fingerprint
from core.ingest.images import StoredImage, pillow_limits, prepare
from core.ingest.keypoints import RECORD, keypoints, read_record
from core.ingest.rejects import Rejected
from core.manifest import Modality, canonical_json

_LARGE_PIXELS = 16_000_000
"""Images with more are decoded one at a time: pixels take up to 24 bytes each while they are."""
_THUMBNAIL_BYTES = SIDE * SIDE
_MOST_DONE = 4096

File = tuple[str, "bytes | Rejected"]
"""The name of a file, and its bytes or why there are none."""
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _storable(done: dict[str, Any]) -> dict[str, Any]:
    """Refuse what neither a manifest nor a database column takes, or what no image needs."""
    text = canonical_json(done)  # ValueError: not finite
    if len(text.encode()) > _MOST_DONE or "\\u0000" in text:  # ValueError: half a character
        raise ValueError("what was done to the image cannot be stored")
    return done


class Facts(BaseModel):
    """What a decoder says of an image, beside its thumbnail and its bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    unchanged: bool
    """The image is stored as it was sent."""
    pixel_sha256: Sha256
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    media_type: Literal["image/jpeg", "image/png"]
    modality: Modality
    bits: int = Field(ge=0, lt=2**64)
    done: Annotated[dict[str, Any], AfterValidator(_storable)]
    patient_key: Literal[""] | Sha256


@dataclass(frozen=True, slots=True)
class ForeignImage:
    """An image that can be stored; data are the bytes of its blob."""

    data: bytes
    facts: Facts
    print: Fingerprint


class ForeignImages:
    """Decodes foreign files in up to ``processes`` processes, in the order of the files."""

    def __init__(
        self,
        processes: int,
        max_pixels: int,
        limits: DecoderLimits,
        tick: Callable[[], None] = lambda: None,
        *,
        with_keypoints: bool = False,
    ) -> None:
        import cv2  # noqa: F401 - once, before processes are forked

        self._stack = ExitStack()
        self._with_keypoints = with_keypoints
        begin = partial(_begin, max_pixels, with_keypoints)
        self._decoders = Decoders(begin, processes, limits, tick)

    def __enter__(self) -> Self:
        self._stack.enter_context(self._decoders)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def images(self, files: Iterable[File]) -> Iterator[tuple[str, bytes, ForeignImage | Rejected]]:
        """Yield name, bytes as sent (none when there were none), and the image or the reason."""
        for task, outcome in self._decoders.run(_tasks(files, lambda _: (b"", False))):
            if isinstance(outcome, Frame):
                yield task.name, task.body, _image(task.body, outcome, self._with_keypoints)
            else:
                yield task.name, task.body, outcome

    def masks(
        self, files: Iterable[File], sizes: Mapping[str, tuple[int, int]]
    ) -> Iterator[tuple[str, bytes | Rejected]]:
        """Yield name and the bytes of the stored mask, or why there are none.

        ``sizes`` are width and height of each mask's image: one of another size is rejected.
        """

        def told(name: str) -> tuple[bytes, bool]:
            width, height = sizes[name]
            return json.dumps([width, height]).encode(), width * height > _LARGE_PIXELS

        for task, outcome in self._decoders.run(_tasks(files, told)):
            yield task.name, outcome.body if isinstance(outcome, Frame) else outcome


def _tasks(files: Iterable[File], told: Callable[[str], tuple[bytes, bool]]) -> Iterator[Task]:
    for name, data in files:
        if isinstance(data, Rejected):
            yield Task(name, b"", b"", outcome=data)
        else:
            head, alone = told(name)
            yield Task(name, head, data, alone)


def _image(sent: bytes, answer: Frame, with_keypoints: bool) -> ForeignImage | Rejected:
    """Read a decoder's answer; it has met hostile bytes, so nothing in it is taken on trust."""
    thumbnail = np.frombuffer(answer.body[:_THUMBNAIL_BYTES], np.uint8)
    end = _THUMBNAIL_BYTES + (RECORD.itemsize if with_keypoints else 0)
    try:
        facts = Facts.model_validate_json(answer.head)
        square = thumbnail.reshape(SIDE, SIDE)
        points = read_record(answer.body[_THUMBNAIL_BYTES:end]) if with_keypoints else None
    except (ValidationError, ValueError):
        return rejected("failed", "The decoder's answer makes no sense")
    data = sent if facts.unchanged else answer.body[end:]
    return ForeignImage(data, facts, Fingerprint(facts.bits, square, points))


# In the decoder


def _begin(max_pixels: int, with_keypoints: bool) -> Work:
    """Return what a decoder does with a file: an image when nothing is told of it, else a mask."""
    import cv2

    cv2.setNumThreads(0)  # the pool of the job's threads is not there after a fork
    ExitStack().enter_context(pillow_limits(max_pixels))  # for the life of the process

    def work(frame: Frame) -> Frame:
        try:
            if not frame.head:
                return _look(frame, max_pixels, with_keypoints)
            width, height = json.loads(frame.head)
            return Frame(b"a", b"", prepare_mask(frame.body, width, height, max_pixels))
        except Rejected as reason:
            return refused(reason)

    return work


def _look(frame: Frame, max_pixels: int, with_keypoints: bool) -> Frame:
    """Look at an image; its size is in its header, so a large one is told undecoded."""
    alone = frame.kind == b"s" or max_pixels <= _LARGE_PIXELS
    try:
        image = prepare(frame.body, max_pixels=max_pixels if alone else _LARGE_PIXELS)
    except Rejected as reason:
        if alone or reason.code != "too_many_pixels":
            raise
        return Frame(b"w", b"")
    points = keypoints(image.pixels).tobytes() if with_keypoints else b""
    return _answer(image, points, unchanged=image.data == frame.body)


def _answer(image: StoredImage, points: bytes, *, unchanged: bool) -> Frame:
    mark = fingerprint(image.pixels)
    facts = {
        "unchanged": unchanged,
        "pixel_sha256": image.pixel_sha256,
        "width": image.width,
        "height": image.height,
        "media_type": image.media_type,
        "modality": image.modality,
        "bits": mark.bits,
        "done": image.done,
        "patient_key": image.patient_key,
    }
    body = mark.thumbnail.tobytes() + points + (b"" if unchanged else image.data)
    return Frame(b"a", json.dumps(facts).encode(), body)
