"""Sends a case through the import job, as a worker would run it, and says what became of it."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from core.errors import InvalidInput
from core.jobs.kinds.export import ExportParams
from core.manifest import ImageRecord, read_manifest
from tests.security.case import GOOD, Case
from tests.unit.jobs.inline import InlineOutcome, InlineRunner

FORMULA = re.compile(r"\s*[=+\-@\t\r＝＋－＠]")
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")


def outcome_of(case: Case, folder: Path) -> str:
    """Return the outcome in the words of :class:`Case`, or what is wrong with it."""
    runner = InlineRunner(folder / "data")
    runner.store.root.mkdir(parents=True)
    upload = runner.upload(case.write(folder / "uploads"))
    # an empty upload is refused when the job is asked for, everything else when it runs
    try:
        outcome = runner.run("import", {"upload_id": upload, "name": "corpus"})
    except InvalidInput as error:
        return f"job {error.code}" if not runner.versions else f"{error.code}, but published"
    if case.outcome == "escaped":
        return _escaped(runner, outcome)
    return _of_files(case, runner, outcome)


def records_of(runner: InlineRunner, outcome: InlineOutcome) -> list[ImageRecord]:
    return read_manifest(runner.store.find(outcome.versions[0].manifest_blob))


def _of_files(case: Case, runner: InlineRunner, outcome: InlineOutcome) -> str:
    records = records_of(runner, outcome)
    lost = set(GOOD) - {record.filename for record in records}
    if lost:
        return f"good images were lost: {sorted(lost)}"
    lines = runner.store.find(outcome.versions[0].info["rejects_blob"]).read_text().splitlines()
    codes = sorted({json.loads(line)["code"] for line in lines})
    more = [record for record in records if record.filename not in GOOD]
    if codes:
        return f"reject {', '.join(codes)}"
    if not more:
        return "ignored"
    return _taken(case, runner, more[0])


def _taken(case: Case, runner: InlineRunner, record: ImageRecord) -> str:
    stored = runner.store.find(record.sha256).read_bytes()
    if left := [secret for secret in case.absent if secret in stored]:
        return f"taken with {left} in it"
    told = repr(record).encode()  # it may name a kind of segment (4 letters) that was removed
    if left := [secret for secret in case.absent if len(secret) > 4 and secret in told]:
        return f"taken with {left} in its record"
    return f"taken {record.media_type} {record.modality} {record.width}x{record.height}"


def _escaped(runner: InlineRunner, outcome: InlineOutcome) -> str:
    (version,) = outcome.versions
    tables = {"rejects.csv": outcome.artifacts["rejects.csv"].read_text()}
    for form in get_args(ExportParams.model_fields["format"].annotation):
        ended = runner.run("export", {"dataset_version_ids": [version.id], "format": form})
        (path,) = ended.artifacts.values()
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".csv"):
                    tables[f"{form}: {name}"] = archive.read(name).decode()
    bad = [f"{name}: {cell!r}" for name, text in tables.items() for cell in _run_by(text)]
    escaped = sum(text.count("'") for text in tables.values())
    return "; ".join(bad) or ("escaped" if escaped else "no formula reached a table")


def _run_by(text: str) -> Iterator[str]:
    """Yield the cells that a spreadsheet would run."""
    for row in csv.reader(io.StringIO(text)):
        yield from (cell for cell in row if FORMULA.match(cell) and not NUMBER.fullmatch(cell))
