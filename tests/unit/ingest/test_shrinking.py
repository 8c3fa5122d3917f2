"""Thumbnails are made in a process that has little, may take little and can be lost."""

from __future__ import annotations

import io
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from core.ingest.decoder import DecoderLimits
from core.ingest.rejects import Rejected
from core.ingest.shrinking import Shrinker

MIB = 1024**2


@pytest.fixture
def shrinker() -> Iterator[Shrinker]:
    made = Shrinker(DecoderLimits(memory_bytes=256 * MIB, cpu_seconds=20, seconds=60))
    yield made
    made.close()


def picture(folder: Path, name: str, size: tuple[int, int], mode: str = "RGB") -> Path:
    path = folder / name
    Image.new(mode, size, 70 if mode == "L" else None).save(path)
    return path


def size_of(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data), formats=("WEBP",)).size


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
def test_pictures_of_every_mode_are_shrunk(shrinker: Shrinker, tmp_path: Path, mode: str) -> None:
    assert size_of(shrinker.shrink(picture(tmp_path, "a.png", (900, 600), mode), 128)) == (128, 85)
    assert size_of(shrinker.shrink(picture(tmp_path, "b.png", (24, 16), mode), 128)) == (24, 16)


def test_the_process_is_kept(shrinker: Shrinker, tmp_path: Path) -> None:
    path = picture(tmp_path, "a.jpg", (900, 600))
    assert shrinker.pid is None
    shrinker.shrink(path, 64)
    first = shrinker.pid
    shrinker.shrink(path, 128)
    assert shrinker.pid == first is not None


def test_a_broken_image_is_rejected_and_the_process_goes_on(
    shrinker: Shrinker, tmp_path: Path
) -> None:
    whole = picture(tmp_path, "a.jpg", (900, 600))
    broken = tmp_path / "b.jpg"
    broken.write_bytes(whole.read_bytes()[:400])
    (tmp_path / "c.svg").write_text("<svg/>")
    for path in (broken, tmp_path / "c.svg", tmp_path / "absent"):
        with pytest.raises(Rejected) as caught:
            shrinker.shrink(path, 64)
        assert caught.value.code == "unreadable_image"
    assert size_of(shrinker.shrink(whole, 90)) == (90, 60)


def test_an_image_beyond_the_memory_costs_its_process_only(tmp_path: Path) -> None:
    shrinker = Shrinker(DecoderLimits(memory_bytes=48 * MIB, cpu_seconds=20, seconds=60))
    with pytest.raises(Rejected) as caught:
        shrinker.shrink(picture(tmp_path, "a.png", (6000, 5000)), 64)
    assert caught.value.code == "decoder_out_of_memory"
    assert shrinker.pid is None
    assert size_of(shrinker.shrink(picture(tmp_path, "b.png", (90, 60)), 64)) == (64, 43)
    shrinker.close()


def test_memory_that_others_have_taken_costs_an_image_nothing(
    shrinker: Shrinker, tmp_path: Path
) -> None:
    shrinker.shrink(picture(tmp_path, "a.png", (90, 60)), 64)
    full = shrinker.pid
    assert full is not None
    pages = int(Path(f"/proc/{full}/statm").read_text().split()[0])
    taken = pages * resource.getpagesize() + 8 * MIB  # as if this were all that is left
    resource.prlimit(full, resource.RLIMIT_AS, (taken, taken))
    large = picture(tmp_path, "b.png", (6000, 4000))
    assert size_of(shrinker.shrink(large, 60)) == (60, 40)
    assert shrinker.pid not in (None, full)


def test_a_stopped_process_is_given_up(tmp_path: Path) -> None:
    shrinker = Shrinker(DecoderLimits(seconds=1.0))
    path = picture(tmp_path, "a.png", (90, 60))
    shrinker.shrink(path, 64)
    assert shrinker.pid is not None
    os.kill(shrinker.pid, signal.SIGSTOP)
    with pytest.raises(Rejected) as caught:
        shrinker.shrink(path, 64)
    assert caught.value.code == "decoder_timeout"
    shrinker.close()


def test_a_process_that_died_while_idle_is_replaced(shrinker: Shrinker, tmp_path: Path) -> None:
    path = picture(tmp_path, "a.png", (90, 60))
    shrinker.shrink(path, 64)
    lost = shrinker.pid
    assert lost is not None
    os.kill(lost, signal.SIGKILL)
    assert size_of(shrinker.shrink(path, 64)) == (64, 43)
    assert shrinker.pid != lost


def test_the_process_has_no_secret_and_no_descriptor_of_ours(
    shrinker: Shrinker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:secret@somewhere/x")
    with (tmp_path / "open").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        shrinker.shrink(picture(tmp_path, "a.png", (90, 60)), 64)
        process = Path(f"/proc/{shrinker.pid}")
        assert b"secret" not in (process / "environ").read_bytes()
        held = {int(entry.name) for entry in (process / "fd").iterdir()}
    assert held <= {0, 1, 2}
    assert "Max address space     unlimited" not in (process / "limits").read_text()
