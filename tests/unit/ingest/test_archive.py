from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput
from core.ingest.archive import ArchiveLimits, open_archive
from core.ingest.rejects import Rejected
from tests.unit.ingest.made import tarred, zipped


def listed(path: Path, limits: ArchiveLimits | None = None) -> tuple[list[str], dict[str, str]]:
    listing = open_archive(path, limits).listing
    return listing.files, {r.name: r.code for r in listing.rejects}


def contents(path: Path, limits: ArchiveLimits | None = None) -> dict[str, Any]:
    archive = open_archive(path, limits)
    found = archive.read(frozenset(archive.listing.files))
    return {n: d.code if isinstance(d, Rejected) else d for n, d in found}


def refused(path: Path, limits: ArchiveLimits | None = None) -> str:
    with pytest.raises(InvalidInput) as error:
        open_archive(path, limits)
    return error.value.code


MAKERS = {"zip": zipped, "tar": tarred, "tar.gz": tarred}


@pytest.fixture(params=sorted(MAKERS))
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return lambda files: MAKERS[request.param](tmp_path / f"a.{request.param}", files)


def test_files_come_back_as_they_were(made: Any) -> None:
    files = {"b/1.jpg": b"one" * 1000, "a/2.jpg": b"", "c": b"three"}
    assert contents(made(files)) == files


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../x.jpg", "unsafe_path"),
        ("a/../../x.jpg", "unsafe_path"),
        ("/etc/x.jpg", "unsafe_path"),
        ("C:/x.jpg", "unsafe_path"),
        ("a\\x.jpg", "unsafe_path"),
        ("n" * 500 + ".jpg", "name_too_long"),
        ("a/" + "n" * 260, "name_too_long"),
        ("a/\u202egpj.exe", "bad_name"),
        ("a/\x07.jpg", "bad_name"),
    ],
)
def test_unsafe_names_are_rejects(made: Any, name: str, code: str) -> None:
    files, rejects = listed(made({"ok.jpg": b"x", name: b"y"}))
    assert files == ["ok.jpg"]
    assert list(rejects.values()) == [code]


def test_names_that_collide_are_rejects(made: Any) -> None:
    files, rejects = listed(made({"A.jpg": b"1", "a.jpg": b"2", "é": b"3", "e\u0301": b"4"}))
    assert files == ["A.jpg", "é"]
    assert list(rejects.values()) == ["name_collision"] * 2


def test_foreign_letters_and_dot_folders_are_fine(made: Any) -> None:
    assert listed(made({"./nävus/א.jpg": b"1", "x//2.jpg": b"2"}))[0] == ["nävus/א.jpg", "x/2.jpg"]


def test_desktop_leftovers_are_not_counted(made: Any) -> None:
    noise = {"__MACOSX/a/._1.jpg": b"n", "a/.DS_Store": b"n", "Thumbs.db": b"n", "a/._1.jpg": b"n"}
    assert listed(made({"a/1.jpg": b"x", **noise})) == (["a/1.jpg"], {})


def test_tables_are_kept_apart(made: Any) -> None:
    archive = open_archive(made({"m.csv": b"a,b", "1.jpg": b"x"}))
    assert archive.listing.tables == {"m.csv": b"a,b"}
    assert archive.listing.files == ["1.jpg"]


def test_limits_of_the_whole_archive(made: Any) -> None:
    path = made({f"{i}.jpg": bytes([i]) * 100 for i in range(20)})
    assert refused(path, ArchiveLimits(files=19)) == "too_many_files"
    with pytest.raises(InvalidInput) as error:
        contents(path, ArchiveLimits(total_bytes=1000))
    assert error.value.code == "archive_too_large"


def test_one_file_over_the_limit_is_a_reject(made: Any) -> None:
    path = made({"big": b"x" * 5000, "small": b"y"})
    assert contents(path, ArchiveLimits(entry_bytes=4000)) == {
        "big": "file_too_large",
        "small": b"y",
    }


