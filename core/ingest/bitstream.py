"""JPEG and PNG files without their metadata, the compressed pixels untouched.

Camera metadata can identify a patient (GPS position, time, names); it is cut out of the file
without recompression, so that no pixel changes.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from core.ingest.rejects import Rejected

MAX_PROFILE_BYTES = 8 * 1024**2
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xff]")
_EXIF = b"Exif\0\0"
_ICC = b"ICC_PROFILE\0"
_JFIF = b"JFIF\0"
_ADOBE = b"Adobe"
_SOS, _EOI, _COM = 0xDA, 0xD9, 0xFE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_APPLICATIONS = (
    (0xE0, _JFIF, "jfif"),
    (0xEE, _ADOBE, "adobe"),
    (0xE1, _EXIF, "exif"),
    (0xE1, b"http://ns.adobe.com/", "xmp"),
    (0xE2, _ICC, "icc"),
    (0xED, b"", "iptc"),
)
_LONGEST_SIDE = 2**31 - 1
_CHUNK_KIND = re.compile(rb"[A-Za-z]{4}")
_MAX_NAMES = 16
"""Kinds of segments that are named as cut out; files have a handful."""
_MAX_SCANS = 100
"""Encoders write about ten scans into a progressive JPEG."""


@dataclass(frozen=True, slots=True)
class Bitstream:
    """A file taken apart.

    clean is the file with pixels only; depth in bits a sample; channels as stored (a palette is
    one); dropped names what was cut out.
    """

    clean: bytes
    width: int
    height: int
    depth: int
    channels: int
    exif: bytes
    icc: bytes
    animated: bool
    dropped: tuple[str, ...]


def read_jpeg(data: bytes) -> Bitstream:
    """Take a JPEG apart: kept are frame, tables, scans, JFIF and Adobe's colour transform.

    Rejected ``truncated`` when the end marker is missing, ``decode_failed`` for broken segments.
    """
    kept = [b"\xff\xd8"]
    exif, profile, dropped = b"", {}, []
    width = height = depth = channels = 0
    scans = 0
    for marker, body, scan in _segments(data):
        scans += marker == _SOS
        if scans > _MAX_SCANS:
            # a scan of ten bytes makes a decoder walk through all pixels once more
            raise Rejected("compression_bomb", f"The JPEG has more than {_MAX_SCANS} scans")
        kind = _application(marker, body)
        if kind == "exif":
            exif = exif or body[len(_EXIF) :]
        elif kind == "icc" and len(body) > len(_ICC) + 2:
            profile[body[len(_ICC)]] = body[len(_ICC) + 2 :]
        if kind and kind not in ("jfif", "adobe"):
            dropped.append(kind)
            continue
        if marker in _FRAMES and not depth:
            depth, height, width, channels = struct.unpack_from(">BHHB", body)
        held = body[:12] + b"\0\0" if kind == "jfif" else body  # without its thumbnail
        kept.append(struct.pack(">BBH", 0xFF, marker, len(held) + 2) + held + scan)
    if not depth:
        raise Rejected("decode_failed", "The JPEG has no frame")
    icc = b"".join(profile[number] for number in sorted(profile))
    clean = b"".join((*kept, b"\xff\xd9"))
    return Bitstream(clean, width, height, depth, channels, exif, icc, False, _unique(dropped))


def _segments(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield marker, body and, for scans, the entropy-coded bytes after it, up to the end marker."""
    position = 2
    while True:
        found = _NEXT_MARKER.search(data, position)
        if found is None:
            raise Rejected("truncated", "The JPEG ends before its end marker")
        marker = data[found.end() - 1]
        position = found.end()
        if marker == 0xFF:  # a fill byte, another may follow
            position -= 1
            continue
        if marker == _EOI:
            return
        if marker in (0x01, 0xD8):
            continue
        if position + 2 > len(data):
            raise Rejected("truncated", "The JPEG ends inside a segment")
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2 or position + length > len(data):
            raise Rejected("truncated", "The JPEG ends inside a segment")
        body = data[position + 2 : position + length]
        if marker in _FRAMES and len(body) < 6:
            raise Rejected("decode_failed", "The JPEG has a broken frame header")
        position += length
        scan = b""
        if marker == _SOS:
            after = _NEXT_MARKER.search(data, position)
            end = after.start() if after else len(data)
            scan, position = data[position:end], end
        yield marker, body, scan


def _application(marker: int, body: bytes) -> str:
    """Name an application or comment segment; empty for those that hold the picture."""
    if marker == _COM:
        return "comment"
    if not 0xE0 <= marker <= 0xEF:
        return ""
    for known, prefix, name in _APPLICATIONS:
        if marker == known and body.startswith(prefix) and (name != "jfif" or len(body) >= 12):
            return name
    return f"app{marker - 0xE0}"


def read_png(data: bytes) -> Bitstream:
    """Take a PNG apart: kept are header, palette, transparency and image data.

    Rejected ``truncated`` when a chunk or the end is missing, ``decode_failed`` for bad checksums.
    """
    kept = [PNG_SIGNATURE]
    exif = icc = b""
    dropped: list[str] = []
    animated = False
    header = b""
    for kind, body, raw in _chunks(data):
        if kind == b"IHDR" and len(body) == 13:
            header = body
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(raw)
            continue
        dropped.append(kind.decode("latin-1"))
        animated |= kind == b"acTL"
        if kind == b"eXIf":
            exif = body
        elif kind == b"iCCP":
            icc = _profile(body)
    if not header:
        raise Rejected("decode_failed", "The PNG has no header")
    width, height, depth, colour = struct.unpack_from(">LLBB", header)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 0)
    if not 0 < width <= _LONGEST_SIDE or not 0 < height <= _LONGEST_SIDE:
        raise Rejected("decode_failed", "The PNG has an impossible size")
    return Bitstream(
        b"".join(kept), width, height, depth, channels, exif, icc, animated, _unique(dropped)
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield kind, body and the raw bytes of every chunk up to IEND."""
    position = len(PNG_SIGNATURE)
    while True:
        if position + 12 > len(data):
            raise Rejected("truncated", "The PNG ends before its last chunk")
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 12 + length
        if end > len(data):
            raise Rejected("truncated", "The PNG ends inside a chunk")
        kind, body = data[position + 4 : position + 8], data[position + 8 : end - 4]
        if not _CHUNK_KIND.fullmatch(kind):
            raise Rejected("decode_failed", "The PNG has a chunk of an impossible kind")
        if zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise Rejected("decode_failed", "A checksum of the PNG is wrong")
        yield kind, body, data[position:end]
        if kind == b"IEND":
            return
        position = end


def _profile(body: bytes) -> bytes:
    """Unpack an iCCP chunk, never beyond the largest real profile."""
    _, _, rest = body.partition(b"\0")
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(rest[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    if unpacker.unconsumed_tail:
        raise Rejected("metadata_bomb", "The colour profile unpacks to more than 8 MiB")
    return profile


def _unique(names: list[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names))[:_MAX_NAMES])
