"""Small pictures of stored images, made where foreign bytes can do no harm.

``python -m core.ingest.shrinking`` is a decoder process: it is told paths, and tells WebP.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

from core.ingest.decoder import (
    BrokenAnswer,
    Cause,
    Decoder,
    DecoderLimits,
    Frame,
    Work,
    rejected,
    serve_spawned,
    spawned,
)
from core.ingest.decoding import refusal, refused
from core.ingest.rejects import Rejected

QUALITY = 82
UNREADABLE = "unreadable_image"


class Shrinker:
    """One process that shrinks images, kept warm; one caller at a time."""

    def __init__(self, limits: DecoderLimits) -> None:
        self._limits = limits
        self._decoder: Decoder | None = None

    @property
    def pid(self) -> int | None:
        """The process; None before the first image, and after one that ended it."""
        return None if self._decoder is None else self._decoder.pid

    def shrink(self, path: Path, size: int) -> bytes:
        """Return an image as WebP within ``size`` x ``size``; Rejected says why there is none."""
        frame = Frame(b"n", json.dumps([str(path.absolute()), size]).encode())
        if self._decoder is not None:
            try:
                return self._answer(self._decoder, frame)
            except _Died as death:
                if death.cause == "time":  # each image has its own
                    raise rejected(death.cause, death.detail) from None
        # the first, or the one before it has died: while there was nothing to do, or perhaps of
        # memory that images before this one have left behind
        self._decoder = Decoder(spawned(__name__), self._limits)
        try:
            return self._answer(self._decoder, frame)
        except _Died as death:
            raise rejected(death.cause, death.detail) from None

    def _answer(self, decoder: Decoder, frame: Frame) -> bytes:
        try:
            answer = decoder.ask(frame)
            if answer.kind == b"a":
                return answer.body
            reason = refusal(answer)
        except (EOFError, BrokenAnswer):
            self._decoder = None
            raise _Died(*decoder.end()) from None
        raise reason

    def close(self) -> None:
        """End the process."""
        if self._decoder is not None:
            self._decoder.end()
            self._decoder = None


class _Died(Exception):
    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(detail)
        self.cause: Cause = cause
        self.detail = detail


# In the process


def begin() -> Work:
    """Return what the process does with an image."""
    from PIL import Image

    # images were let in under the limit of the settings, and this process has limits of its own
    Image.MAX_IMAGE_PIXELS = None
    return _work


def _work(frame: Frame) -> Frame:
    path, size = json.loads(frame.head)
    try:
        return Frame(b"a", b"", shrink(Path(path), size))
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for broken files
        return refused(Rejected(UNREADABLE, f"The image cannot be read: {error}"))


def shrink(path: Path, size: int) -> bytes:
    """Return a stored image as WebP within ``size`` x ``size``; never enlarged."""
    from PIL import Image

    with Image.open(path, formats=("JPEG", "PNG")) as image:
        # a JPEG is decoded at an eighth to a half of its size: what is left of it is shrunk
        image.draft("RGB" if image.mode in ("RGB", "YCbCr") else "L", (size * 2, size * 2))
        picture = image if image.mode in ("RGB", "L") else image.convert("RGB")
        picture.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=2.0)
        target = io.BytesIO()
        picture.save(target, "WEBP", quality=QUALITY, method=4)
    return target.getvalue()


if __name__ == "__main__":
    serve_spawned(begin)
