"""Images: stored bytes to pixels, and foreign bytes to a stored image or a reject.

What is stored is 8-bit sRGB or grey, upright, without metadata. A JPEG or PNG that is so already
keeps its compressed pixels; everything else is decoded, converted and written as PNG.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core.errors import InvalidInput
from core.ingest.bitstream import Bitstream, read_jpeg, read_png
from core.ingest.colour import is_srgb, orientation_of, to_pixels
from core.ingest.rejects import Rejected
from core.ingest.sniff import Format, sniff

if TYPE_CHECKING:
    from PIL import Image as PillowImage

    from core.manifest import Modality
    from core.synthesis.contract import Pixels

MAX_PIXELS = 100_000_000
_SMALLEST_SIDE, _LONGEST_SIDE = 1, 1_000_000
"""What libpng and OpenCV read again."""
_MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png"}
_DECODER_BYTES = 12
"""What libjpeg (three coefficients of 16 bits, colours twice) or libwebp take for a pixel."""
_PLAIN_MODES = frozenset({"L", "RGB"})


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image as it will be stored.

    data are the bytes of the blob and pixels what they decode to; done says what was changed.
    patient_key is for grouping within one import only.
    """

    data: bytes
    pixel_sha256: str
    pixels: Pixels
    media_type: str
    modality: Modality
    done: dict[str, Any] = field(default_factory=dict)
    patient_key: str = ""

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


def decode(source: Path | bytes) -> Pixels:
    """Decode a stored image to H x W x 3 (sRGB) or H x W (grey) uint8 pixels, 0..255.

    For blobs of this service (8-bit JPEG or PNG without orientation); orientation tags are never
    applied, so that pixels and recorded sizes agree. InvalidInput ``decode_failed`` otherwise.
    """
    import cv2

    data = source.read_bytes() if isinstance(source, Path) else source
    pixels = _imdecode(data, cv2.IMREAD_ANYCOLOR)
    if pixels.ndim == 3:
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels), dtype=np.uint8)
    return pixels


def _imdecode(data: bytes, flag: int) -> Pixels:
    import cv2

    try:
        buffer = np.frombuffer(data, np.uint8)
        pixels = cv2.imdecode(buffer, flag | cv2.IMREAD_IGNORE_ORIENTATION) if data else None
    except cv2.error as error:
        raise InvalidInput("The stored image does not decode", code="decode_failed") from error
    if pixels is None:
        raise InvalidInput("The stored image does not decode", code="decode_failed")
    return np.ascontiguousarray(pixels, dtype=np.uint8)


def encode_png(pixels: Pixels) -> bytes:
    """Return pixels (H x W x 3 RGB or H x W grey, uint8) as PNG, without metadata."""
    import cv2

    stored = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return bytes(cv2.imencode(".png", stored)[1])


