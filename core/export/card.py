"""The dataset card of an export: what is inside, its origin and what may be done with it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.export.bundle import Entry
from core.export.licences import Licence, Purpose


@dataclass(frozen=True, slots=True)
class Origin:
    """One exported dataset version."""

    name: str
    version_id: str
    kind: str
    manifest_sha256: str
    licence: str
    group_basis: str
    created: str = ""
    """ISO time."""
    generator: dict[str, Any] | None = None
    """Name, version and parameters of what made a synthetic version."""


def dataset_card(
    origins: Sequence[Origin],
    images: Sequence[Entry],
    licences: Sequence[Licence],
    purpose: Purpose,
    files: Sequence[str],
) -> str:
    """Return README.md of the archive; names are shown literally, never as markup.

    files: what lies in the archive, a line each.
    """
    sources = Counter(entry.record.source for entry in images)
    parts = [
        f"# {' + '.join(literal(o.name) for o in origins)}",
        f"{len(images)} images ({sources['real']} real, {sources['synthetic']} synthetic). "
        f"Exported for the purpose: **{purpose}**. Research use only, not a medical device.",
        "## Classes\n\n" + _classes(images),
        "## Licences\n\n" + _licences(licences, purpose),
        "## Where it comes from\n\n" + "\n".join(_origin(o) for o in origins),
        "## Files\n\n"
        + "".join(f"- {line}\n" for line in files)
        + "- `SHA256SUMS`: check with `sha256sum -c SHA256SUMS`.\n\n"
        "Images that share a group (patient, lesion, near-duplicate, or a synthetic image and its "
        "parents) must stay on one side of any split: use the column `group_ids`. Quarantined "
        "images are not in this archive.",
    ]
    return "\n\n".join(parts) + "\n"


def _classes(images: Sequence[Entry]) -> str:
    counts = Counter((e.record.label, e.record.source) for e in images)
    rows = ["| class | real | synthetic |", "|---|---:|---:|"]
    rows += [
        f"| {literal(label)} | {counts[(label, 'real')]} | {counts[(label, 'synthetic')]} |"
        for label in sorted({label for label, _ in counts})
    ]
    return "\n".join(rows)


def _licences(licences: Sequence[Licence], purpose: Purpose) -> str:
    rows = [
        "| licence | redistribute | derivatives | commercial | share alike | attribution |",
        "|---|---|---|---|---|---|",
    ]
    for row in licences:
        named = row.id + (f" (given as: {literal(row.source)})" if row.source else "")
        flags = (
            row.redistribute,
            row.derivatives,
            row.commercial,
            row.share_alike,
            row.attribution,
        )
        rows.append(f"| {named} | {' | '.join('yes' if f else 'no' for f in flags)} |")
    duties = []
    if purpose == "internal":
        duties.append("This export is for internal use: do not pass it on.")
    if any(row.attribution for row in licences):
        duties.append("Name the authors of the sources wherever you use these images.")
    if any(row.share_alike for row in licences):
        duties.append("What you make from these images carries the same licence when you share it.")
    if not all(row.commercial for row in licences):
        duties.append("Commercial use is not allowed.")
    return "\n".join(rows) + ("\n\n" + " ".join(duties) if duties else "")


def _origin(origin: Origin) -> str:
    made = ""
    if origin.generator:
        settings = json.dumps(origin.generator, sort_keys=True, ensure_ascii=False)
        made = f", made with {literal(settings)}"
    return (
        f"- {literal(origin.name)}: {origin.kind} images, version `{origin.version_id}`, licence "
        f"{literal(origin.licence) or 'unknown'}, groups by {literal(origin.group_basis)}{made}, "
        f"manifest sha256 `{origin.manifest_sha256}`"
    )


def literal(text: str) -> str:
    """Return text on one line in which Markdown and HTML mean nothing."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~$&])", r"\\\1", line)
