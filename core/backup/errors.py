"""The one error of backup and restore."""

from __future__ import annotations

from core.errors import DermSynthError


class BackupFailure(DermSynthError):
    """A backup could not be made, is not whole, or must not be restored here."""

    default_code = "backup_failed"
    title = "Backup failed"
