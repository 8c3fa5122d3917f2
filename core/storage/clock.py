"""The clock that stamps the files of a volume: hosts that share it may disagree."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def volume_now(folder: Path) -> float:
    """Return the time (seconds of the epoch) with which a file made in ``folder`` is stamped."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime
