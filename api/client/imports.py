"""An import that has ended: what was taken, and the check that no file went missing."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.client.failures import IncompleteImport, UnexpectedAnswer
from api.client.records import Job
from api.client.sources import Source, counted_files

_ARCHIVE_SUFFIX = re.compile(r"\.(zip|tar|tgz|tar\.gz)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Imported:
    """An import that has ended well; ``sent`` is None when the archive could not be counted."""

    job: Job
    dataset_id: str
    dataset_version_id: str
    sent: int | None
    accepted: int
    rejected: int
    annotations: int
    """Mask files that went along with their images: neither accepted nor rejected."""
    warnings: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Tell whether every file that was sent is accounted for."""
        counted = self.accepted + self.rejected + self.annotations
        return self.sent is None or counted == self.sent


def imported(job: Job, source: Source) -> Imported:
    """Read the result of an import; IncompleteImport when accepted + rejected is not sent."""
    result = job.result or {}
    sent = counted_files(source)
    try:
        outcome = Imported(
            job=job,
            dataset_id=str(result["dataset_id"]),
            dataset_version_id=str(result["dataset_version_id"]),
            sent=sent,
            accepted=int(result["accepted"]),
            rejected=int(result["rejected"]),
            annotations=int(result.get("annotations", 0)),
            warnings=tuple(map(str, result.get("warnings") or ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnexpectedAnswer(f"The result of import {job.id} lacks {error}.") from error
    if sent is not None and not outcome.complete:
        raise IncompleteImport(sent - outcome.annotations, outcome.accepted, outcome.rejected)
    return outcome


def import_key(body: dict[str, Any]) -> str:
    """Return one idempotency key per import: repeated after a crash it makes no second dataset."""
    text = json.dumps(body, sort_keys=True)
    return f"import-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def default_name(path: Path) -> str:
    """Return the name of a dataset made of this folder or archive."""
    return _ARCHIVE_SUFFIX.sub("", path.resolve().name) or "dataset"
