"""An engine with web hooks allowed on this machine, and somebody who receives them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from core.config import get_settings
from tests.integration.conftest import fresh_database
from tests.integration.engine import Engine
from tests.integration.engine import engine as made_engine
from tests.receiver import Receiver, receiver


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with fresh_database() as url:
        yield url


@pytest.fixture
def engine(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    values = {
        "DATABASE_URL": database,
        "DERMSYNTH_DATA_DIR": str(tmp_path),
        "DERMSYNTH_WEBHOOK_NETWORKS": "127.0.0.0/8",
        "DERMSYNTH_WEBHOOK_HTTP": "1",
        "DERMSYNTH_WEBHOOK_POLL_SECONDS": "0.05",
        "DERMSYNTH_DIAGNOSTICS": "1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    with made_engine(database, tmp_path) as made:
        yield made
        with made.sessions.begin() as session:
            session.execute(text("TRUNCATE webhooks, jobs CASCADE"))
            session.execute(text("UPDATE tenants SET jobs_active = 0"))
    get_settings.cache_clear()


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as made:
        yield made
