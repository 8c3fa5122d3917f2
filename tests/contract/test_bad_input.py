"""Bad datasets end to end: a job that fails with a typed code, or rejects with their reasons."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import func, select

from core.db.models import Dataset, DatasetVersion
from core.db.models import Image as ImageRow
from core.errors import DermSynthError
from core.storage.blobs import BlobStore
from tests.contract.world import World, zip_of
from tests.integration.harness import Harness

Archive = Callable[[Path], Path]


def picture(shade: int, size: int = 32, form: str = "JPEG") -> bytes:
    image = Image.new("RGB", (size, size), (shade, 90, 255 - shade))
    image.putpixel((shade % size, shade * 7 % size), (0, 0, 0))
    data = io.BytesIO()
    image.save(data, form)
    return data.getvalue()


def huge_png(width: int = 30_000, height: int = 30_000) -> bytes:
    """A PNG whose header promises pixels of 2.7 GB."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    row = b"\0" + b"\xff" * (3 * width)
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(row) for _ in range(50)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


GOOD = {f"{label}/{n}.jpg": picture(8 * n + s) for s, label in enumerate("ab") for n in range(12)}


@pytest.fixture(scope="module")
def world(shared_stack: Harness) -> World:
    return World(shared_stack)


def not_an_archive(folder: Path) -> Path:
    path = folder / "text.zip"
    path.write_text("this is not an archive")
    return path


def truncated_archive(folder: Path) -> Path:
    path = zip_of(GOOD, folder / "cut.zip")
    path.write_bytes(path.read_bytes()[:-400])
    return path


def bomb(folder: Path) -> Path:
    path = folder / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for n in range(4):
            file.writestr(f"a/{n}.jpg", bytes(20_000_000))
    return path


@pytest.mark.parametrize(
    ("make", "params", "code"),
    [
        (not_an_archive, {}, "not_an_archive"),
        (truncated_archive, {}, "corrupt_archive"),
        (lambda f: zip_of({}, f / "empty.zip"), {}, "empty_archive"),
        (lambda f: zip_of({"a/1.txt": b"hello"}, f / "texts.zip"), {}, "no_images"),
        (bomb, {}, ("archive_bomb", "no_images")),
        (
            lambda f: zip_of(
                GOOD | {"metadata.csv": b"file,what\na/0.jpg,x\n"}, f / "columns.zip"
            ),
            {"layout": "csv", "label_column": "diagnosis"},
            "unknown_column",
        ),
    ],
)  # fmt: skip
def test_an_archive_that_cannot_be_taken_fails_with_a_typed_code_and_leaves_nothing(
    world: World, tmp_path: Path, make: Archive, params: dict[str, str], code: str | tuple[str, ...]
) -> None:
    def counts() -> list[int | None]:
        with world.stack.sessions() as session:
            return [
                session.scalar(select(func.count()).select_from(table))
                for table in (Dataset, DatasetVersion, ImageRow)
            ]

    before = counts()
    job = world.import_(make(tmp_path), **params)
    codes = (code,) if isinstance(code, str) else code
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["code"] in codes, job.error
    assert job.attempt == 1
    assert counts() == before
    assert not BlobStore(world.stack.folder).staging(job.id, job.claims).exists()


def test_bad_files_are_rejects_with_reasons_and_the_good_ones_are_taken(
    world: World, tmp_path: Path
) -> None:
    good = GOOD["a/0.jpg"]
    bad = {
        "a/zero.jpg": (b"", "empty_file"),
        "a/cut.jpg": (picture(200, 200)[:-300], "truncated"),
        "a/text.jpg": (b"only text" * 50, "not_an_image"),
        "a/huge.png": (huge_png(), "too_many_pixels"),
        "a/again.jpg": (good, "duplicate"),
        "../up.jpg": (picture(77), "unsafe_path"),
        "b/page.jpg": (b"<html><script>alert(1)</script></html>", "not_an_image"),
    }
    archive = zip_of(GOOD | {name: data for name, (data, _) in bad.items()}, tmp_path / "bad.zip")
    job = world.import_(archive)
    assert job.status == "succeeded", (job.error, world.log(job.id))
    assert job.result is not None
    assert (job.result["accepted"], job.result["rejected"]) == (len(GOOD), len(bad))
    with world.stack.sessions() as session:
        version = session.get_one(DatasetVersion, job.result["dataset_version_id"])
    lines = (
        BlobStore(world.stack.folder).find(version.info["rejects_blob"]).read_text().splitlines()
    )
    reasons = {row["name"]: row["code"] for row in map(json.loads, lines)}
    wanted = {name: code for name, (_, code) in bad.items()}
    assert set(reasons.values()) == set(wanted.values()), reasons
    assert len(reasons) == len(bad)


def test_one_class_imports_with_a_warning_and_is_refused_where_classes_are_compared(
    world: World, tmp_path: Path
) -> None:
    files = {name: data for name, data in GOOD.items() if name.startswith("a/")}
    job = world.import_(zip_of(files, tmp_path / "one.zip"))
    assert job.status == "succeeded", job.error
    assert job.result is not None
    assert any("one_class" in warning for warning in job.result["warnings"])
    version = job.result["dataset_version_id"]
    for kind, params in (
        ("train", {"dataset_version_ids": [version]}),
        ("experiment", {"dataset_version_id": version}),
        ("pipeline", {"dataset_version_id": version}),
    ):
        with pytest.raises(DermSynthError) as refused:
            world.stack.submit(kind, **params)
        assert (refused.value.status, refused.value.code) == (422, "too_few_classes"), kind


def test_one_image_a_class_ends_with_a_typed_answer(world: World, tmp_path: Path) -> None:
    files = {"a/1.jpg": picture(10), "b/1.jpg": picture(120), "c/1.jpg": picture(230)}
    job = world.import_(zip_of(files, tmp_path / "single.zip"))
    assert job.status == "succeeded", job.error
    assert job.result is not None
    version = job.result["dataset_version_id"]
    try:
        job_id = world.stack.submit("train", dataset_version_ids=[version])
    except DermSynthError as refused:
        assert refused.status == 422
        return
    ended = world.stack.wait(job_id)
    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error["code"] not in ("internal_error", "worker_lost"), ended.error
