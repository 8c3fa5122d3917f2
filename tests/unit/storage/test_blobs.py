from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from core.errors import NotFound, StorageFull
from core.storage.blobs import BlobStore, disk_errors, stage


def test_a_blob_is_found_under_its_hash(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    sha256 = store.add(b"pixels")
    assert sha256 == hashlib.sha256(b"pixels").hexdigest()
    assert store.find(sha256).read_bytes() == b"pixels"
    assert not any((tmp_path / "staging" / "direct").iterdir())


def test_adding_the_same_bytes_twice_leaves_one_blob(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    assert store.add(b"same") == store.add(b"same")


def test_an_unknown_blob_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        BlobStore(tmp_path).find("0" * 64)


def test_staged_files_are_invisible_until_published(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    folder = store.staging("job_1", 1) / "blobs"
    source = tmp_path / "made.bin"
    source.write_bytes(b"made")
    sha256 = stage(source, folder)
    assert not source.exists()
    with pytest.raises(NotFound):
        store.find(sha256)
    store.publish(folder, [sha256])
    assert store.find(sha256).read_bytes() == b"made"
    assert not (folder / sha256).exists()


def test_publishing_again_is_harmless_and_a_missing_blob_is_an_error(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    folder = tmp_path / "staging"
    sha256 = stage(b"once", folder)
    store.publish(folder, [sha256])
    store.publish(folder, [sha256])
    with pytest.raises(NotFound):
        store.publish(folder, ["f" * 64])


def test_a_full_disk_is_a_typed_error() -> None:
    with pytest.raises(StorageFull), disk_errors():
        raise OSError(28, "No space left on device")
    with pytest.raises(PermissionError), disk_errors():
        raise PermissionError(13, "no")


def test_many_blobs_are_published_together(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    folder = tmp_path / "staging"
    hashes = [stage(str(n).encode(), folder) for n in range(100)]
    store.publish(folder, hashes)
    assert [store.find(sha256).read_text() for sha256 in hashes] == [str(n) for n in range(100)]
    assert not any(folder.iterdir())


def test_nothing_is_moved_twice_when_two_stages_hold_the_same_blob(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    first, second = tmp_path / "one", tmp_path / "two"
    sha256 = stage(b"shared", first)
    stage(b"shared", second)
    store.publish(first, [sha256])
    store.publish(second, [sha256])
    assert store.find(sha256).read_bytes() == b"shared"
