"""Hostile archives, and hostile names in them."""

from __future__ import annotations

import gzip
import io
import random
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.security.case import GOOD, Case
from tests.unit.ingest.made import jpeg, tarred, zipped

BAD = jpeg(99)


def with_name(name: str) -> Iterator[tuple[str, Callable[[Path], Path]]]:
    """Yield the kinds of archive that hold an image under a hostile name."""
    yield "zip", lambda f: zipped(f / "a.zip", GOOD | {name: BAD})
    yield "tar", lambda f: tarred(f / "a.tar", GOOD | {name: BAD})


NAMES = {
    "parent path": ("../up.jpg", "reject unsafe_path"),
    "parent path inside": ("nv/../../up.jpg", "reject unsafe_path"),
    "absolute path": ("/etc/cron.d/x.jpg", "reject unsafe_path"),
    "drive path": ("C:/Windows/x.jpg", "reject unsafe_path"),
    "backslash path": ("nv\\..\\..\\x.jpg", "reject unsafe_path"),
    "right-to-left name": ("nv/\u202egpj.exe", "reject bad_name"),
    "control characters": ("nv/\x1b[2J.jpg", "reject bad_name"),
    "500 characters": ("nv/" + "n" * 500 + ".jpg", "reject name_too_long"),
    "part of 260 bytes": ("nv/" + "ä" * 130 + ".jpg", "reject name_too_long"),
    "same but for case": ("NV/0.JPG", "reject name_collision"),
    "macos leftovers": ("__MACOSX/nv/._0.jpg", "ignored"),
    "desktop leftovers": ("nv/Thumbs.db", "ignored"),
}


def unicode_forms(pack: Callable[..., Path], name: str) -> Callable[[Path], Path]:
    both = {"nv/caf\u00e9.jpg": jpeg(50), "nv/cafe\u0301.jpg": BAD}
    return lambda f: pack(f / name, GOOD | both)


# Zip


def zip_entry(mode: int, data: bytes = b"/etc/passwd") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = zipped(folder / "a.zip", GOOD)
        with zipfile.ZipFile(path, "a") as archive:
            info = zipfile.ZipInfo("nv/x.jpg")
            info.external_attr = (mode | 0o644) << 16
            archive.writestr(info, data)
        return path

    return make


def last_entry(offset: int, value: bytes, data: bytes = BAD) -> Callable[[Path], Path]:
    """Overwrite bytes of the directory's last entry, which is one more image."""

    def make(folder: Path) -> Path:
        path = zipped(folder / "a.zip", GOOD | {"nv/x.jpg": data})
        content = bytearray(path.read_bytes())
        at = content.rindex(b"PK\x01\x02") + offset
        content[at : at + len(value)] = value
        path.write_bytes(bytes(content))
        return path

    return make


def overlapping(folder: Path) -> Path:
    """All entries of the directory point at one and the same packed file."""
    path = zipped(folder / "a.zip", {f"nv/{n}.jpg": bytes(900_000) for n in range(9)})
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    while at >= 0:
        content[at + 42 : at + 46] = struct.pack("<L", 0)
        at = content.find(b"PK\x01\x02", at + 1)
    path.write_bytes(bytes(content))
    return path


def one_bomb(folder: Path) -> Path:
    return zipped(folder / "a.zip", GOOD | {"nv/x.jpg": bytes(40_000_000)})


def many_bombs(folder: Path) -> Path:
    """Each is below the size at which one entry is called a bomb; together they are one."""
    return zipped(folder / "a.zip", {f"nv/{n}.jpg": bytes(1_000_000) for n in range(60)})


def nested_bomb(folder: Path) -> Path:
    inner = zipped(folder / "inner.zip", {"0.jpg": bytes(50_000_000)})
    return zipped(folder / "a.zip", GOOD | {"nv/inner.zip": inner.read_bytes()})


def only_bombs(folder: Path) -> Path:
    return zipped(folder / "a.zip", {f"nv/{n}.jpg": bytes(5_000_000) for n in range(2)})


def directory_without_end(folder: Path) -> Path:
    """A directory of 402,000 entries and nothing that they stand for: 19 MB."""
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<3H", 1, 0, 0) + bytes(12) + b"x"
    directory = entry * 402_000
    ending = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), 4, 0)
    path = folder / "a.zip"
    path.write_bytes(b"PK\x03\x04" + directory + ending)
    return path


