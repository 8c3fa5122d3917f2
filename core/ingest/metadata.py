"""What datasets say about an image, under the standard keys of this service.

Only the standard keys are kept: other columns of foreign tables may name people.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from core.ingest.tables import Row, Table

_ABSENT = frozenset(
    {"", "-", "?", "-1", "-1.0", "n/a", "na", "nan", "none", "null", "unk", "unknown", "missing"}
)
_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}
_SEXES = {"m": "male", "f": "female", "male": "male", "female": "female"}
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
MAX_TEXT = 200


def present(value: str) -> str | None:
    """Return the text of a cell, None for the many ways to say that nothing is known."""
    text = value.strip()
    return None if text.casefold() in _ABSENT else text[:MAX_TEXT]


def split_name(value: str) -> str | None:
    """Return train, val or test for a name that means one of them."""
    return _SPLITS.get(value.strip().casefold())


def _age(value: str) -> float | None:
    try:
        age = float(value.replace(",", "."))
    except ValueError:
        return None
    return age if math.isfinite(age) and 0 <= age <= 130 else None


def _sex(value: str) -> str | None:
    return _SEXES.get(value.casefold())


def _fitzpatrick(value: str) -> int | None:
    text = value.casefold().removeprefix("type").strip()
    try:
        number = _ROMAN.get(text) or int(float(text))
    except (ValueError, OverflowError):
        return None
    return number if 1 <= number <= 6 else None


def _text(value: str) -> str:
    return value


_KEYS: tuple[tuple[str, tuple[str, ...], Callable[[str], Any]], ...] = (
    ("patient_id", ("patient_id", "patient", "patientid", "subject_id"), _text),
    ("lesion_id", ("lesion_id", "lesion", "lesionid"), _text),
    ("case_id", ("case_num", "case_id", "case"), _text),
    ("source_id", ("source_id", "source_image", "original_image"), _text),
    ("age", ("age", "age_approx"), _age),
    ("sex", ("sex", "gender"), _sex),
    (
        "localization",
        (
            "localization",
            "anatom_site_general",
            "anatom_site_general_challenge",
            "anatom_site",
            "body_site",
            "location",
            "site",
        ),
        _text,
    ),
    ("dx_type", ("dx_type", "diagnosis_confirm_type"), _text),
    (
        "fitzpatrick",
        ("fitzpatrick", "fitzpatrick_scale", "fitzpatrick_skin_type", "skin_type"),
        _fitzpatrick,
    ),
    ("source_split", ("source_split", "split", "partition", "subset"), split_name),
)
GROUP_KEYS: tuple[str, ...] = ("patient_id", "lesion_id", "case_id", "source_id", "group")
"""Images that share a value of one of these belong to one group."""


class MetadataReader:
    """Reads the standard metadata of the rows of one table."""

    def __init__(self, table: Table, group_column: str | None) -> None:
        self._readers = [
            (key, column, read)
            for key, names, read in _KEYS
            if (column := table.column(*names)) is not None
        ]
        if group_column is not None:
            self._readers.append(("group", table.require(group_column, "/group_column"), _text))

    def read(self, row: Row) -> dict[str, Any]:
        """Return what a row says; unknown and impossible values are left out."""
        found: dict[str, Any] = {}
        for key, column, read in self._readers:
            text = present(row[column])
            value = read(text) if text is not None else None
            if value is not None:
                found[key] = value
        return found
