"""How much an import holds in memory at once, whatever it is given."""

from __future__ import annotations

import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from core.ingest import reading
from core.ingest.archive import open_archive
from core.ingest.bitstream import read_jpeg
from core.ingest.intake import IntakeOptions
from core.ingest.layouts import Item
from core.ingest.rejects import Rejected
from tests.unit.ingest.made import jpeg


def test_large_images_are_decoded_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_LARGE_PIXELS", 100)
    monkeypatch.setattr(reading, "_BATCH_FILES", 1)
    prepare, busy, most = reading.prepare, 0, 0
    guard = threading.Lock()

    def watched(data: bytes, *, max_pixels: int) -> Any:
        nonlocal busy, most
        if max_pixels == 100:
            return prepare(data, max_pixels=max_pixels)
        with guard:
            busy += 1
            most = max(most, busy)
        time.sleep(0.01)  # long enough for another thread to come in, if it could
        try:
            return prepare(data, max_pixels=max_pixels)
        finally:
            with guard:
                busy -= 1

    monkeypatch.setattr(reading, "prepare", watched)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for index in range(12):
            file.writestr(f"{index}.jpg", jpeg(index))
    archive = open_archive(tmp_path / "a.zip")
    items = [Item(name, "x") for name in archive.listing.files]
    images, rejects = reading.read_images(
        archive, items, lambda data: "0" * 64, lambda n, of: None, 4, IntakeOptions()
    )
    assert (len(images), rejects, most) == (12, [], 1)


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    data = jpeg(1)
    start = data.index(b"\xff\xda")
    scan = data[start:-2]
    read_jpeg(data[:start] + scan * 100 + b"\xff\xd9")
    with pytest.raises(Rejected) as caught:
        read_jpeg(data[:start] + scan * 101 + b"\xff\xd9")
    assert caught.value.code == "compression_bomb"