def cut(pack: Callable[..., Path], name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        noise = {f"nv/{n}.jpg": random.Random(n).randbytes(30_000) for n in range(3)}
        path = pack(folder / name, noise)
        path.write_bytes(path.read_bytes()[:50_000])
        return path

    return make


# Tar


def tar_entry(kind: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = tarred(folder / "a.tar", GOOD)
        with tarfile.open(path, "a") as archive:
            member = tarfile.TarInfo("nv/x.jpg")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        return path

    return make


def tar_headers(headers: dict[str, str]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "a.tar"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
            member = tarfile.TarInfo("nv/x.jpg")
            member.pax_headers, member.size = headers, 1
            archive.addfile(member, io.BytesIO(b"x"))
        return path

    return make


def tar_lying_size(size: int) -> Callable[[Path], Path]:
    """Let the header of a file among good ones say another size."""

    def make(folder: Path) -> Path:
        half = len(GOOD) // 2
        files = list(GOOD.items())
        among = dict([*files[:half], ("nv/x.jpg", BAD), *files[half:]])
        path = tarred(folder / "a.tar", among)
        content = bytearray(path.read_bytes())
        at = content.index(b"nv/x.jpg")
        content[at + 124 : at + 136] = b"%011o\0" % size
        content[at + 148 : at + 156] = b" " * 8
        content[at + 148 : at + 156] = b"%06o\0 " % sum(content[at : at + 512])
        path.write_bytes(bytes(content))
        return path

    return make


def zip_hard_link(folder: Path) -> Path:
    """PKWARE's field for Unix (APPNOTE 4.5.7) can name the file that a hard link leads to."""
    path = zipped(folder / "a.zip", GOOD)
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("nv/x.jpg")
        target = b"/etc/passwd"
        info.extra = struct.pack("<HHLLHH", 0x000D, 12 + len(target), 0, 0, 0, 0) + target
        archive.writestr(info, b"")
    return path


def raw(data: bytes, name: str = "a.zip") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(data)
        return path

    return make


def archives() -> list[Case]:
    """Return the cases."""
    names = [
        Case(f"{title} ({kind})", outcome, make)
        for title, (name, outcome) in NAMES.items()
        for kind, make in with_name(name)
    ]
    forms = "same but for Unicode form"
    return [
        *names,
        Case(f"{forms} (zip)", "reject name_collision", unicode_forms(zipped, "a.zip")),
        Case(f"{forms} (tar)", "reject name_collision", unicode_forms(tarred, "a.tar")),
        Case("empty upload", "job not_an_archive", raw(b"")),
        Case("text named .zip", "job not_an_archive", raw(b"this is no archive" * 99)),
        Case("pdf named .zip", "job not_an_archive", raw(b"%PDF-1.7\n" * 99)),
        Case("gzip of nothing", "job not_an_archive", raw(gzip.compress(b"", mtime=0))),
        Case("zip without files", "job empty_archive", lambda f: zipped(f / "a.zip", {})),
        Case("zip cut short", "job corrupt_archive", cut(zipped, "a.zip")),
        Case("tar cut short", "job corrupt_archive", cut(tarred, "a.tar")),
        Case("tar.gz cut short", "job corrupt_archive", cut(tarred, "a.tar.gz")),
        Case("zip bomb, one entry", "reject compression_bomb", one_bomb),
        Case("zip bomb, nothing else", "job archive_bomb", only_bombs),
        Case("zip bomb, many small entries", "job archive_bomb", many_bombs),
        Case("zip bomb, nested", "reject nested_archive", nested_bomb),
        Case("zip bomb, overlapping entries", "job archive_bomb", overlapping),
        Case("zip directory without end", "job too_many_files", directory_without_end),
        Case("gzip bomb", "job archive_bomb",
             lambda f: tarred(f / "a.tar.gz", {"nv/x.jpg": bytes(60_000_000)})),
        Case("tar inside tar", "reject nested_archive",
             lambda f: tarred(f / "b.tar", GOOD | {
                 "nv/x.tar": tarred(f / "in.tar", {"a": b"x"}).read_bytes()})),
        Case("size too small (zip)", "reject corrupt_entry",
             last_entry(24, struct.pack("<L", 10))),
        Case("size too large (zip)", "reject corrupt_entry",
             last_entry(24, struct.pack("<L", 2**31))),
        Case("size of 8 GB (tar)", "job corrupt_archive", tar_lying_size(8**11 - 1)),
        Case("size too large (tar)", "job corrupt_archive", tar_lying_size(len(BAD) + 700)),
        Case("size too small (tar)", "job corrupt_archive", tar_lying_size(10)),
        Case("size of nothing (tar)", "job corrupt_archive", tar_lying_size(0)),
        Case("wrong checksum (zip)", "reject corrupt_entry", last_entry(16, b"\1\2\3\4")),
        Case("encrypted entry (zip)", "reject encrypted", last_entry(8, b"\x01\x00")),
        Case("lzma entry (zip)", "reject unsupported_compression",
             last_entry(10, struct.pack("<H", zipfile.ZIP_LZMA))),
        Case("symbolic link (zip)", "reject link", zip_entry(stat.S_IFLNK)),
        Case("hard link (zip)", "reject empty_file", zip_hard_link),
        Case("device (zip)", "reject special_file", zip_entry(stat.S_IFCHR)),
        Case("symbolic link (tar)", "reject link", tar_entry(tarfile.SYMTYPE)),
        Case("hard link (tar)", "reject link", tar_entry(tarfile.LNKTYPE)),
        Case("character device (tar)", "reject special_file", tar_entry(tarfile.CHRTYPE)),
        Case("block device (tar)", "reject special_file", tar_entry(tarfile.BLKTYPE)),
        Case("fifo (tar)", "reject special_file", tar_entry(tarfile.FIFOTYPE)),
        Case("sparse file (tar)", "job unsupported_archive",
             tar_headers({"GNU.sparse.map": "0,1", "GNU.sparse.size": "99999999999"})),
        Case("header of 3 MB (tar)", "job archive_bomb",
             tar_headers({"comment": "c" * 3_000_000})),
    ]  # fmt: skip
