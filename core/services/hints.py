"""Hints: Celery messages that say ``look at this job``; losing one only delays it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from core.config import get_settings

if TYPE_CHECKING:
    from celery import Celery

log = logging.getLogger(__name__)

TASK = "worker.dispatch.run_job"
_lock = threading.Lock()


def forget_producer() -> None:
    """Start over after a fork: the parent may have been sending, holding lock and connection."""
    global _lock  # noqa: PLW0603 - a lock that was held while forking is never released here
    _lock = threading.Lock()
    producer.cache_clear()


@lru_cache(maxsize=1)
def producer() -> Celery:
    """Return a Celery app that only sends; its connections never block for long."""
    from celery import Celery

    app = Celery("hints", broker=get_settings().redis_url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        task_ignore_result=True,
        broker_connection_retry=False,
        broker_connection_retry_on_startup=False,
        # a dead broker must not hold up an answer: the reaper repeats lost hints
        broker_connection_timeout=1.0,
        broker_transport_options={
            "socket_timeout": 1.0,
            "socket_connect_timeout": 1.0,
            "retry_on_timeout": False,
            "max_retries": 0,
        },
    )
    return app


def hints_held(queues: Iterable[str]) -> dict[str, int]:
    """Return how many hints the broker holds by queue; nothing while it does not answer."""
    import redis

    client: Any = redis.Redis.from_url(
        get_settings().redis_url, socket_timeout=1.0, socket_connect_timeout=1.0, retry=None
    )
    try:
        # Celery keeps a queue as a list of its name
        return {queue: int(client.llen(queue)) for queue in queues}
    except (redis.RedisError, OSError) as error:
        log.warning("the broker does not say how many hints it holds: %s", error)
        return {}
    finally:
        client.close()


def send_hints(hints: Iterable[tuple[str, str]]) -> int:
    """Send (job id, queue) hints and return how many went out; failures are only logged."""
    sent = 0
    for job_id, queue in hints:
        try:
            with _lock:
                producer().send_task(TASK, args=[job_id], queue=queue, retry=False)
            sent += 1
        except Exception as error:
            # harmless by design: the queue of record is in Postgres
            log.warning("no hint for %s on %s: %s", job_id, queue, error)
            break
    return sent
