"""Stacks of real processes: a database, a broker and a volume of a test's own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from core.config import get_settings
from core.db.migrate import upgrade
from core.services.hints import producer
from tests.integration.harness import Harness, harness


@contextmanager
def fresh_database() -> Iterator[str]:
    """Yield the address of a new, migrated database; it is dropped afterwards."""
    server = make_url(os.environ["TEST_DATABASE_URL"])
    name = f"stack_{secrets.token_hex(6)}"
    admin = create_engine(server.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = server.set(database=name).render_as_string(hide_password=False)
    try:
        upgrade(url)
        yield url
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


@pytest.fixture(scope="session")
def broker_url() -> str:
    """The address of this test process's own logical database of the broker."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    base = os.environ["TEST_REDIS_URL"].rsplit("/", 1)[0]
    return f"{base}/{1 + int(worker.removeprefix('gw'))}"


@contextmanager
def _stack(broker: str, folder: Path) -> Iterator[Harness]:
    import redis

    redis.Redis.from_url(broker).flushdb()
    with pytest.MonkeyPatch.context() as patch, fresh_database() as url:
        patch.setenv("REDIS_URL", broker)
        patch.setenv("DERMSYNTH_DATA_DIR", str(folder))
        _forget_settings()
        with harness(url, broker, folder) as made:
            yield made
    _forget_settings()


def _forget_settings() -> None:
    """Have this process read its settings anew, and send its hints where they say."""
    get_settings.cache_clear()
    producer.cache_clear()


@pytest.fixture
def stack(broker_url: str, tmp_path: Path) -> Iterator[Harness]:
    """A stack without workers: the test starts and kills its own, which do not preload torch."""
    with _stack(broker_url, tmp_path) as made:
        made.app = "tests.chaos.celery_app"
        yield made


@pytest.fixture(scope="module")
def shared_stack(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """A stack with one worker of two slots, for tests that leave it as it was."""
    with _stack(
        f"{broker_url.rsplit('/', 1)[0]}/{8 + _worker_number()}", tmp_path_factory.mktemp("stack")
    ) as made:
        made.start_worker(slots=2)
        made.wait_for_workers()
        yield made


def _worker_number() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 7