def pixel_sha256(pixels: Pixels) -> str:
    """Hash shape and values of decoded pixels."""
    digest = hashlib.sha256(repr(tuple(int(n) for n in pixels.shape)).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


@contextmanager
def pillow_limits(max_pixels: int = MAX_PIXELS) -> Iterator[None]:
    """Make Pillow refuse more than ``max_pixels`` instead of warning; for one thread to hold.

    Pillow's limit and Python's warning filters belong to the process, so the thread that starts
    others holds this around all of them.
    """
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        Image.MAX_IMAGE_PIXELS = max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def prepare(data: bytes, *, max_pixels: int = MAX_PIXELS) -> StoredImage:
    """Turn the bytes of one foreign file into a stored image; Rejected says why it cannot be.

    Codes: ``empty_file``, ``not_an_image``, ``nested_archive``, ``unsupported_format``,
    ``truncated``, ``too_many_pixels``, ``animated``, ``multi_frame``, ``metadata_bomb``,
    ``no_pixels``, ``decode_failed``.
    """
    kind = sniff(data)
    if kind == "JPEG":
        return _from_bitstream(data, kind, read_jpeg, max_pixels)
    if kind == "PNG":
        return _from_bitstream(data, kind, read_png, max_pixels)
    if kind == "DICOM":
        from core.ingest.dicom import read_dicom

        image = read_dicom(data, max_pixels)
        return _as_png(image.pixels, {"dicom": image.done}, image.patient_key)
    pixels, done = _decoded_by_pillow(data, kind, max_pixels)
    return _as_png(pixels, done | {"format": kind})


def _from_bitstream(
    data: bytes, kind: Literal["JPEG", "PNG"], read: Callable[[bytes], Bitstream], max_pixels: int
) -> StoredImage:
    """Keep the compressed pixels when they are plain, else decode and write a PNG."""
    if kind == "PNG" and len(data) >= 24:
        _check_size(*_sides(data), max_pixels)
    stream = read(data)
    _check_size(stream.width, stream.height, max_pixels)
    if stream.animated:
        raise Rejected("animated", "The image has several frames")
    orientation = orientation_of(stream.exif)
    untouched = orientation == 1 and stream.depth == 8 and (not stream.icc or is_srgb(stream.icc))
    if kind == "JPEG" and untouched and stream.channels in (1, 3):
        return _kept(stream, _jpeg_pixels(stream), kind)
    with opened(stream.clean, kind) as image:
        _load(image)
        if untouched and image.mode in _PLAIN_MODES and "transparency" not in image.info:
            return _kept(stream, np.asarray(image), kind)
        pixels, done = to_pixels(image, stream.icc, orientation, stream.depth)
    return _as_png(pixels, done | {"format": kind})


def _jpeg_pixels(stream: Bitstream) -> Pixels:
    """Decode a complete JPEG at OpenCV's speed; the end marker has been seen."""
    import cv2

    flag = cv2.IMREAD_COLOR_RGB if stream.channels == 3 else cv2.IMREAD_GRAYSCALE
    try:
        pixels = _imdecode(stream.clean, flag)
    except InvalidInput as error:
        _check_memory(stream.width, stream.height)
        raise Rejected("decode_failed", "The JPEG image does not decode") from error
    if pixels.shape[:2] != (stream.height, stream.width):
        raise Rejected("decode_failed", "The JPEG's pixels are not as many as its header says")
    return pixels


def _check_memory(width: int, height: int) -> None:
    """Raise MemoryError when there is too little for a decoder that does not tell why it failed."""
    np.empty((height, width, _DECODER_BYTES), np.uint8)


def _kept(stream: Bitstream, pixels: Pixels, kind: Format) -> StoredImage:
    done: dict[str, Any] = {"removed": list(stream.dropped)} if stream.dropped else {}
    return _stored(stream.clean, pixels, _MEDIA_TYPES[kind], done)


def _decoded_by_pillow(data: bytes, kind: Format, max_pixels: int) -> tuple[Pixels, dict[str, Any]]:
    if kind != "WEBP":
        return _pixels_by_pillow(data, kind, max_pixels)
    width, height = _webp_size(data)
    _check_size(width, height, max_pixels)
    try:
        return _pixels_by_pillow(data, kind, max_pixels)
    except Rejected:
        _check_memory(width, height)
        raise


def _pixels_by_pillow(data: bytes, kind: Format, max_pixels: int) -> tuple[Pixels, dict[str, Any]]:
    with opened(data, kind) as image:
        _check_size(*image.size, max_pixels)
        if getattr(image, "n_frames", 1) > 1:
            raise Rejected("animated", "The image has several frames or pages")
        exif, icc = image.info.get("exif", b""), image.info.get("icc_profile") or b""
        orientation = orientation_of(exif.removeprefix(b"Exif\0\0"))
        _load(image)
        # Pillow has turned TIFF images itself by now
        return to_pixels(image, icc, 1 if kind == "TIFF" else orientation)


@contextmanager
def opened(data: bytes, kind: Format) -> Iterator[PillowImage.Image]:
    """Open with exactly the decoder that was sniffed; whatever it raises is a reject."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            yield image
    except Rejected:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Rejected("too_many_pixels", str(error)) from error
    except MemoryError:
        raise
    except Exception as error:  # decoders raise what the broken file makes them
        raise Rejected(_failure(error), f"The {kind} image does not decode: {error}") from error


def _load(image: PillowImage.Image) -> None:
    """Decode all pixels: a header alone does not show that a file was cut off."""
    image.load()


def _failure(error: Exception) -> str:
    text = str(error).lower()
    return (
        "truncated" if "truncated" in text or "not enough image data" in text else "decode_failed"
    )


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < _SMALLEST_SIDE or height < _SMALLEST_SIDE:
        raise Rejected("decode_failed", "The image has no pixels")
    if max(width, height) > _LONGEST_SIDE:
        raise Rejected("too_many_pixels", f"A side is longer than {_LONGEST_SIDE} pixels")
    if width * height > max_pixels:
        raise Rejected(
            "too_many_pixels", f"{width} x {height} pixels are more than {max_pixels} in all"
        )


def _sides(png: bytes) -> tuple[int, int]:
    """Read the size in a PNG's header, so that a huge one is told by it alone."""
    width, height = struct.unpack(">LL", png[16:24])
    return width, height


def _webp_size(data: bytes) -> tuple[int, int]:
    """Read the canvas size of a WebP file (RFC 9649), before any decoder allocates it."""
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        raise Rejected("truncated", "The WebP ends inside its header")
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    raise Rejected("decode_failed", "The WebP has an unknown first chunk")


def _as_png(pixels: Pixels, done: dict[str, Any], patient_key: str = "") -> StoredImage:
    return _stored(encode_png(pixels), pixels, "image/png", done, patient_key)


def _stored(
    data: bytes, pixels: Pixels, media_type: str, done: dict[str, Any], patient_key: str = ""
) -> StoredImage:
    return StoredImage(
        data=data,
        pixel_sha256=pixel_sha256(pixels),
        pixels=pixels,
        media_type=media_type,
        modality="grey" if pixels.ndim == 2 else "rgb",
        done=done,
        patient_key=patient_key,
    )
