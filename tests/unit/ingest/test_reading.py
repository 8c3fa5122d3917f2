"""Reading images: what an import holds at once, and what a broken decoder costs."""

from __future__ import annotations

import os
import signal
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from core.ingest import foreign, reading
from core.ingest.archive import open_archive
from core.ingest.bitstream import read_jpeg
from core.ingest.decoder import DecoderLimits, Frame
from core.ingest.images import prepare
from core.ingest.intake import IntakeOptions
from core.ingest.layouts import Item
from core.ingest.rejects import Rejected
from tests.unit.ingest.made import Blobs, encoded, jpeg, pixels, zipped


def read(
    path: Path, files: dict[str, bytes], processes: int = 2, **limits: Any
) -> tuple[list[reading.ImageRead], dict[str, str]]:
    archive = open_archive(zipped(path / "a.zip", files, zipfile.ZIP_STORED))
    items = [Item(name, "x") for name in archive.listing.files]
    images, rejects = reading.read_images(
        archive, items, Blobs().put, lambda n, of: None, processes, IntakeOptions(**limits)
    )
    return images, {reject.name: reject.code for reject in rejects}


def test_large_images_are_decoded_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "_LARGE_PIXELS", 100)
    log = tmp_path / "log"

    def watched(data: bytes, *, max_pixels: int) -> Any:
        if max_pixels == 100:
            return prepare(data, max_pixels=max_pixels)
        with log.open("a") as file:
            file.write("begin\n")
        time.sleep(0.01)  # long enough for another process to come in, if it could
        try:
            return prepare(data, max_pixels=max_pixels)
        finally:
            with log.open("a") as file:
                file.write("end\n")

    monkeypatch.setattr(foreign, "prepare", watched)
    images, rejects = read(tmp_path, {f"{n}.jpg": jpeg(n) for n in range(12)}, 4)
    assert (len(images), rejects) == (12, {})
    assert log.read_text() == "begin\nend\n" * 12


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_a_decoder_that_crashes_costs_one_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    bad = jpeg(7)

    def crashing(data: bytes, *, max_pixels: int) -> Any:
        if data == bad:
            os.kill(os.getpid(), signal.SIGSEGV)
        return prepare(data, max_pixels=max_pixels)

    monkeypatch.setattr(foreign, "prepare", crashing)
    images, rejects = read(tmp_path, {f"{n}.jpg": jpeg(n) for n in range(40)}, processes)
    assert rejects == {"7.jpg": "decoder_failed"}
    assert [image.item.name for image in images] == [f"{n}.jpg" for n in range(40) if n != 7]


def large_files() -> dict[str, bytes]:
    large = pixels(1, 4000, 5000)
    return {
        "a.jpg": jpeg(1),
        "large.jpg": encoded(large, "JPEG"),
        "large.png": encoded(large, "PNG", compress_level=1),
        "large.webp": encoded(large[:3500], "WEBP", method=0),
        "progressive.jpg": encoded(large, "JPEG", progressive=True),
        "z.jpg": jpeg(2),
    }


def test_an_image_beyond_the_memory_of_a_decoder_is_rejected(tmp_path: Path) -> None:
    small = DecoderLimits(memory_bytes=40 * 1024**2)
    files = fresh(large_files)
    images, rejects = fresh(read, tmp_path, files, decoder=small)
    assert [image.item.name for image in images] == ["a.jpg", "z.jpg"]
    assert rejects == dict.fromkeys(sorted(files)[1:-1], "decoder_out_of_memory")
    assert len(read(tmp_path, files)[0]) == len(files)


def fresh(work: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Call in a new process: in what this one has freed, a decoder would find room."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *args, **named).result()


def test_a_mask_that_crashes_its_decoder_costs_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "prepare_mask", lambda *_: os.kill(os.getpid(), signal.SIGABRT))
    path = zipped(tmp_path / "a.zip", {"1.jpg": jpeg(1), "1_mask.png": encoded(pixels(1), "PNG")})
    items = [Item("1.jpg", "x", annotations={"lesion": "1_mask.png"})]
    images, rejects = reading.read_images(
        open_archive(path), items, Blobs().put, lambda n, of: None, 2, IntakeOptions()
    )
    assert (len(images), images[0].provenance) == (1, {})
    assert [(reject.name, reject.code) for reject in rejects] == [("1_mask.png", "decoder_failed")]


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"[" * 100_000, b'{"unchanged": true}', b"\xff", b'"\\ud800"'],
)
def test_an_answer_without_sense_is_a_failed_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(foreign, "_answer", lambda *_, **__: Frame(b"a", answer, bytes(1024)))
    images, rejects = read(tmp_path, {"1.jpg": jpeg(1)})
    assert (images, rejects) == ([], {"1.jpg": "decoder_failed"})


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    data = jpeg(1)
    start = data.index(b"\xff\xda")
    scan = data[start:-2]
    read_jpeg(data[:start] + scan * 100 + b"\xff\xd9")
    with pytest.raises(Rejected) as caught:
        read_jpeg(data[:start] + scan * 101 + b"\xff\xd9")
    assert caught.value.code == "compression_bomb"
