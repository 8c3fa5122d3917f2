"""Engines and sessions: one engine a process, made on first use, never at import."""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

from core.config import get_settings

SHORTEST_IDLE_SECONDS = 2.0


def make_engine(url: str, *, pool_size: int = 10, idle_seconds: float = 60.0) -> Engine:
    """Return an engine whose sessions run on UTC and never wait for ever.

    ``idle_seconds``: a transaction that does nothing for so long is ended, with its locks.

    Connections are not tried before use: after a restart of the database the first request of each
    process is answered 503 and may be repeated, and every other request saves a round trip.
    """
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        connect_args={
            "connect_timeout": 5,
            # a database host that vanishes is noticed within half a minute, not many
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
            "options": "-c timezone=UTC -c lock_timeout=10000 -c statement_timeout=60000"
            f" -c idle_in_transaction_session_timeout={round(idle_seconds * 1000)}",
        },
    )


@lru_cache(maxsize=1)
def engine() -> Engine:
    """Return this process's engine; after a fork call ``forget_engine`` first."""
    settings = get_settings()
    # a worker that is frozen within a transaction keeps its locks no longer than its lease
    idle = min(60.0, max(SHORTEST_IDLE_SECONDS, settings.lease_seconds))
    return make_engine(settings.database_url, pool_size=40, idle_seconds=idle)


@lru_cache(maxsize=1)
def sessions() -> sessionmaker[Session]:
    """Return this process's session factory."""
    return sessionmaker(engine(), expire_on_commit=False)


@lru_cache(maxsize=1)
def _autocommit() -> Engine:
    """Return the same pool, without transactions: a read costs half the round trips."""
    return engine().execution_options(isolation_level="AUTOCOMMIT")


@lru_cache(maxsize=1)
def reads() -> sessionmaker[Session]:
    """Return a factory of sessions for short reads: every statement stands alone."""
    return sessionmaker(_autocommit(), expire_on_commit=False)


def reading() -> Connection:
    """Open a connection for reads that happen all the time: no session, no mapped objects."""
    return _autocommit().connect()


_of_parents: list[Engine] = []


def forget_engine() -> None:
    """Start over after a fork; the parent's engine is kept, so that nothing closes its sockets."""
    if engine.cache_info().currsize:
        _of_parents.append(engine())
    engine.cache_clear()
    sessions.cache_clear()
    _autocommit.cache_clear()
    reads.cache_clear()
