"""A private folder with one owner at a time, and small JSON files that survive a crash."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from core.embedded.errors import EmbeddedFailure


def private_folder(path: Path) -> Path:
    """Create the folder for this user alone (0700) and return its real path."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise EmbeddedFailure(
            f"The data folder {path} cannot be written ({error.strerror}). "
            "Set DERMSYNTH_HOME to a folder that this user owns."
        ) from error
    return path.resolve()


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace the file at once, readable by this user alone."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the file's object; None when it is absent or no JSON object."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


class FolderLock:
    """Says that a living process owns a folder; the kernel lifts it at any death."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, patience: float = 0.5) -> bool:
        """Take the lock within ``patience`` seconds; True when it is ours now or was before.

        Some patience is needed: whoever asks for the owner holds the lock for a moment.
        """
        if self._descriptor is not None:
            return True
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + patience
        while not _locked(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(descriptor)
                return False
            time.sleep(0.02)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock up; nothing when it is not ours."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def owner(self) -> int | None:
        """Return the pid of the living process that holds the lock, or None."""
        if self._descriptor is not None:
            return os.getpid()
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(descriptor) as file:
            if _locked(descriptor, fcntl.LOCK_SH):
                return None
            text = file.read(32)
        return int(text) if text.isdigit() else None


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
