"""Brings a database to a revision; safe to call from several processes at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, pool, text

ADVISORY_LOCK = 0x6465726D  # "derm"


def migration_config() -> Config:
    """Return Alembic's configuration; the scripts lie in the package ``migrations``."""
    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).resolve().parents[2] / "migrations")
    )
    return config


def upgrade(database_url: str, revision: str = "head") -> None:
    """Upgrade the database; others that do the same wait."""
    _run(database_url, lambda config: command.upgrade(config, revision))


def downgrade(database_url: str, revision: str) -> None:
    """Downgrade the database; data of dropped tables are lost."""
    _run(database_url, lambda config: command.downgrade(config, revision))


def _run(database_url: str, step: Callable[[Config], None]) -> None:
    engine = create_engine(database_url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        _with_connection(connection, step)
        connection.commit()


def _with_connection(connection: Connection, step: Callable[[Config], None]) -> None:
    config = migration_config()
    config.attributes["connection"] = connection
    step(config)


def main() -> None:
    """``python -m core.db.migrate``: upgrade the configured database."""
    from core.config import get_settings

    upgrade(get_settings().database_url)


if __name__ == "__main__":
    main()
