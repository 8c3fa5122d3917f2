"""New versions of a dataset: corrected labels, dropped and quarantined images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.errors import FieldError, InvalidInput
from core.ingest.layouts import clean_label
from core.manifest import ImageRecord


@dataclass(frozen=True, slots=True)
class Changes:
    """Image ids and what is to become of them; an id may stand in several but not with ``drop``."""

    relabel: Mapping[str, str] = field(default_factory=dict)
    drop: Collection[str] = ()
    quarantine: Collection[str] = ()
    release: Collection[str] = ()


def revise(records: Sequence[ImageRecord], changes: Changes) -> list[ImageRecord]:
    """Return the records of a new version; groups, splits and order are kept.

    InvalidInput: ``unknown_image`` with the ids, ``contradictory_changes`` for an image that is
    dropped and changed or quarantined and released, ``invalid_label``, ``empty_version`` when
    nothing is left.
    """
    _check_known({record.image_id for record in records}, changes)
    _check_consistent(changes)
    labels = {image: _label(image, text) for image, text in changes.relabel.items()}
    drop, quarantine, release = map(frozenset, (changes.drop, changes.quarantine, changes.release))
    kept = [
        replace(
            record,
            label=labels.get(record.image_id, record.label),
            quarantined=record.image_id in quarantine
            or (record.quarantined and record.image_id not in release),
        )
        for record in records
        if record.image_id not in drop
    ]
    if not kept:
        raise InvalidInput("No image would be left in the version", code="empty_version")
    return kept


def _check_known(known: Collection[str], changes: Changes) -> None:
    errors = []
    unknown: dict[str, None] = {}
    for name in ("relabel", "drop", "quarantine", "release"):
        missing = [image for image in getattr(changes, name) if image not in known]
        unknown |= dict.fromkeys(missing)
        errors += [FieldError(f"/{name}", f"There is no image {m} here") for m in missing[:20]]
    if unknown:
        raise InvalidInput(
            f"{len(unknown)} of the images are not in the version, first {next(iter(unknown))}",
            code="unknown_image",
            errors=errors,
            extra={"image_ids": list(unknown)[:100]},
        )


def _check_consistent(changes: Changes) -> None:
    changed = {*changes.relabel, *changes.quarantine, *changes.release}
    clash = sorted({*changes.drop} & changed | {*changes.quarantine} & {*changes.release})
    if clash:
        raise InvalidInput(
            f"{len(clash)} images are to be changed in two ways at once, first {clash[0]}",
            code="contradictory_changes",
            extra={"image_ids": clash[:100]},
        )


def _label(image: str, text: str) -> str:
    label = clean_label(text)
    if label is None:
        raise InvalidInput(f"The new label of image {image} is empty", code="invalid_label")
    return label
