"""Features come in the order of the items, and nothing is computed twice."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import cv2
import numpy as np
import pytest

from core.errors import InvalidInput, NotFound, UnknownName
from core.features import extract
from core.features.contract import Backbone
from core.features.extract import FeatureItem, features, missing_items
from core.features.network import CPU_SLICE
from core.features.preprocess import square
from core.ingest.images import decode
from tests.unit.features.volume import Volume

NAME = "efficientnet_lite0"


def test_order_duplicates_and_cache(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    a, b, c = (volume.add(seed) for seed in range(3))
    first = features(volume, [a, b, a], NAME, batch_size=2)
    assert first.matrix.shape == (3, 1280)
    assert (first.computed, first.cached) == (2, 0)
    assert np.array_equal(first.matrix[0], first.matrix[2])
    assert not np.allclose(first.matrix[0], first.matrix[1])
    volume.read.clear()
    again = features(volume, [c, b, a], NAME)
    assert volume.read == [c.sha256]
    assert (again.computed, again.cached) == (1, 2)
    assert np.array_equal(again.matrix[2], first.matrix[0])
    assert again.backbone_sha256.startswith("57934424")


def test_threads_and_neighbours_do_not_matter(tmp_path: Path) -> None:
    results = []
    for threads in (1, 3):
        folder = tmp_path / str(threads)
        folder.mkdir()
        volume = Volume(folder, threads)
        items = [volume.add(seed) for seed in range(CPU_SLICE + 2)][threads - 1 :]
        results.append(features(volume, items, NAME).matrix)
    assert np.array_equal(results[0][2:], results[1])


class _GpuNetwork:
    """Takes the place of a network on a GPU: mean colours as features."""

    seen: ClassVar[list[int]] = []

    def __init__(self, spec: Backbone, *_args: object) -> None:
        self.device = SimpleNamespace(type="cuda")
        self.dimension = spec.dimension

    def __call__(self, squares: np.ndarray) -> np.ndarray:
        self.seen.append(len(squares))
        means = squares.mean(axis=(1, 2, 3), dtype=np.float32)
        return np.repeat(means[:, np.newaxis], self.dimension, axis=1)


def test_a_gpu_gets_batches_of_the_size_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.features.network.Network", _GpuNetwork)
    volume = Volume(tmp_path, threads=2)
    items = [volume.add(seed) for seed in range(7)]
    found = features(volume, items, NAME, batch_size=3).matrix
    assert _GpuNetwork.seen == [3, 3, 1]
    alone = [features(volume, [item], NAME).matrix[0] for item in items]
    assert np.array_equal(found, np.stack(alone))
    expected = [
        square(decode(volume.blob(item.sha256)), 224).mean(dtype=np.float32) for item in items
    ]
    assert found[:, 0] == pytest.approx(expected, rel=1e-5)


def test_a_view_equals_the_turned_image(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    item = volume.add(1, 32, 32)
    pixels = np.asarray(cv2.imread(str(volume.blob(item.sha256))))
    turned = volume.store(cv2.imencode(".png", np.ascontiguousarray(np.rot90(pixels)))[1].tobytes())
    found = features(volume, [FeatureItem(item.sha256, 1), turned], NAME).matrix
    assert np.array_equal(found[0], found[1])


def test_grey_images_work(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    grey = np.arange(1200, dtype=np.uint8).reshape(30, 40)
    colour = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    items = [volume.store(cv2.imencode(".png", p)[1].tobytes()) for p in (grey, colour)]
    found = features(volume, items, NAME).matrix
    assert np.array_equal(found[0], found[1])


def test_nothing_in_nothing_out(tmp_path: Path) -> None:
    found = features(Volume(tmp_path), [], NAME)
    assert found.matrix.shape == (0, 1280)


def test_without_persist_the_volume_stays_as_it_is(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    features(volume, [volume.add(1)], NAME, persist=False)
    assert not (tmp_path / "features").exists()


def test_an_unreadable_image_is_an_error_and_keeps_the_others(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    good, bad = [volume.add(seed) for seed in range(CPU_SLICE)], volume.store(b"no image")
    with pytest.raises(InvalidInput, match=bad.sha256) as caught:
        features(volume, [*good, bad], NAME, batch_size=CPU_SLICE)
    assert caught.value.code == "decode_failed"
    assert missing_items(volume, [*good, bad], NAME) == [bad]


def test_a_blob_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        features(Volume(tmp_path), [FeatureItem("0" * 64)], NAME)


def test_unknown_backbone_names_the_field(tmp_path: Path) -> None:
    with pytest.raises(UnknownName) as caught:
        features(Volume(tmp_path), [], "eficientnet_lite0")
    assert caught.value.errors[0].pointer == "/backbone"
    assert NAME in caught.value.detail


def test_other_code_has_another_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = Volume(tmp_path)
    item = volume.add(1)
    features(volume, [item], NAME)
    monkeypatch.setattr(extract, "CODE_VERSION", "other")
    assert missing_items(volume, [item], NAME) == [item]


def test_progress_fills_its_span_and_never_goes_back(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    features(volume, [volume.add(seed) for seed in range(3)], NAME, phase="look", span=(0.2, 0.6))
    shares = [current / total for phase, current, total in volume.told if phase == "look"]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(0.2)
    assert shares[-1] == pytest.approx(0.6)
