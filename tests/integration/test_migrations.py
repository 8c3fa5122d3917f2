from __future__ import annotations

from alembic import command
from sqlalchemy import Engine, create_engine, func, select, text
from sqlalchemy.orm import Session

from core.db.migrate import downgrade, migration_config, upgrade
from core.db.models import Base, Job, JobEvent, Tenant
from core.ids import new_id
from tests.integration.conftest import fresh_database


def fill(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        tenant = Tenant(id=new_id("tnt"), name="clinic")
        session.add(tenant)
        session.flush()
        job = Job(
            id=new_id("job"), tenant_id=tenant.id, kind="noop", queue="cpu", params={}, inputs={},
            max_attempts=3, timeout_seconds=60,
        )  # fmt: skip
        session.add(job)
        session.flush()
        session.add(JobEvent(job_id=job.id, seq=1, type="submitted", data={}))


def test_upgrade_downgrade_upgrade_with_rows_in_the_tables() -> None:
    with fresh_database() as url:
        engine = create_engine(url)
        fill(engine)
        downgrade(url, "base")
        with engine.connect() as connection:
            left = connection.scalar(
                text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            )
        assert left == 1  # Alembic's own
        upgrade(url)
        fill(engine)
        with Session(engine) as session:
            assert session.scalar(select(func.count()).select_from(Job)) == 1
        engine.dispose()


def test_the_migrations_make_exactly_the_models() -> None:
    with fresh_database() as url:
        engine = create_engine(url)
        with engine.connect() as connection:
            config = migration_config()
            config.attributes["connection"] = connection
            command.check(config)
            tables = set(
                connection.scalars(
                    text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
                )
            )
        assert tables == set(Base.metadata.tables) | {"alembic_version"}
        engine.dispose()


def test_upgrading_a_database_that_is_current_changes_nothing() -> None:
    with fresh_database() as url:
        engine = create_engine(url)
        fill(engine)
        upgrade(url)
        with Session(engine) as session:
            assert session.scalar(select(func.count()).select_from(Tenant)) == 1
        engine.dispose()
