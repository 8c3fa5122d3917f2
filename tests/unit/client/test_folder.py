"""Folders as tar archives that are never written."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.client import SourceRefused
from api.client.folder import FolderArchive
from api.client.sources import counted_files, open_source

FILES = {
    "nv/a.jpg": b"a" * 700,
    "nv/b.jpg": b"",
    "mel/c.png": b"c" * 512,
    "metadata.csv": b"x,y\n",
    "mel/" + "ü" * 80 + "/" + "lang" * 30 + ".jpg": b"long",
}


def fill(root: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def unpacked(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: (tar.extractfile(m) or io.BytesIO()).read() for m in tar if m.isreg()}


def test_the_archive_holds_exactly_the_files(tmp_path: Path) -> None:
    archive = FolderArchive(fill(tmp_path))
    data = archive.read(0, archive.length)
    assert len(data) == archive.length
    assert unpacked(data) == FILES


def test_the_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    files = {f"{folder}/{name}.jpg": b"x" for folder in "cab" for name in "312"}
    assert FolderArchive(fill(tmp_path, files)).names == sorted(files)


def test_the_same_folder_gives_the_same_bytes_wherever_and_whenever(tmp_path: Path) -> None:
    one, two = fill(tmp_path / "a"), fill(tmp_path / "b", dict(reversed(FILES.items())))
    for path in two.rglob("*"):
        os.utime(path, (1, 1))
    (two / "nv/a.jpg").chmod(0o600)
    first, second = FolderArchive(one), FolderArchive(two)
    assert first.read(0, first.length) == second.read(0, second.length)


@given(st.lists(st.integers(1, 900), min_size=1, max_size=30))
def test_any_sequence_of_reads_gives_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    archive = FolderArchive(fill(tmp_path_factory.mktemp("folder")))
    whole = archive.read(0, archive.length)
    offset, pieces = 0, []
    for size in [*sizes, archive.length]:
        pieces.append(archive.read(offset, size))
        offset += len(pieces[-1])
    assert b"".join(pieces) == whole


def test_reading_past_the_end_gives_nothing(tmp_path: Path) -> None:
    archive = FolderArchive(fill(tmp_path))
    assert archive.read(archive.length, 10) == b""


def test_hidden_files_leftovers_and_links_stay_out_and_are_counted(tmp_path: Path) -> None:
    root = fill(tmp_path / "set", {"nv/a.jpg": b"a"})
    fill(root, {".git/x": b"", "__MACOSX/nv/a.jpg": b"", "nv/._a.jpg": b"", "nv/Thumbs.db": b""})
    outside = tmp_path / "secret.jpg"
    outside.write_bytes(b"secret")
    (root / "nv/link.jpg").symlink_to(outside)
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "nv/pipe.jpg")
    archive = FolderArchive(root)
    assert archive.names == ["nv/a.jpg"]
    assert archive.skipped == {"hidden": 4, "link": 2, "special file": 1}


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nv").mkdir()
    with pytest.raises(SourceRefused, match="no files"):
        FolderArchive(tmp_path)


@pytest.mark.parametrize("content", [b"longer than before", b"s", None])
def test_a_file_that_changed_since_is_noticed(tmp_path: Path, content: bytes | None) -> None:
    archive = FolderArchive(fill(tmp_path, {"a.jpg": b"before"}))
    (tmp_path / "a.jpg").unlink() if content is None else (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(SourceRefused):
        archive.read(0, archive.length)


def test_tables_and_leftovers_are_not_counted(tmp_path: Path) -> None:
    assert counted_files(open_source(fill(tmp_path / "set"))) == 4
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("nv/", "nv/a.jpg", "nv/readme.txt", "labels.csv", "__MACOSX/nv/._a.jpg"):
            archive.writestr(name, b"")
    assert counted_files(open_source(path)) == 2


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_entries_of_tars_are_counted_links_included(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"set{suffix}"
    with tarfile.open(path, "w:gz" if suffix.endswith("gz") else "w") as tar:
        tar.add(fill(tmp_path / "set"), "set")
        link = tarfile.TarInfo("set/link.jpg")
        link.type = tarfile.SYMTYPE
        link.linkname = "/etc/passwd"
        tar.addfile(link)
    assert counted_files(open_source(path)) == 5


@pytest.mark.parametrize("content", [b"not an archive", b"PK\x03\x04 cut", b"\x1f\x8b\x08 cut"])
def test_what_cannot_be_counted_is_sent_uncounted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    assert counted_files(open_source(tmp_path / "x.zip")) is None
