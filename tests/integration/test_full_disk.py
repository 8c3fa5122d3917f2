"""Guarantee 9: a full disk breaks nothing, and nobody has to restart anything."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from core.config import get_settings
from core.db.models import DatasetVersion
from core.errors import StorageFull
from core.ids import new_id
from core.services.quota import require_room
from core.services.uploads import record_whole
from core.storage.blobs import BlobStore, stage
from tests.integration.harness import Harness, eventually
from tests.integration.small_disk import SmallDisk, small_disk

SIZE = 8 * 1024**2


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "volume", "8m") as made:
        yield made


def test_the_reserve_is_kept_and_a_full_volume_is_a_typed_error(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMSYNTH_DATA_DIR", str(disk.outside))
    monkeypatch.setenv("DERMSYNTH_DISK_RESERVE_BYTES", str(SIZE // 2))
    get_settings.cache_clear()
    require_room(SIZE // 4)
    with pytest.raises(StorageFull):
        require_room(SIZE - SIZE // 4)
    store = BlobStore(disk.outside)
    filler = disk.fill()
    with pytest.raises(StorageFull):
        store.add(b"x" * 100_000)
    assert [entry.name for entry in store.files()] == []
    with pytest.raises(StorageFull):
        stage(b"x" * 100_000, disk.outside / "staging")
    filler.unlink()
    sha256 = store.add(b"x" * 100_000)
    assert store.find(sha256).stat().st_size == 100_000
    get_settings.cache_clear()


def upload(stack: Harness, disk: SmallDisk) -> str:
    """Put an archive of 24 images that do not compress on the volume."""
    archive, rng = io.BytesIO(), np.random.default_rng(0)
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(24):
            picture = io.BytesIO()
            pixels = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(picture, "PNG")
            file.writestr(f"{'ab'[number % 2]}/{number}.png", picture.getvalue())
    upload_id = new_id("upl")
    path = disk.outside / "uploads" / upload_id
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(archive.getvalue())
    with stack.sessions.begin() as session:
        record_whole(
            session, stack.principal, upload_id, length=path.stat().st_size, filename="a.zip"
        )
    return upload_id


@pytest.mark.parametrize("reserve", [0, SIZE // 4])
def test_jobs_on_a_full_volume_fail_typed_and_work_again_without_a_restart(
    stack: Harness, disk: SmallDisk, reserve: int
) -> None:
    stack.inside = disk.inside
    stack.start_worker(DERMSYNTH_DATA_DIR=str(disk.path), DERMSYNTH_DISK_RESERVE_BYTES=str(reserve))
    stack.wait_for_workers()
    upload_id = upload(stack, disk)
    filler = disk.fill(leave=reserve + 200_000)
    refused = stack.submit("import", upload_id=upload_id, name="refused")
    full = stack.wait(refused)
    assert (full.status, (full.error or {})["code"]) == ("failed", "storage_full")
    assert full.attempt == full.max_attempts
    assert stack.artifacts(refused) == []
    with stack.sessions() as session:
        assert session.scalars(select(DatasetVersion.id)).all() == []
    waiting = stack.submit("import", upload_id=upload_id, name="waiting")
    eventually(lambda: stack.job(waiting).attempt > 0)
    filler.unlink()
    done = stack.wait(waiting)
    assert (done.status, (done.result or {}).get("accepted")) == ("succeeded", 24)
    staging = disk.outside / "staging"
    eventually(lambda: not any(staging.glob("job_*/*/*")))
