"""manifest.json: says that a backup is whole, what of, and what was damaged when it was made."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core.backup.errors import BackupFailure
from core.backup.files import SUMS
from core.storage.blobs import sha256_of

NAME = "manifest.json"


class Damage(BaseModel):
    """A file that the database needs and that the service itself had lost."""

    name: str
    why: Literal["missing", "corrupt"]


class Manifest(BaseModel):
    """Written last; a folder without it is no backup."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    created_at: datetime
    revision: str
    pepper: Literal["file", "setting"]
    files: int
    bytes: int
    sums_sha256: str
    damaged: tuple[Damage, ...] = ()

    def write(self, folder: Path) -> None:
        (folder / NAME).write_text(json.dumps(self.model_dump(mode="json"), indent=2) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a whole backup; BackupFailure ``backup_incomplete`` without one."""
    try:
        manifest = Manifest.model_validate_json((folder / NAME).read_bytes())
        if sha256_of(folder / SUMS) != manifest.sums_sha256:
            raise BackupFailure(f"{folder / SUMS} was changed", code="backup_damaged")
    except (OSError, ValidationError) as error:
        raise BackupFailure(
            f"{folder} is not a whole backup: {error}", code="backup_incomplete"
        ) from error
    return manifest


def backups_in(folder: Path) -> list[Path]:
    """Return the whole backups of a folder, oldest first."""
    return sorted(path.parent for path in folder.glob(f"[0-9]*/{NAME}"))
