"""Every backbone: the fast network gives what the plain one gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import OutOfMemory
from core.features.contract import BACKBONES
from core.features.network import CPU_SLICE, Network, cpu_has_bf16, fused


def _squares(n: int, size: int = 224) -> np.ndarray:
    coarse = np.random.default_rng(n).integers(0, 256, (n, 7, 7, 3), dtype=np.uint8)
    place = np.arange(size) * 7 // size
    return np.asarray(coarse[:, place][:, :, place])


def _plain(name: str, squares: np.ndarray) -> np.ndarray:
    torch.manual_seed(0)
    spec = BACKBONES.get(name)
    images = torch.from_numpy(squares).permute(0, 3, 1, 2).to(torch.float32) / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (spec.mean, spec.std))
    with torch.no_grad():
        return np.asarray(spec.build(None)((images - mean) / std).numpy())


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


@pytest.mark.parametrize("name", BACKBONES.names())
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
def test_agrees_with_plain_float32(name: str, bf16: bool) -> None:
    squares = _squares(3, BACKBONES.get(name).size)
    expected = _plain(name, squares)
    torch.manual_seed(0)
    found = Network(BACKBONES.get(name), None, "cpu", bf16=bf16)(squares)
    assert found.shape == (3, BACKBONES.get(name).dimension)
    assert found.dtype == np.float32
    assert _cosine(expected, found) >= (0.999 if bf16 else 0.999999)


@pytest.mark.parametrize("name", [name for name, one in BACKBONES if one.traceable])
def test_every_batch_norm_is_folded(name: str) -> None:
    kinds = {type(m) for m in fused(BACKBONES.get(name).build(None)).modules()}
    assert torch.nn.BatchNorm2d not in kinds


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "dinov2_vits14"])
def test_neighbours_do_not_change_an_image(name: str) -> None:
    torch.manual_seed(0)
    network = Network(BACKBONES.get(name), None, "cpu", bf16=False)
    squares = _squares(CPU_SLICE + 3)
    together = network(squares)
    assert np.array_equal(network(squares), together)
    for place in (0, CPU_SLICE - 1, CPU_SLICE, CPU_SLICE + 2):
        assert np.array_equal(network(squares[place : place + 1])[0], together[place])
    assert network(squares[:0]).shape == (0, BACKBONES.get(name).dimension)


class _SmallGpu(Network):
    """Pretends to be a GPU on which ``fits`` images fit, with the mean colour as features."""

    def __init__(self, fits: int) -> None:
        self.backbone = dataclasses.replace(BACKBONES.get("efficientnet_lite0"), dimension=3)
        self.device = torch.device("cuda")
        self.fits = fits
        self.asked: list[int] = []
        self._most = None

    def _run(self, squares: np.ndarray) -> np.ndarray:
        self.asked.append(len(squares))
        if len(squares) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return np.asarray(squares.mean((1, 2), dtype=np.float32))


def test_a_full_gpu_halves_the_batch_and_remembers() -> None:
    network = _SmallGpu(3)
    squares = _squares(11)
    assert np.array_equal(network(squares), squares.mean((1, 2), dtype=np.float32))
    assert network.asked == [11, 5, 2, 2, 2, 2, 2, 1]


def test_one_image_that_does_not_fit_is_a_typed_error() -> None:
    with pytest.raises(OutOfMemory, match="One image"):
        _SmallGpu(0)(_squares(2))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 sse", True),
        ("flags : amx_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16", True),
        ("flags : fpu avx2 avx512f", False),
        ("model name: bf16\nflags: fpu", False),
        ("", False),
    ],
)
def test_bf16_is_read_from_the_flags(tmp_path: Path, text: str, expected: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_has_bf16(tmp_path / "cpuinfo") is expected
    assert cpu_has_bf16(tmp_path / "none") is False
