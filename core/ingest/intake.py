"""The whole import of an archive: from hostile bytes to records, rejects and warnings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.errors import InvalidInput
from core.ids import new_id
from core.ingest.alignment import AlignThreshold
from core.ingest.archive import Archive, ArchiveLimits, open_archive
from core.ingest.decoder import DecoderLimits
from core.ingest.duplicates import NearPair, NearThreshold, near_pairs
from core.ingest.fingerprints import Fingerprint
from core.ingest.groups import connect, group_id, metadata_keys
from core.ingest.images import MAX_PIXELS
from core.ingest.layouts import Assignment, LayoutOptions, Tree, choose
from core.ingest.overview import advice, describe
from core.ingest.reading import ImageRead, read_images
from core.ingest.rejects import Reject
from core.ingest.synthetic_rows import without_synthetic
from core.ingest.tables import parse_table
from core.ingest.thorough import AUTO_IMAGES, check_size, records_of, thorough_pairs
from core.learning.splits import assign_splits
from core.manifest import ImageRecord

Progress = Callable[[str, int, int], None]
Search = Literal["fast", "thorough"]
_LISTED = 20
"""Rejects and pairs shown in errors and warnings; all of them are in the rejects file."""


@dataclass(frozen=True, slots=True)
class IntakeOptions:
    """How an archive is read; ``layout`` auto looks at names and table headers.

    near_duplicates auto is thorough up to AUTO_IMAGES images, ``existing`` ones of the version that
    the archive is added to included.
    """

    layout: str = "auto"
    label_column: str | None = None
    group_column: str | None = None
    seed: int = 0
    limits: ArchiveLimits = field(default_factory=ArchiveLimits)
    max_pixels: int = MAX_PIXELS
    decoder: DecoderLimits = field(default_factory=DecoderLimits)
    near: NearThreshold = field(default_factory=NearThreshold)
    aligned: AlignThreshold = field(default_factory=AlignThreshold)
    near_duplicates: Literal["auto", "fast", "thorough"] = "fast"
    existing: int = 0

    def search(self, images: int) -> Search:
        """Return how near-duplicates are searched among so many new images."""
        total = images + self.existing
        if self.near_duplicates == "thorough":
            check_size(total)
        if self.near_duplicates != "auto":
            return self.near_duplicates
        return "thorough" if total <= AUTO_IMAGES else "fast"


@dataclass(frozen=True, slots=True)
class Intake:
    """What an archive gave.

    prints are the fingerprints of the records, in their order, pairs the near-duplicates among
    them; both are empty for a version that has been merged.
    """

    records: tuple[ImageRecord, ...]
    rejects: tuple[Reject, ...]
    warnings: tuple[str, ...]
    info: dict[str, Any]
    prints: tuple[Fingerprint, ...] = ()
    pairs: tuple[NearPair, ...] = ()


def ingest(
    archive: Path,
    options: IntakeOptions,
    put: Callable[[bytes], str],
    progress: Progress,
    threads: int,
) -> Intake:
    """Import an archive; ``put`` stores a blob and returns its sha256.

    Images are decoded in up to ``threads`` processes of their own. Every file is taken or rejected
    with a reason. InvalidInput is about the whole archive
    (:func:`core.ingest.archive.open_archive`), its tables (``unknown_column``, ``missing_table``,
    ``bad_table``), or ``no_images`` when nothing could be taken.
    """
    progress("scan", 0, 1)
    opened = open_archive(archive, options.limits)
    layout_name, assignment = _assign(opened, options)
    rejects = [*opened.listing.rejects, *assignment.rejects]
    warnings = [*assignment.warnings, *_unused_tables(opened, assignment)]
    progress("scan", 1, 1)
    search = options.search(len(assignment.items))
    images, unread = read_images(
        opened,
        assignment.items,
        put,
        lambda n, of: progress("images", n, of),
        threads,
        options,
        with_keypoints=search == "thorough",
    )
    rejects += unread
    masks = sum(len(image.provenance.get("annotations", ())) for image in images)
    images, ties, repeated = _without_repeats(images)
    rejects += repeated
    if not images:
        raise _no_images(rejects)
    prints = [image.print for image in images]
    pairs = _near_pairs(prints, search, options, progress, threads)
    records = _records(images, ties, pairs, options.seed)
    same_pixels = len(records) - len({record.pixel_sha256 for record in records})
    info = describe(records, pairs, options.near, options.group_column) | {
        "layout": layout_name,
        "rejected_count": len(rejects),
        "annotation_files": masks,
        "duplicates": {"exact": len(repeated) + same_pixels, "near": len(pairs)},
        "near_search": search,
    }
    if search == "thorough":
        info["aligned_threshold"] = options.aligned.as_dict()
    else:
        warnings += _search_advice(options)
    warnings += advice(records, pairs, options.group_column)
    return Intake(
        tuple(records),
        tuple(rejects),
        tuple(warnings),
        info,
        tuple(prints),
        tuple(pairs),
    )


def _near_pairs(
    prints: Sequence[Fingerprint],
    search: Search,
    options: IntakeOptions,
    progress: Progress,
    threads: int,
) -> list[NearPair]:
    def told(done: int, of: int) -> None:
        progress("duplicates", done, of)

    if search == "fast":
        return near_pairs(prints, options.near, threads=threads, progress=told)
    images = records_of(prints)
    return thorough_pairs(
        prints, images, options.near, options.aligned, threads=threads, progress=told
    )


def _search_advice(options: IntakeOptions) -> list[str]:
    """Say what a fast search that nobody asked for cannot find."""
    if options.near_duplicates != "auto":
        return []
    return [
        f"near_duplicates_fast: more than {AUTO_IMAGES} images are searched fast by default: crops "
        "and free turns of an image may stand in another group; import with near_duplicates: "
        "thorough to find them"
    ]


def _assign(opened: Archive, options: IntakeOptions) -> tuple[str, Assignment]:
    tables = {name: parse_table(name, data) for name, data in opened.listing.tables.items()}
    tree = Tree(opened.listing.files, tables)
    if options.layout == "auto" and not tree.files:
        return "imagefolder", Assignment()
    layout = choose(tree, options.layout)
    columns = LayoutOptions(options.label_column, options.group_column)
    assignment = layout.assign(tree, columns)
    assignment.items, made = without_synthetic(tree, assignment.items)
    assignment.rejects += made
    return layout.name, assignment


def _unused_tables(opened: Archive, assignment: Assignment) -> list[str]:
    unused = sorted(set(opened.listing.tables) - assignment.tables_used)
    return [f"unused_table: {name} was not needed by the layout" for name in unused[:_LISTED]]


def _without_repeats(
    images: Sequence[ImageRead],
) -> tuple[list[ImageRead], list[list[str]], list[Reject]]:
    """Keep the first of identical files; all of them go when their labels differ.

    Returns the images kept, the grouping keys of each (those of its copies included: a copy under
    another lesion number ties the two lesions), and the rejects.
    """
    copies: dict[str, list[ImageRead]] = {}
    for image in images:
        copies.setdefault(image.stored_sha256, []).append(image)
    kept: list[ImageRead] = []
    ties: list[list[str]] = []
    rejects: list[Reject] = []
    for same in copies.values():
        labels = sorted({image.item.label for image in same})
        if len(labels) > 1:
            detail = f"The same image stands under the labels {', '.join(labels[:5])}"
            rejects += [Reject(i.item.name, "conflicting_label", detail) for i in same]
            continue
        first = same[0]
        detail = f"The same image as {first.item.name}"
        rejects += [Reject(i.item.name, "duplicate", detail) for i in same[1:]]
        kept.append(first)
        keys = [key for i in same for key in _keys(i)]
        ties.append(list(dict.fromkeys(keys)))
    return kept, ties, rejects


def _keys(image: ImageRead) -> list[str]:
    keys = metadata_keys(image.item.metadata, image.pixel_sha256)
    return [*keys, f"dicom_patient\n{image.patient_key}"] if image.patient_key else keys


def _records(
    images: Sequence[ImageRead],
    ties: Sequence[Sequence[str]],
    pairs: Sequence[NearPair],
    seed: int,
) -> list[ImageRecord]:
    union = connect(ties, [(p.first, p.second) for p in pairs])
    groups = [""] * len(images)
    for members in union.sets():
        name = group_id(images[m].pixel_sha256 for m in members)
        for member in members:
            groups[member] = name
    splits = assign_splits([image.item.label for image in images], groups, seed=seed)
    return [
        ImageRecord(
            image_id=new_id("img"),
            filename=image.item.name,
            label=image.item.label,
            sha256=image.stored_sha256,
            source_sha256=image.source_sha256,
            pixel_sha256=image.pixel_sha256,
            width=image.width,
            height=image.height,
            media_type=image.media_type,
            modality=image.modality,
            split=split,
            source="real",
            group_ids=(group,),
            perceptual_hash=image.print.text,
            metadata=image.item.metadata,
            provenance=image.provenance,
        )
        for image, group, split in zip(images, groups, splits, strict=True)
    ]


def _no_images(rejects: Sequence[Reject]) -> InvalidInput:
    first = rejects[:_LISTED]
    listed = "; ".join(f"{r.name}: {r.code}" for r in first[:5])
    bombs = bool(first) and all(r.code == "compression_bomb" for r in rejects)
    return InvalidInput(
        f"No image of the archive could be taken ({len(rejects)} files rejected): {listed}",
        code="archive_bomb" if bombs else "no_images",
        extra={"rejects": [{"name": r.name, "code": r.code, "detail": r.detail} for r in first]},
    )
