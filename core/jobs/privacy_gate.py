"""The gate before training: synthetic images that show a real one undeclared are kept out.

A parent that is declared but not among an image's groups is no copy passed as new: that is the
firewall's affair (:mod:`core.learning.firewall`), and stops the job.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from core.jobs.context import JobContext
from core.manifest import ImageRecord, canonical_json
from core.quality.copies import LoadPixels, Screening, screen

REPORT = "privacy.json"
SHEET = "privacy.png"


def screened(
    ctx: JobContext,
    real: Sequence[ImageRecord],
    made: Sequence[ImageRecord],
    novel: Iterable[str],
    span: tuple[float, float] = (0.0, 1.0),
    load: LoadPixels | None = None,
) -> Screening:
    """Look for copies among the made images; ``novel`` are ids to which all likeness counts.

    load (None: stored blobs are decoded) returns the pixels of an image by its hash.
    """
    import cv2

    cv2.setNumThreads(1)  # the images are spread over the job's threads
    ids = frozenset(novel)
    return screen(
        real,
        made,
        load or _stored(ctx),
        novel=lambda record: record.image_id in ids,
        threads=ctx.threads,
        progress=lambda done: ctx.progress("privacy", span[0] + (span[1] - span[0]) * done),
    )


def gated(ctx: JobContext, version_ids: Iterable[str]) -> list[ImageRecord]:
    """Return the images of versions without copies among the synthetic ones; publishes which.

    Without synthetic images nothing is looked at or published.
    """
    records: list[ImageRecord] = []
    novel: set[str] = set()
    for version_id in version_ids:
        own = ctx.manifest(version_id)
        novel |= novel_ids(ctx, version_id, own)
        records += own
    made = [r for r in records if r.source == "synthetic" and not r.quarantined]
    if not made:
        return records
    found = screened(ctx, records, made, novel)
    publish(ctx, found)
    return [record for record in records if record.image_id not in found.image_ids]


def novel_ids(ctx: JobContext, version_id: str, records: Iterable[ImageRecord]) -> set[str]:
    """Return the images of a version that a novel generator made, by what it or they say."""
    from core.synthesis.contract import GENERATORS

    told = ctx.inputs.versions[version_id].generator or {}
    whole = told.get("novelty") == "novel"
    novel = {name for name, spec in GENERATORS if spec.novelty == "novel"}
    return {r.image_id for r in records if whole or r.provenance.get("generator") in novel}


def publish(ctx: JobContext, found: Screening) -> str:
    """Publish privacy.json, and the sheet when there are copies; returns the sha256 of the first.

    So many copies are also told in the log.
    """
    publish_sheet(ctx, found, SHEET, _stored(ctx))
    told = canonical_json(found.as_json()).encode()
    return ctx.artifact(REPORT, told, "application/json").sha256


def publish_sheet(ctx: JobContext, found: Screening, name: str, load: LoadPixels) -> None:
    """Publish each copy beside its nearest real image under a name; nothing without copies."""
    from core.plots.copies import copies_sheet

    sheet = copies_sheet(found.copies, load)
    if sheet is not None:
        ctx.artifact(name, sheet, "image/png")
        ctx.log(f"{len(found.copies)} synthetic images show a real one that they do not declare")


def _stored(ctx: JobContext) -> LoadPixels:
    from core.ingest.images import decode

    return lambda sha256: decode(ctx.blob(sha256))


def report_of(ctx: JobContext, sha256: str) -> dict[str, Any]:
    """Read a privacy.json."""
    found: dict[str, Any] = json.loads(ctx.blob(sha256).read_bytes())
    return found


def without_copies(
    ctx: JobContext, records: Iterable[ImageRecord], sha256: str | None
) -> list[ImageRecord]:
    """Return the records that a privacy.json (None: there was no gate) does not list as copies."""
    if sha256 is None:
        return list(records)
    copies = {row["image_id"] for row in report_of(ctx, sha256)["copies"]}
    return [record for record in records if record.image_id not in copies]
