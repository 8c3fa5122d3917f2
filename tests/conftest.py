"""Servers for tests: started once by the controller, one database a worker.

``TEST_DATABASE_URL`` (a role that may create databases) and ``TEST_REDIS_URL`` use running servers
instead of the embedded ones.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from core.embedded.servers import Servers

ADMIN_URL = "TEST_DATABASE_URL"
REDIS_URL = "TEST_REDIS_URL"
TEMPLATE = "DERMSYNTH_TEST_TEMPLATE"
NOBODY = "redis://127.0.0.1:1/0"
"""A broker that is not there: hints are lost, which must not matter."""

_started: list[tuple[Servers, Path]] = []


def pytest_configure(config: pytest.Config) -> None:
    """In the controller, and in a run without xdist: start what workers will use."""
    if hasattr(config, "workerinput") or _only_units(config) or config.option.collectonly:
        return
    os.environ[TEMPLATE] = f"template_{os.getpid()}"
    if ADMIN_URL in os.environ:
        os.environ.setdefault(REDIS_URL, NOBODY)
    else:
        _start_servers()
    _make_template()


def _only_units(config: pytest.Config) -> bool:
    given = [Path(argument.split("::")[0]) for argument in config.args]
    units = Path("tests/unit").resolve()
    return all(path.resolve().is_relative_to(units) for path in given)


def _start_servers() -> None:
    from core.embedded.servers import Servers

    folder = Path(tempfile.mkdtemp(prefix="dermsynth-test-"))
    servers = Servers(folder, durable=False)
    servers.start()
    _started.append((servers, folder))
    os.environ[ADMIN_URL] = servers.database_url
    os.environ[REDIS_URL] = servers.redis_url


def _make_template() -> None:
    from core.db.migrate import upgrade

    create_database(os.environ[TEMPLATE])
    upgrade(database_url(os.environ[TEMPLATE]))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what this process made."""
    if not hasattr(config, "workerinput") and os.environ.get(TEMPLATE) and not _started:
        drop_database(os.environ[TEMPLATE])
    while _started:
        servers, folder = _started.pop()
        servers.remove()
        shutil.rmtree(folder, ignore_errors=True)


def database_url(name: str) -> str:
    """Return the address of another database of the same server."""
    return f"{os.environ[ADMIN_URL].rpartition('/')[0]}/{name}"


def create_database(name: str, template: str = "template1") -> str:
    """Create a database and return its address."""
    _execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return database_url(name)


def drop_database(name: str) -> None:
    """Drop a database, whoever is connected."""
    _execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _execute(statement: str) -> None:
    import psycopg

    url = os.environ[ADMIN_URL].replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def fresh_database(worker_name: str) -> Iterator[str]:
    """The address of a migrated, empty database of this worker's own."""
    name = f"test_{os.environ[TEMPLATE].removeprefix('template_')}_{worker_name}"
    yield create_database(name, os.environ[TEMPLATE])
    drop_database(name)


@pytest.fixture(scope="session")
def worker_name() -> str:
    """The name of this xdist worker, or ``main``."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


@pytest.fixture(scope="session")
def broker_url() -> str:
    """The address of the broker of all workers."""
    return os.environ[REDIS_URL]


@pytest.fixture
def empty_database(fresh_database: str) -> Iterator[str]:
    """An own migrated database for one test that changes the schema or breaks connections."""
    name = f"own_{os.getpid()}_{os.urandom(4).hex()}"
    yield create_database(name, os.environ[TEMPLATE])
    drop_database(name)
