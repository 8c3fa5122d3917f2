"""A small dataset of coloured squares and a backbone made of colour statistics.

For tests of the learning kinds: real jobs, children and files, but no network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.features import extract
from core.features.contract import BACKBONES, Weights
from core.features.extract import FeatureItem, FeatureTable
from core.features.preprocess import view
from core.ingest.images import decode, encode_png, pixel_sha256
from core.jobs.context import JobContext
from core.jobs.spec import JOB_KINDS, Params, Result, VersionId
from core.learning.splits import assign_splits
from core.manifest import ImageRecord
from tests.unit.jobs.inline import InlineRunner

COLOURS = {"mole": (120, 60, 40), "scar": (150, 90, 80), "wart": (170, 110, 70)}
BACKBONE_SHA256 = "b" * 64
TINY = "resnet18"


class FakeExtractParams(Params):
    dataset_version_ids: list[VersionId]
    backbone: str
    dihedral: tuple[int, ...] = ()


class FakeExtractResult(Result):
    backbone: str
    backbone_sha256: str
    dimension: int
    images: int


def fake_extract(ctx: JobContext, params: FakeExtractParams) -> FakeExtractResult:
    """Counts images."""
    images = sum(len(ctx.manifest(v)) for v in params.dataset_version_ids)
    return FakeExtractResult(
        backbone=params.backbone, backbone_sha256=BACKBONE_SHA256, dimension=24, images=images
    )


def statistics(
    ctx: Any, items: Sequence[FeatureItem], backbone: str, **options: Any
) -> FeatureTable:
    """Mean and deviation of each channel in each quarter of the image: 24 numbers."""
    rows = []
    for item in items:
        stored = decode(ctx.blob(item.sha256))
        pixels = view(stored, item.dihedral, bytes.fromhex(item.sha256)).astype(np.float32)
        half = pixels.shape[0] // 2
        quarters = [pixels[:half, :half], pixels[half:, :half], pixels[:half, half:]]
        quarters.append(pixels[half:, half:])
        rows.append(
            np.concatenate([f(q, axis=(0, 1)) for q in quarters for f in (np.mean, np.std)])
        )
    matrix = np.asarray(rows, dtype=np.float32).reshape(len(items), 24)
    return FeatureTable(matrix, BACKBONE_SHA256, computed=len(items), cached=0)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the colour statistics in the place of the network."""
    monkeypatch.setattr(extract, "features", statistics)
    kind = replace(
        JOB_KINDS.get("noop"),
        name="extract_features",
        params=FakeExtractParams,
        result=FakeExtractResult,
        run=fake_extract,
        check=None,
    )
    monkeypatch.setitem(JOB_KINDS._entries, "extract_features", kind)


def _tiny_network(_: Weights | None) -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, stride=2, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    )


def install_tiny(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make the backbone TINY a small network for 32 pixels with weights of its own."""
    path = folder / "weights.pth"
    path.write_bytes(b"weights")
    found = Weights(path, hashlib.sha256(b"weights").hexdigest())
    small = replace(
        BACKBONES.get(TINY), size=32, dimension=8, build=_tiny_network, find=lambda _: found
    )
    monkeypatch.setitem(BACKBONES._entries, TINY, small)


def square(label: str, number: int, spread: float = 30.0) -> bytes:
    rng = np.random.default_rng([number, len(label), ord(label[0])])
    tone = np.array(COLOURS[label]) + rng.normal(0, spread, 3)
    pixels = tone + rng.normal(0, 10, (16, 16, 3))
    return encode_png(np.clip(pixels, 0, 255).astype(np.uint8))


def real_images(runner: InlineRunner, counts: dict[str, int], **metadata: Any) -> list[ImageRecord]:
    """Two images a group; splits as an import would make them."""
    names = [(label, i) for label, count in counts.items() for i in range(count)]
    groups = [f"{label}-{i // 2}" for label, i in names]
    splits = assign_splits([label for label, _ in names], groups)
    records = []
    for (label, number), group, split in zip(names, groups, splits, strict=True):
        data = square(label, number)
        records.append(
            ImageRecord(
                image_id=f"img_{label}{number:023d}",
                filename=f"{label}/{number:04d}.png",
                label=label,
                sha256=runner.blob(data),
                source_sha256=hashlib.sha256(data).hexdigest(),
                pixel_sha256=pixel_sha256(decode(data)),
                width=16,
                height=16,
                media_type="image/png",
                modality="rgb",
                split=split,
                source="real",
                group_ids=(group,),
                metadata=dict(metadata),
            )
        )
    return records
