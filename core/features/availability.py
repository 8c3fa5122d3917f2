"""Which backbones this machine can use, told without torch: only files are looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from core.errors import WeightsMissing
from core.features.contract import BACKBONES


class Availability(TypedDict):
    """Whether a backbone's weights are here; else why not and the command that mends it."""

    name: str
    ok: bool
    reason: str | None
    fix: str | None


def available(weights_dir: Path) -> list[Availability]:
    """Return one entry a registered backbone, by name."""
    return [_availability(name, weights_dir) for name in BACKBONES.names()]


def _availability(name: str, weights_dir: Path) -> Availability:
    try:
        BACKBONES.get(name).find(weights_dir)
    except WeightsMissing as missing:
        return Availability(name=name, ok=False, reason=missing.detail, fix=missing.fix)
    return Availability(name=name, ok=True, reason=None, fix=None)
