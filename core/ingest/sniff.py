"""What a file is, by its first bytes; names and extensions are not believed."""

from __future__ import annotations

import re
from typing import Literal

from core.ingest.rejects import Rejected

Format = Literal["JPEG", "PNG", "BMP", "TIFF", "WEBP", "DICOM"]

_ACCEPTED: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)
_ARCHIVES = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x1f\x8b",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"BZh",
    b"\xfd7zXZ\x00",
    b"(\xb5/\xfd",
)
_OTHER_IMAGES = (
    b"GIF8",
    b"8BPS",
    b"\x00\x00\x01\x00",
    b"\x00\x00\x00\x0cjP  ",
    b"\xff\x4f\xff\x51",
    b"\xff\x0a",
    b"\x00\x00\x00\x0cJXL ",
    b"II+\x00",
    b"MM\x00+",
    b"v/1\x01",
)
_ISO_IMAGES = re.compile(rb".{4}ftyp(heic|heix|hevc|mif1|msf1|avif|avis)", re.DOTALL)


def sniff(data: bytes) -> Format:
    """Return the format of a file's content.

    Rejected: ``empty_file``, ``nested_archive``, ``unsupported_format`` (an image of a kind that is
    not read), ``not_an_image``.
    """
    if not data:
        raise Rejected("empty_file", "The file has no bytes")
    for magic, found in _ACCEPTED:
        if data.startswith(magic):
            return found
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[128:132] == b"DICM":
        return "DICOM"
    if data[:2] == b"BM" and data[6:10] == b"\0\0\0\0":
        return "BMP"
    if data.startswith(_ARCHIVES) or data[257:262] == b"ustar":
        raise Rejected("nested_archive", "Archives inside the archive are not opened")
    if data.startswith(_OTHER_IMAGES) or _ISO_IMAGES.match(data):
        raise Rejected(
            "unsupported_format", "Only JPEG, PNG, BMP, TIFF, WebP and DICOM images are read"
        )
    raise Rejected("not_an_image", "The content is not an image, whatever the name says")
