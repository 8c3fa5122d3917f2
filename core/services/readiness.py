"""Whether the service can do its work, and what is missing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy.orm import Session

from core.config import get_settings
from core.db.repositories import job_queries
from core.errors import StorageFull
from core.services.job_view import silence_seconds
from core.services.keys import has_keys
from core.services.quota import require_room

BROKER_SECONDS = 0.5
MAKE_KEY = "make one: dermsynth keys create --admin (compose: docker compose run --rm api …)"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is needed (``required``) or only wished for."""

    name: str
    ok: bool
    required: bool
    detail: str


def database_checks(session: Session) -> list[Check]:
    """Return what the database says; its errors pass."""
    revision, head = job_queries.revision(session), head_revision()
    checks = [Check("database", True, True, "answers"), _migrations(revision, head)]
    if revision != head:
        return checks
    keyed = has_keys(session)
    checks.append(Check("api_key", keyed, True, "there is one" if keyed else f"none; {MAKE_KEY}"))
    workers = job_queries.live_workers(session, silence_seconds())
    queues = sorted({queue for worker in workers for queue in worker.queues})
    detail = f"{len(workers)} live, for {', '.join(queues)}" if workers else "none is live"
    checks.append(Check("workers", bool(workers), False, detail))
    return checks


def _migrations(revision: str | None, head: str) -> Check:
    if revision == head:
        return Check("migrations", True, True, f"at {head}")
    detail = f"at {revision or 'none'}, not {head}; run python -m core.db.migrate"
    return Check("migrations", False, True, detail)


@lru_cache(maxsize=1)
def head_revision() -> str:
    """Return the newest migration of this code."""
    from alembic.script import ScriptDirectory

    from core.db.migrate import migration_config

    head = ScriptDirectory.from_config(migration_config()).get_current_head()
    if head is None:
        raise RuntimeError("There are no migrations")
    return head


def storage_check() -> Check:
    """Tell whether the shared volume can be written and has more than its reserve free."""
    folder = get_settings().data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return Check("storage", False, True, f"the data folder: {error.strerror}")
    writable = os.access(folder, os.W_OK)
    try:
        require_room()
    except StorageFull as error:
        return Check("storage", False, False, error.detail)  # reading goes on
    return Check("storage", writable, True, "writable" if writable else "not writable")


def broker_check() -> Check:
    """Tell whether the broker answers; without it jobs only start later."""
    import redis

    client: Any = redis.Redis.from_url(
        get_settings().redis_url,
        socket_timeout=BROKER_SECONDS,
        socket_connect_timeout=BROKER_SECONDS,
        retry=None,
    )
    try:
        client.ping()
    except (redis.RedisError, OSError):
        return Check("broker", False, False, "does not answer; jobs start late")
    finally:
        client.close()
    return Check("broker", True, False, "answers")
