"""The firewall between training and test side: nothing is fitted before it let the data pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from core.errors import LeakDetected
from core.manifest import ImageRecord

_NAMED = 5
"""So many offending images stand in the message; the error's ``image_ids`` holds up to 100."""


def check_no_leak(train: Iterable[ImageRecord], test: Sequence[ImageRecord]) -> None:
    """Raise LeakDetected when a training image is tied to a test image.

    Tied: the same image, a shared group, a declared parent on the test side (by id or by the
    parent's bytes), or identical stored bytes, bytes as sent or pixels. The error names the
    training images.
    """
    ids = {record.image_id for record in test}
    groups = {group for record in test for group in record.group_ids}
    content = {value for record in test for value in _content(record)}
    leaks: dict[str, str] = {}
    for record in train:
        reason = _tie(record, ids, groups, content)
        if reason:
            leaks.setdefault(record.image_id, reason)
    if leaks:
        named = "; ".join(f"{image} ({reason})" for image, reason in list(leaks.items())[:_NAMED])
        raise LeakDetected(
            f"{len(leaks)} training images are tied to test images: {named}", list(leaks)
        )


def check_declared(made: Iterable[ImageRecord], real: Iterable[ImageRecord]) -> None:
    """Raise LeakDetected when a synthetic image hides the group of a parent that it declares.

    Only images whose groups are all known here are looked at, the others train nothing: without
    the parent's group such an image could stand on another side than its parent.
    """
    groups: dict[str, set[str]] = defaultdict(set)
    for record in real:
        for name in (record.image_id, record.sha256):
            groups[name].update(record.group_ids)
    known = set().union(*groups.values())
    hidden = [
        record.image_id
        for record in made
        if known.issuperset(record.group_ids)
        and any(
            groups[name].isdisjoint(record.group_ids)
            for name in (*record.parents, *record.parent_sha256)
            if groups.get(name)
        )
    ]
    if hidden:
        raise LeakDetected(
            f"{len(hidden)} synthetic images declare a parent but not its group, first "
            f"{', '.join(hidden[:_NAMED])}: they would be trained on while it is tested",
            hidden,
        )


def _content(record: ImageRecord) -> set[str]:
    return {record.sha256, record.source_sha256, record.pixel_sha256} - {""}


def _tie(record: ImageRecord, ids: set[str], groups: set[str], content: set[str]) -> str:
    if record.image_id in ids:
        return "is a test image"
    if not groups.isdisjoint(record.group_ids):
        return "shares a group"
    if not ids.isdisjoint(record.parents) or not content.isdisjoint(record.parent_sha256):
        return "was made from a test image"
    return "" if content.isdisjoint(_content(record)) else "is a copy of a test image"
