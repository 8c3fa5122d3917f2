"""Alembic's entry: runs the migrations on the connection or address it is given."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine, pool

from core.config import get_settings
from core.db.models import Base


def run(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=Base.metadata, compare_server_default=False
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    url = context.config.get_main_option("sqlalchemy.url") or get_settings().database_url
    with create_engine(url, poolclass=pool.NullPool).connect() as opened:
        run(opened)
        opened.commit()
