"""Which backbones this machine can use, told without torch: only files are looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from core.errors import WeightsMissing
from core.features.contract import BACKBONES, FAMILIES, open_backbone


class Availability(TypedDict):
    """Whether a backbone's weights are here; else why not and the command that mends it.

    facts: what the catalog tells of a family's backbone; None of one that has an entry.
    """

    name: str
    ok: bool
    reason: str | None
    fix: str | None
    facts: dict[str, Any] | None


def available(weights_dir: Path) -> list[Availability]:
    """Return one entry a registered backbone and one of each family's that is here, by name."""
    added = [f"{prefix}:{name}" for prefix, family in FAMILIES for name in family.here(weights_dir)]
    return [_availability(name, weights_dir) for name in (*BACKBONES.names(), *added)]


def _availability(name: str, weights_dir: Path) -> Availability:
    facts: dict[str, Any] | None = None
    try:
        found = open_backbone(name, weights_dir)
        if name not in BACKBONES:
            facts = {"dimension": found.dimension, "size": found.size, "licence": found.licence}
        found.find(weights_dir)
    except WeightsMissing as missing:
        return Availability(
            name=name, ok=False, reason=missing.detail, fix=missing.fix, facts=facts
        )
    return Availability(name=name, ok=True, reason=None, fix=None, facts=facts)
