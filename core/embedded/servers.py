"""Both servers of the stack, for tests and for the restart parent."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Self

from core.embedded.folder import private_folder
from core.embedded.postgres import PostgresServer
from core.embedded.valkey import ValkeyServer


class Servers:
    """PostgreSQL and Valkey in one private folder.

    Start them in the process that lives longest (with pytest-xdist the controller, in
    ``pytest_configure``) and from its main thread; hand the two addresses to the others through the
    environment. They end with that process, however it ends.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        folder = folder.absolute()
        self._folder = folder
        self.postgres = PostgresServer(folder / "postgres", durable=durable)
        self.valkey = ValkeyServer(folder / "valkey")

    @property
    def database_url(self) -> str:
        return self.postgres.url

    @property
    def redis_url(self) -> str:
        return self.valkey.url

    def environment(self) -> dict[str, str]:
        """Return the two variables by which every process finds the servers."""
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}

    def start(self) -> Self:
        private_folder(self._folder)
        try:
            self.postgres.start()
            self.valkey.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        self.valkey.stop()
        self.postgres.stop()

    def remove(self) -> None:
        """Stop both and delete their data: a folder alone may not hold all of it."""
        self.valkey.remove()
        self.postgres.remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
