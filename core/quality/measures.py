"""The measures of likeness, by the name under which a job asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.quality import perceptual
from core.quality.likeness import Measure
from core.quality.similarity import ms_ssim, ssim


def require(names: Sequence[str], weights_dir: Path) -> None:
    """Raise WeightsMissing when a measure has no weights on this machine."""
    if perceptual.NAME in names:
        perceptual.find(weights_dir)


def measures(names: Sequence[str], weights_dir: Path, device: str) -> list[Measure]:
    """Return the measures of these names, in their order; WeightsMissing."""
    made = {
        "ssim": lambda: Measure("ssim", ssim, "at least 11 pixels a side"),
        "ms_ssim": lambda: Measure("ms_ssim", ms_ssim, "at least 176 pixels a side"),
        perceptual.NAME: lambda: Measure(
            perceptual.NAME,
            perceptual.load(perceptual.find(weights_dir), device),
            f"at least {perceptual.SHORTEST} pixels a side",
        ),
    }
    return [made[name]() for name in names]
