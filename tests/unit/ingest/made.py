"""Images and archives made for the tests of the import, hostile ones included."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.ingest.intake import Intake, IntakeOptions, ingest


def pixels(seed: int, height: int = 48, width: int = 64, channels: int = 3) -> Any:
    """Smooth random pixels, different for every seed."""
    rng = np.random.default_rng(seed)
    shape = (6, 8) if channels == 1 else (6, 8, channels)
    small = rng.integers(0, 256, shape, dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def encoded(array: Any, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(seed: int, **options: Any) -> bytes:
    return encoded(pixels(seed), "JPEG", quality=95, **options)


def png_header(width: int, height: int) -> bytes:
    """A PNG that is nothing but the claim of a size."""
    header = struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(b"\0"))
        + png_chunk(b"IEND", b"")
    )


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


def with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """Insert a chunk behind the header of a PNG."""
    return png[:33] + png_chunk(kind, body) + png[33:]


def zipped(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return path


def tarred(path: Path, files: Mapping[str, bytes]) -> Path:
    """A tar, gzip when the name ends so."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    data = buffer.getvalue()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def class_folders(per_class: Mapping[str, int], start: int = 0) -> dict[str, bytes]:
    """An ImageFolder tree of distinct images."""
    files: dict[str, bytes] = {}
    seed = start
    for label, count in per_class.items():
        for index in range(count):
            files[f"{label}/{index}.jpg"] = jpeg(seed)
            seed += 1
    return files


class Blobs(dict[str, bytes]):
    """A store in memory."""

    def put(self, data: bytes) -> str:
        import hashlib

        sha256 = hashlib.sha256(data).hexdigest()
        self[sha256] = data
        return sha256


def taken(archive: Path, blobs: Blobs | None = None, threads: int = 2, **options: Any) -> Intake:
    store = Blobs() if blobs is None else blobs
    return ingest(archive, IntakeOptions(**options), store.put, lambda *_: None, threads)


def codes(intake: Intake) -> dict[str, str]:
    return {reject.name: reject.code for reject in intake.rejects}
