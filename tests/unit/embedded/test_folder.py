"""Locks, JSON files and private folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.embedded.errors import EmbeddedFailure
from core.embedded.folder import FolderLock, private_folder, read_json, write_json


def test_a_folder_is_private_even_when_it_was_open(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True, mode=0o755)
    assert private_folder(folder).stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedFailure, match="DERMSYNTH_HOME"):
        private_folder(tmp_path / "file" / "folder")


def test_json_is_replaced_at_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert read_json(path) == {"a": 2}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00"])
def test_what_is_no_json_object_reads_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    assert read_json(path) is None
    assert read_json(tmp_path / "absent") is None


def test_a_lock_has_one_owner_and_names_it(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path / "lock"), FolderLock(tmp_path / "lock")
    assert second.owner() is None
    assert first.acquire()
    assert first.acquire()
    assert not second.acquire(patience=0.0)
    assert second.owner() == first.owner() == os.getpid()
    first.release()
    assert second.owner() is None
    assert second.acquire()
    second.release()


def test_a_killed_owner_leaves_no_lock(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from core.embedded.folder import FolderLock
lock = FolderLock(Path({str(tmp_path / "lock")!r}))
print(lock.acquire(), flush=True)
time.sleep(600)
"""
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner, owner.stdout:
        assert owner.stdout.readline() == "True\n"
        lock = FolderLock(tmp_path / "lock")
        assert lock.owner() == owner.pid
        owner.kill()
        owner.wait()
    assert lock.owner() is None
    assert lock.acquire()
    lock.release()
