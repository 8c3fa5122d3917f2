"""What the result cannot exclude, read off the metadata of the images."""

from __future__ import annotations

from collections import Counter

from core.learning.cohort import Cohort

MIN_SHORTCUT = 20
"""Images with one value of an attribute; fewer of one class say nothing about acquisition."""

_ACQUISITION = {
    "dx_type": "how the diagnosis was made",
    "localization": "where on the body the image was taken",
    "fitzpatrick": "the skin type",
}


def cannot_exclude(members: Cohort) -> list[str]:
    """Return sentences on what limits the verdict, whatever its numbers say."""
    return [
        *_patients(members),
        *_shortcuts(members),
        *_tone(members),
        "The images come from this dataset alone: whether the result holds for other hospitals, "
        "cameras and populations cannot be said.",
    ]


def _patients(members: Cohort) -> list[str]:
    named = sum(r.metadata.get("patient_id") is not None for r in members.records)
    if named == len(members):
        return []
    who = "No image names its patient" if not named else f"{len(members) - named} images do not "
    who += "" if not named else "name their patient"
    return [
        f"{who}: two lesions of one patient may stand on both sides of a split, and an optimistic "
        "bias of all arms from this cannot be excluded."
    ]


def _shortcuts(members: Cohort) -> list[str]:
    """Tell of values that only one class has: a model may read the value and not the lesion."""
    told = []
    for attribute, meaning in _ACQUISITION.items():
        pairs = Counter(
            (str(value), record.label)
            for record in members.records
            if (value := record.metadata.get(attribute)) is not None
        )
        values = Counter(value for value, _ in pairs.elements())
        for value, total in sorted(values.items()):
            labels = [label for (name, label) in pairs if name == value]
            if total >= MIN_SHORTCUT and len(labels) == 1:
                told.append(
                    f"All {total} images with {attribute} “{value}” are of the class “{labels[0]}”:"
                    f" {meaning} may stand in for the class, and a model that reads it from the "
                    "image cannot be told from one that reads the lesion."
                )
    return told


def _tone(members: Cohort) -> list[str]:
    known = sum(r.metadata.get("fitzpatrick") is not None for r in members.records)
    if known == len(members):
        return []
    return [
        f"The skin type of {len(members) - known} of {len(members)} images is not recorded: a "
        "difference between skin tones cannot be excluded."
    ]
