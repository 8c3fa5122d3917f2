"""Hints: Celery messages that say ``look at this job``; losing one only delays it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from core.config import get_settings

if TYPE_CHECKING:
    from celery import Celery

log = logging.getLogger(__name__)

TASK = "worker.dispatch.run_job"
ENOUGH = 256
"""Of jobs that wait in a queue, and of hints in the broker: one more would wake nobody, for a slot
that has ended a job takes the next one without."""
FLUSH_SECONDS = 3.0
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


def trim_hints(queues: Sequence[str]) -> dict[str, int]:
    """Leave no more than ENOUGH hints in each queue; return how many it holds, as far as known.

    A slot that is never idle takes jobs without their hints, which nobody else would take away.
    """
    import redis

    client: Any = redis.Redis.from_url(
        get_settings().redis_url, socket_timeout=1.0, socket_connect_timeout=1.0, retry=None
    )
    try:
        # Celery keeps a queue as a list of its name, the oldest message last
        with client.pipeline(transaction=False) as pipeline:
            for queue in queues:
                pipeline.ltrim(queue, -ENOUGH, -1).llen(queue)
            lengths = pipeline.execute()[1::2]
        return dict(zip(queues, map(int, lengths), strict=True))
    except (redis.RedisError, OSError) as error:
        log.warning("the broker does not say how many hints it holds: %s", error)
        return {}
    finally:
        client.close()


def send_hints(hints: Sequence[tuple[str, str]]) -> int:
    """Send (job id, queue) hints and return how many went out; failures are only logged."""
    if not hints:
        return 0
    try:
        with _lock, producer().amqp.producer_pool.acquire(block=True) as sending, sending.batch():
            for job_id, queue in hints:
                producer().send_task(
                    TASK, args=[job_id], queue=queue, retry=False, producer=sending
                )
    except Exception as error:
        # harmless by design: the queue of record is in Postgres
        log.warning("no hint for %d jobs, %s the first: %s", len(hints), hints[0][0], error)
        return 0
    return len(hints)


_posted: SimpleQueue[list[tuple[str, str]] | None] | None = None


def post_hints(hints: list[tuple[str, str]]) -> None:
    """Send hints, within :func:`in_background` by its thread: no answer waits for the broker."""
    posted = _posted  # once: a request that has committed may still be here when the server ends
    if posted is None:
        send_hints(hints)
    elif hints:
        posted.put(hints)


@contextmanager
def in_background() -> Iterator[None]:
    """Let one thread send what is posted: together what came while it sent.

    At the end it sends what is left, for at most ``FLUSH_SECONDS``.
    """
    global _posted  # noqa: PLW0603 - one broker, one thread that talks to it
    posted = _posted = SimpleQueue()
    thread = threading.Thread(target=_send_posted, args=(posted,), name="hints", daemon=True)
    thread.start()
    try:
        yield
    finally:
        _posted = None
        posted.put(None)
        thread.join(FLUSH_SECONDS)


def _send_posted(posted: SimpleQueue[list[tuple[str, str]] | None]) -> None:
    while (first := posted.get()) is not None:
        together = [*first]
        while not posted.empty():
            if (more := posted.get()) is None:
                send_hints(together)
                return
            together += more
        send_hints(together)
