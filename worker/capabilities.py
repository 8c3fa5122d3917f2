"""What this worker can do, found without torch: devices and weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.config import Settings
from core.features.availability import available
from core.synthesis import availability as generators


def capabilities(settings: Settings) -> list[dict[str, Any]]:
    """Return rows {capability, name, ok, reason, fix} for the catalog."""
    backbones = [{"capability": "backbone", **row} for row in available(settings.weights_dir)]
    own = [{"capability": "generator", **row} for row in generators.available()]
    return [_gpu(settings), *backbones, *own]


def _gpu(settings: Settings) -> dict[str, Any]:
    present = Path("/dev/nvidia0").exists() and settings.device != "cpu"
    return {
        "capability": "device",
        "name": "cuda",
        "ok": present,
        "reason": "" if present else "this worker sees no GPU",
        "fix": "" if present else "start worker-gpu on a host with the NVIDIA container toolkit",
    }
