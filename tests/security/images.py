"""Hostile and unusual images, each among good ones."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.security.case import GOOD, Case
from tests.security.dicoms import DICOMS
from tests.unit.ingest.made import encoded, jpeg, pixels, png_header, with_chunk, zipped

PHOTO = pixels(70)
PNG = encoded(PHOTO, "PNG")
JPEG = jpeg(70)
SECRET = b"SecretCamera 4711"
SCRIPT = b"<script>alert(1)</script>"
NO_IMAGE = "reject not_an_image"
AS_JPEG = "taken image/jpeg rgb 64x48"
AS_PNG = "taken image/png rgb 64x48"
AS_GREY = "taken image/png grey 64x48"


def exif(orientation: int = 1, gps: bool = False) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x010F] = SECRET.decode()
    if gps:
        block[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0), 3: "E", 4: (13.0, 24.0, 0.0)}
    return block


def jpeg_of_65000(data: bytes) -> bytes:
    """Let the frame header promise 65,000 x 65,000 pixels."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", 65_000, 65_000) + data[at + 4 :]


def jpeg_of_scans(count: int) -> bytes:
    """Send the last scan of a progressive JPEG again and again."""
    data = jpeg(70, progressive=True)
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * count + data[-2:]


def animated(kind: str) -> bytes:
    frames = [Image.fromarray(pixels(seed)) for seed in (71, 72)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def translucent_palette() -> bytes:
    image = Image.fromarray(PHOTO).convert("P")
    return encoded(image, "PNG", transparency=int(np.asarray(image)[0, 0]))


def mode(name: str, kind: str) -> bytes:
    return encoded(Image.fromarray(PHOTO).convert(name), kind)


def deep() -> Any:
    return (np.arange(48 * 64, dtype=np.uint16) * 16).reshape(48, 64)


def packed(kind: bytes, before: bytes) -> bytes:
    return with_chunk(PNG, kind, before + zlib.compress(bytes(50_000_000)))


# name of the file, its bytes, what must become of it, what must not be in what is stored
FILES: dict[str, tuple[str, bytes, str, tuple[bytes, ...]]] = {
    "no bytes": ("x.jpg", b"", "reject empty_file", ()),
    "jpeg cut short": ("x.jpg", JPEG[: len(JPEG) // 2], "reject truncated", ()),
    "jpeg without its last bytes": ("x.jpg", JPEG[:-9], "reject truncated", ()),
    "png cut short": ("x.png", PNG[: len(PNG) // 2], "reject truncated", ()),
    "png with a wrong checksum": (
        "x.png",
        PNG[:60] + b"\0\0" + PNG[62:],
        "reject decode_failed",
        (),
    ),
    "png of 65,000 x 65,000": ("x.png", png_header(65_000, 65_000), "reject too_many_pixels", ()),
    "jpeg of 65,000 x 65,000": ("x.jpg", jpeg_of_65000(JPEG), "reject too_many_pixels", ()),
    "jpeg of 5,000 scans": ("x.jpg", jpeg_of_scans(5_000), "reject compression_bomb", ()),
    "png with an iCCP bomb": ("x.png", packed(b"iCCP", b"icc\0\0"), "reject metadata_bomb", ()),
    "png with a zTXt bomb": ("x.png", packed(b"zTXt", b"k\0\0"), AS_PNG, (b"zTXt",)),
    "png with an iTXt bomb": ("x.png", packed(b"iTXt", b"k\0\1\0\0\0"), AS_PNG, (b"iTXt",)),
    "polyglot jpeg and zip": ("x.jpg", JPEG + b"PK\x03\x04" + bytes(40), AS_JPEG, (b"PK\x03\x04",)),
    "polyglot jpeg and script": ("x.jpg", jpeg(70, comment=SCRIPT), AS_JPEG, (SCRIPT,)),
    "polyglot png and php": ("x.png", PNG + b"<?php system($_GET[0]);", AS_PNG, (b"<?php",)),
    "polyglot gif and script": (
        "x.jpg",
        b"GIF89a/*" + SCRIPT + b"*/",
        "reject unsupported_format",
        (),
    ),
    "svg named .jpg": (
        "x.jpg",
        b"<svg xmlns='http://www.w3.org/2000/svg'>" + SCRIPT + b"</svg>",
        NO_IMAGE,
        (),
    ),
    "eps named .jpg": ("x.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n(%pipe%id) (r) file", NO_IMAGE, ()),
    "pdf named .jpg": ("x.jpg", b"%PDF-1.7\n1 0 obj", NO_IMAGE, ()),
    "html named .jpg": ("x.jpg", b"<!doctype html>" + SCRIPT, NO_IMAGE, ()),
    "program named .png": ("x.png", b"\x7fELF" + bytes(99), NO_IMAGE, ()),
    "heic": ("x.heic", b"\0\0\0\x1cftypheic" + bytes(20), "reject unsupported_format", ()),
    "jpeg named .png": ("x.png", JPEG, AS_JPEG, ()),
    "cmyk": ("x.jpg", mode("CMYK", "JPEG"), AS_PNG, ()),
    "16 bit": ("x.png", encoded(deep(), "PNG"), AS_GREY, ()),
    "palette with alpha": ("x.png", translucent_palette(), AS_PNG, (b"PLTE", b"tRNS")),
    "1 bit": ("x.png", mode("1", "PNG"), AS_GREY, ()),
    "animated png": ("x.png", animated("PNG"), "reject animated", ()),
    "animated webp": ("x.webp", animated("WEBP"), "reject animated", ()),
    "tiff of two pages": ("x.tiff", animated("TIFF"), "reject animated", ()),
    "gps in exif": ("x.jpg", jpeg(70, exif=exif(gps=True)), AS_JPEG, (SECRET, b"Exif")),
    "gps in exif of a png": (
        "x.png",
        encoded(PHOTO, "PNG", exif=exif(gps=True)),
        AS_PNG,
        (SECRET, b"eXIf"),
    ),
    "turned by exif": ("x.jpg", jpeg(70, exif=exif(6)), "taken image/png rgb 48x64", (SECRET,)),
    "xmp with a name": (
        "x.jpg",
        jpeg(70, xmp=b"<x:xmpmeta>Mrs Smith</x:xmpmeta>"),
        AS_JPEG,
        (b"Mrs Smith",),
    ),
}

FORMULAS = ("=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "＝1+1")


def among_good_ones(name: str, data: bytes) -> Callable[[Path], Path]:
    return lambda f: zipped(f / "a.zip", GOOD | {f"nv/{name}": data})


def formulas(folder: Path) -> Path:
    """Formulas as names of files that are taken, of files that are not, and of classes."""
    files = {f"mel/{text}.jpg": jpeg(80 + n) for n, text in enumerate(FORMULAS)}
    files |= {f"mel/sub/{text}.jpg": b"no image" for text in FORMULAS}
    files |= {f"{text}/0.jpg": jpeg(90 + n) for n, text in enumerate(FORMULAS)}
    return zipped(folder / "a.zip", GOOD | files)


def table_of_formulas(folder: Path) -> Path:
    rows = [f'{n}.jpg,nv,"{text}"' for n, text in enumerate(FORMULAS)]
    files = {f"{n}.jpg": jpeg(80 + n) for n in range(len(FORMULAS))}
    table = "\n".join(["image,dx,localization", *rows]).encode()
    return zipped(folder / "a.zip", files | {"metadata.csv": table})


def images() -> list[Case]:
    """Return the cases."""
    return [
        *(
            Case(title, outcome, among_good_ones(name, data), absent)
            for title, (name, data, outcome, absent) in (FILES | DICOMS).items()
        ),
        Case("csv formulas in names", "escaped", formulas),
        Case("csv formulas in a table", "escaped", table_of_formulas),
    ]