def test_a_large_table_is_an_error(made: Any) -> None:
    path = made({"m.csv": b"x" * 5000})
    assert refused(path, ArchiveLimits(table_bytes=4000)) == "table_too_large"


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"%PDF-1.7" * 400, b"\x1f\x8bnot gzip", b"\xff" * 9999]
)
def test_what_is_not_an_archive(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    assert refused(path) == "not_an_archive"


def test_empty_archives(made: Any) -> None:
    assert refused(made({})) == "empty_archive"


def test_zip_cut_short(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"1.jpg": b"x" * 999})
    path.write_bytes(path.read_bytes()[:-30])
    assert refused(path) == "corrupt_archive"


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_tar_cut_short(tmp_path: Path, name: str) -> None:
    import random

    noise = random.Random(0).randbytes(50_000)
    path = tarred(tmp_path / name, {"1.jpg": noise, "2.jpg": noise})
    path.write_bytes(path.read_bytes()[:60_000])
    assert refused(path) == "corrupt_archive"


def test_zip_links_and_devices(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in (("link", stat.S_IFLNK), ("dev", stat.S_IFCHR), ("file", stat.S_IFREG)):
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode | 0o644) << 16
            archive.writestr(info, b"/etc/passwd")
    assert listed(path) == (["file"], {"link": "link", "dev": "special_file"})


def test_tar_links_and_devices(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    kinds = {
        "sym": tarfile.SYMTYPE,
        "hard": tarfile.LNKTYPE,
        "dev": tarfile.CHRTYPE,
        "fifo": tarfile.FIFOTYPE,
    }
    with tarfile.open(path, "w") as archive:
        for name, kind in kinds.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        member = tarfile.TarInfo("file")
        archive.addfile(member)
    files, rejects = listed(path)
    assert files == ["file"]
    assert rejects == {
        "sym": "link",
        "hard": "link",
        "dev": "special_file",
        "fifo": "special_file",
    }


def patched(path: Path, signature: bytes, offset: int, value: bytes) -> Path:
    """Overwrite bytes behind the first header with this signature."""
    data = bytearray(path.read_bytes())
    at = data.index(signature) + offset
    data[at : at + len(value)] = value
    path.write_bytes(bytes(data))
    return path


def test_encrypted_entries(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"1.jpg": b"x"})
    patched(path, b"PK\x01\x02", 8, b"\x01\x00")
    assert listed(path) == ([], {"1.jpg": "encrypted"})


def test_methods_that_cost_memory_are_not_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"1.jpg": b"x" * 99}, zipfile.ZIP_LZMA)
    assert listed(path) == ([], {"1.jpg": "unsupported_compression"})


@pytest.mark.parametrize("claimed", [10, 5000])
def test_lying_sizes_are_rejects(tmp_path: Path, claimed: int) -> None:
    path = zipped(tmp_path / "a.zip", {"1.jpg": bytes(range(256)) * 4, "2.jpg": b"ok"})
    patched(path, b"PK\x01\x02", 24, struct.pack("<L", claimed))
    assert contents(path) == {"1.jpg": "corrupt_entry", "2.jpg": b"ok"}


def test_damaged_entry_is_a_reject(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"1.jpg": b"abc" * 99, "2.jpg": b"ok"}, zipfile.ZIP_STORED)
    patched(path, b"abcabc", 3, b"ZZZ")
    assert contents(path) == {"1.jpg": "corrupt_entry", "2.jpg": b"ok"}


def test_overlapping_entries_are_a_bomb(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"1.jpg": b"x" * 999, "2.jpg": b"y" * 999})
    data = bytearray(path.read_bytes())
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    data[second + 42 : second + 46] = struct.pack("<L", 0)
    path.write_bytes(bytes(data))
    assert refused(path) == "archive_bomb"


def test_zip_bomb_is_a_reject_and_never_held(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"bomb": b"\0" * 20_000_000, "ok": b"x"})
    assert contents(path) == {"bomb": "compression_bomb", "ok": b"x"}


def test_gzip_bomb_is_an_error(tmp_path: Path) -> None:
    path = tarred(tmp_path / "a.tar.gz", {"bomb": b"\0" * 40_000_000})
    assert refused(path) == "archive_bomb"


def test_huge_tar_header_is_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("1.jpg")
        member.pax_headers = {"comment": "c" * 3_000_000}
        archive.addfile(member)
    assert refused(path) == "archive_bomb"


def test_sparse_tar_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("1.jpg")
        member.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "999"}
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    assert refused(path) == "unsupported_archive"


def test_directory_with_more_entries_than_it_says(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {f"{i}": b"" for i in range(1100)})
    assert refused(path, ArchiveLimits(files=10)) == "too_many_files"
