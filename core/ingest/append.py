"""Images added to an existing version: nothing twice, no group on two sides of a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from core.errors import InvalidInput
from core.ingest.alignment import AlignThreshold
from core.ingest.duplicates import (
    NearPair,
    NearThreshold,
    candidates,
    correlations,
    normalised,
)
from core.ingest.fingerprints import Fingerprint, Thumbnail, fingerprint
from core.ingest.groups import connect, group_id, metadata_keys
from core.ingest.intake import Intake
from core.ingest.keypoints import keypoints
from core.ingest.overview import advice, describe
from core.ingest.rejects import Reject
from core.ingest.thorough import records_of, thorough_pairs
from core.learning.splits import assign_splits
from core.manifest import ImageRecord, Split
from core.synthesis.contract import Pixels

Load = Callable[[str], Pixels]
"""Decodes the stored image of a sha256."""


def append(
    records: Sequence[ImageRecord],
    intake: Intake,
    load: Load,
    *,
    near: NearThreshold | None = None,
    aligned: AlignThreshold | None = None,
    group_column: str | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Intake:
    """Return existing records and new ones as one version.

    Images that are already there are rejected (``duplicate``, or ``conflicting_label`` under
    another label). Groups are merged: members of a merged group carry the ids of all its parts,
    sorted, so that what was derived from any of them still points at it. Existing images keep
    their split, new ones take that of their group; a new image that ties groups of two splits is
    rejected ``bridges_splits``. Near-duplicates are searched as the archive's own were.
    InvalidInput ``no_images`` when nothing new is left.
    """
    near = near or NearThreshold()
    fresh, prints, again, rejects = _new_only(records, intake)
    if intake.info.get("near_search") == "thorough":
        pairs = _thorough_cross_pairs(records, prints, load, near, aligned, threads)
    else:
        pairs = _cross_pairs(records, prints, load, near, threads)
    fresh, bridging, joined = _regrouped(list(records), fresh, again, pairs, seed)
    rejects += bridging
    if not fresh:
        raise InvalidInput(
            f"Nothing new: all {len(intake.records)} images were rejected, first "
            f"{rejects[0].name}: {rejects[0].code}",
            code="no_images",
        )
    merged = joined + fresh
    rest = _kept_pairs(merged, records, intake, pairs)
    before = intake.info["duplicates"]
    listed = (*intake.rejects, *rejects)
    info = intake.info | describe(merged, rest, near, group_column)
    info["rejected_count"] = len(listed)
    repeated = sum(reject.code != "bridges_splits" for reject in rejects)
    info["duplicates"] = {"exact": before["exact"] + repeated, "near": len(rest)}
    info["added"] = len(fresh)
    general = ("one_class", "partial_groups", "large_group", "near_label_conflict")
    warnings = [w for w in intake.warnings if not w.startswith(general)]
    warnings += advice(merged, rest, group_column)
    if _from_dicom(joined) and _from_dicom(fresh):
        warnings.append(
            "dicom_patients: patients of DICOM files are known within one import only; images of "
            "one patient in both imports may stand on two sides of a split"
        )
    return Intake(tuple(merged), listed, tuple(warnings), info)


def _new_only(
    records: Sequence[ImageRecord], intake: Intake
) -> tuple[list[ImageRecord], list[Fingerprint], list[ImageRecord], list[Reject]]:
    """Return what is new with its fingerprints, what is there already, and the rejects of that."""
    known = {record.sha256: record for record in records}
    fresh: list[ImageRecord] = []
    prints: list[Fingerprint] = []
    again: list[ImageRecord] = []
    rejects: list[Reject] = []
    for record, own in zip(intake.records, intake.prints, strict=True):
        old = known.get(record.sha256)
        if old is None:
            fresh.append(record)
            prints.append(own)
            continue
        again.append(record)
        if old.label == record.label:
            detail = f"The dataset holds this image already as {old.filename}"
            rejects.append(Reject(record.filename, "duplicate", detail))
        else:
            detail = f"The dataset holds this image as {old.filename} under {old.label}"
            rejects.append(Reject(record.filename, "conflicting_label", detail))
    return fresh, prints, again, rejects


def _cross_pairs(
    records: Sequence[ImageRecord],
    prints: Sequence[Fingerprint],
    load: Load,
    near: NearThreshold,
    threads: int,
) -> list[NearPair]:
    """Return near-duplicates as (position in records, position in fresh).

    Thumbnails of existing images are made anew, only of those whose hashes are near.
    """
    left = np.array([int(r.perceptual_hash or "0", 16) for r in records], dtype=np.uint64)
    right = np.array([p.bits for p in prints], dtype=np.uint64)
    thumbnails: dict[int, Thumbnail] = {}
    found: dict[tuple[int, int], float] = {}
    for block in candidates(left, right, near.hash_bits, threads=threads):
        for old, new, form in block.tolist():
            if old not in thumbnails:
                thumbnails[old] = fingerprint(load(records[old].sha256)).thumbnail
            value = correlations(
                normalised([thumbnails[old]]),
                normalised([prints[new].thumbnail]),
                np.array([form], dtype=np.int64),
            )[0]
            if value >= near.correlation:
                found[old, new] = max(float(value), found.get((old, new), -1.0))
    return [NearPair(a, b, round(value, 4)) for (a, b), value in sorted(found.items())]


def _thorough_cross_pairs(
    records: Sequence[ImageRecord],
    prints: Sequence[Fingerprint],
    load: Load,
    near: NearThreshold,
    aligned: AlignThreshold | None,
    threads: int,
) -> list[NearPair]:
    """Return the same by the thorough search; every existing image is decoded once more."""

    def again(record: ImageRecord) -> Fingerprint:
        pixels = load(record.sha256)
        return replace(fingerprint(pixels), keypoints=keypoints(pixels))

    with ThreadPoolExecutor(max(1, threads)) as pool:
        together = [*pool.map(again, records), *prints]
    old = len(records)
    pairs = thorough_pairs(
        together,
        records_of(together),
        near,
        aligned,
        wanted=lambda first, second: first < old <= second,
        threads=threads,
    )
    return [NearPair(p.first, p.second - old, p.correlation) for p in pairs]


def _regrouped(
    old: list[ImageRecord],
    new: list[ImageRecord],
    again: Sequence[ImageRecord],
    pairs: Sequence[NearPair],
    seed: int,
) -> tuple[list[ImageRecord], list[Reject], list[ImageRecord]]:
    """Return the new records with groups and splits, rejects, and the old ones regrouped.

    ``again`` are images of the archive that are among the old ones: what the archive says of them
    ties images, too.
    """
    together = old + new
    keys = [_keys(record) for record in together]
    place = {record.sha256: index for index, record in enumerate(old)}
    for record in again:
        keys[place[record.sha256]] += _keys(record)
    union = connect(keys, [(p.first, len(old) + p.second) for p in pairs])
    rejects: list[Reject] = []
    placed: dict[int, ImageRecord] = {}
    homeless: list[int] = []
    for members in union.sets():
        before = [m for m in members if m < len(old)]
        added = [m for m in members if m >= len(old)]
        splits: set[Split] = {old[m].split for m in before}
        if len(splits) > 1:
            placed |= {m: old[m] for m in before}
            detail = f"Ties images of the splits {' and '.join(sorted(splits))}"
            rejects += [Reject(together[m].filename, "bridges_splits", detail) for m in added]
            continue
        names = tuple(sorted({g for m in before for g in old[m].group_ids}))
        names = names or (group_id(together[m].pixel_sha256 for m in members),)
        placed |= {m: replace(together[m], group_ids=names) for m in members}
        if splits:
            split = splits.pop()
            placed |= {m: replace(placed[m], split=split) for m in added}
        else:
            homeless += added
    homeless.sort()
    alone = [placed[m] for m in homeless]
    assigned = assign_splits([r.label for r in alone], [r.group_ids for r in alone], seed=seed)
    for member, split in zip(homeless, assigned, strict=True):
        placed[member] = replace(placed[member], split=split)
    joined = [placed[m] for m in range(len(old))]
    fresh = [placed[m] for m in range(len(old), len(together)) if m in placed]
    return fresh, rejects, joined


def _from_dicom(records: Sequence[ImageRecord]) -> bool:
    """Tell whether some images were DICOM files; no sign of their patients has been kept."""
    return any("dicom" in record.provenance.get("import", {}) for record in records)


def _keys(record: ImageRecord) -> list[str]:
    named = metadata_keys(record.metadata, record.pixel_sha256)
    return [*named, *(f"group_id\n{group}" for group in record.group_ids)]


def _kept_pairs(
    merged: Sequence[ImageRecord],
    records: Sequence[ImageRecord],
    intake: Intake,
    pairs: Sequence[NearPair],
) -> list[NearPair]:
    """Return the pairs in which a new image stands, by positions in the merged version."""
    known = {record.sha256 for record in records}
    fresh = [r.image_id for r in intake.records if r.sha256 not in known]
    place = {record.image_id: index for index, record in enumerate(merged)}
    cross = [
        NearPair(p.first, place[fresh[p.second]], p.correlation)
        for p in pairs
        if fresh[p.second] in place
    ]
    ids = [record.image_id for record in intake.records]
    inner = [
        NearPair(place[ids[p.first]], place[ids[p.second]], p.correlation)
        for p in intake.pairs
        if ids[p.first] in place and ids[p.second] in place
    ]
    return cross + inner
