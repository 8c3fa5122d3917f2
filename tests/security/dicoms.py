"""Hostile DICOM files: a format with nesting, compression and names of persons."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit

from tests.unit.ingest.made import jpeg
from tests.unit.ingest.test_dicom import dicom

SHADES = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
NAMES = (b"Smith", b"P-1234")
AS_GREY = "taken image/png grey 64x48"
_PIXELS = struct.pack("<HH", 0x7FE0, 0x0010)
_ENDLESS = b"\xff\xff\xff\xff"


def nested(depth: int) -> bytes:
    """A sequence in a sequence in a sequence, none of which ends."""
    one = struct.pack("<HH2sH", 0x0040, 0xA730, b"SQ", 0) + _ENDLESS
    one += struct.pack("<HH", 0xFFFE, 0xE000) + _ENDLESS
    whole = dicom(SHADES)
    at = whole.index(_PIXELS)
    return whole[:at] + one * depth + whole[at:]


def promising(length: int) -> bytes:
    """Say of pixels that are all there that more follow."""
    whole = bytearray(dicom(SHADES))
    at = whole.index(_PIXELS) + 8
    whole[at : at + 4] = struct.pack("<L", length)
    return bytes(whole)


def encapsulated(frame: bytes) -> bytes:
    """A frame that the file says is a baseline JPEG."""
    from pydicom.encaps import encapsulate

    colours: Any = np.zeros((48, 64, 3), np.uint8)
    tags = {"syntax": JPEGBaseline8Bit, "PixelData": encapsulate([frame])}
    return dicom(colours, PhotometricInterpretation="YBR_FULL_422", **tags)


FAILED = "reject decode_failed"
DICOMS: dict[str, tuple[str, bytes, str, tuple[bytes, ...]]] = {
    "dicom with a name": ("x.dcm", dicom(SHADES), AS_GREY, NAMES),
    "dicom, deflated": (
        "x.dcm",
        dicom(np.zeros((2000, 2000), np.uint16), syntax=DeflatedExplicitVRLittleEndian),
        "reject unsupported_format",
        (),
    ),
    "dicom of 65,000 x 65,000": (
        "x.dcm",
        dicom(SHADES, Rows=65_000, Columns=65_000),
        "reject too_many_pixels",
        (),
    ),
    "dicom of 9,999 frames": (
        "x.dcm",
        dicom(SHADES, NumberOfFrames=9_999),
        "reject multi_frame",
        (),
    ),
    "dicom cut short": ("x.dcm", dicom(SHADES)[:-999], FAILED, ()),
    "dicom that promises 4 GB": ("x.dcm", promising(0xFFFFFFF0), AS_GREY, NAMES),
    "dicom nested 5,000 deep": ("x.dcm", nested(5_000), FAILED, ()),
    "dicom with a jpeg cut short": ("x.dcm", encapsulated(jpeg(70)[:300]), FAILED, ()),
    "dicom with a program as jpeg": ("x.dcm", encapsulated(b"\x7fELF" + bytes(99)), FAILED, ()),
}
