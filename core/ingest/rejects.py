"""Rejects: files of an upload that were not taken, each with a stable code and a reason."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from core.ingest.csv_safety import safe_cell

MAX_DETAIL = 300


@dataclass(frozen=True, slots=True)
class Reject:
    """One file that was not taken; ``code`` is stable, ``detail`` is for people."""

    name: str
    code: str
    detail: str


class Rejected(Exception):
    """Raised while one file is looked at; the import lists it and goes on."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail

    def of(self, name: str) -> Reject:
        return Reject(name, self.code, self.detail[:MAX_DETAIL])


def as_json_lines(rejects: Iterable[Reject]) -> bytes:
    """Return one JSON object ``{name, code, detail}`` a line, UTF-8."""
    lines = (json.dumps(asdict(r), ensure_ascii=False, sort_keys=True) + "\n" for r in rejects)
    return "".join(lines).encode("utf-8", "replace")


def as_csv(rejects: Iterable[Reject]) -> bytes:
    """Return a table name, code, detail that is safe to open in a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", "code", "detail"))
    for reject in rejects:
        writer.writerow(safe_cell(v) for v in (reject.name, reject.code, reject.detail))
    return text.getvalue().encode("utf-8", "replace")
