"""The operator's limits reach the import."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidInput
from core.ids import new_id
from core.ingest import foreign
from core.ingest.decoder import DecoderLimits
from core.ingest.images import encode_png
from core.jobs.context import Inputs, Limits, UploadInput
from core.jobs.runtime import JobRuntime, JobTask, run_kind


def imported(folder: Path, limits: Limits) -> str:
    """Import four pictures and a file of zeros; return the rejects."""
    archive = folder / "a.zip"
    noise = np.random.default_rng(0)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for index in range(4):
            pixels = noise.integers(0, 255, (20, 20, 3), dtype=np.uint8)
            file.writestr(f"{index % 2}/{index}.png", encode_png(pixels))
        file.writestr("0/zeros.png", bytes(20 * 1024**2))
    upload_id = new_id("upl")
    upload = UploadInput(
        id=upload_id, path=str(archive), filename="a.zip", length=archive.stat().st_size
    )
    task = JobTask(
        job_id=new_id("job"), kind="import", attempt=1,
        params={"upload_id": upload_id, "name": "x"}, inputs=Inputs(uploads={upload_id: upload}),
        data_dir=folder, weights_dir=folder, limits=limits,
    )  # fmt: skip
    runtime = JobRuntime(task, lambda _: None)
    rejects = run_kind(runtime, task).artifacts[0]
    return runtime.blob(rejects.sha256).read_text()


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(archive_files=3), "too_many_files"),
        (Limits(archive_bytes=10_000, archive_ratio=1e6), "archive_too_large"),
        (Limits(image_pixels=399, archive_ratio=1e6), "no_images"),
    ],
)
def test_a_limit_is_kept(tmp_path: Path, limits: Limits, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        imported(tmp_path, limits)
    assert caught.value.code == code


def test_the_limits_of_decoders_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "prepare", lambda *_, **__: time.sleep(60))
    limits = Limits(decoder=DecoderLimits(seconds=0.2), archive_ratio=1e6)
    with pytest.raises(InvalidInput) as caught:
        imported(tmp_path, limits)
    assert {r["code"] for r in caught.value.extra["rejects"]} == {"decoder_timeout"}


def test_within_the_limits_it_is_imported(tmp_path: Path) -> None:
    limits = Limits(archive_files=5, image_pixels=400, archive_ratio=1e6)
    assert "not_an_image" in imported(tmp_path, limits)


def test_the_ratio_is_kept(tmp_path: Path) -> None:
    assert "compression_bomb" in imported(tmp_path, Limits(archive_ratio=1.5))
