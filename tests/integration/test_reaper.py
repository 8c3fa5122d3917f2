from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings, get_settings
from core.db.models import IdempotencyKey
from core.db.repositories.jobs import seconds_from_now
from core.services.keys import ensure_tenant
from worker.reaper import KEPT_ANSWER_SECONDS, sweep


@pytest.fixture
def factory(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[sessionmaker[Session]]:
    monkeypatch.setenv("DERMSYNTH_DATA_DIR", str(tmp_path))
    get_settings.cache_clear()
    engine = create_engine(empty_database)
    yield sessionmaker(engine)
    engine.dispose()
    get_settings.cache_clear()


def test_old_answers_are_forgotten_and_new_ones_kept(
    factory: sessionmaker[Session], tmp_path: Path
) -> None:
    with factory.begin() as session:
        tenant = ensure_tenant(session).id
        for key, age in (("old", KEPT_ANSWER_SECONDS + 60), ("new", 60.0)):
            session.add(
                IdempotencyKey(
                    tenant_id=tenant, key=key, request_hash="x", status=202, headers={}, body={},
                    created_at=seconds_from_now(-age),
                )
            )  # fmt: skip
    sweep(factory, Settings(data_dir=tmp_path))
    with factory() as session:
        assert session.scalars(select(IdempotencyKey.key)).all() == ["new"]
