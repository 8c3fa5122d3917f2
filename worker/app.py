"""The Celery app: it carries hints, nothing more (the queue of record is in Postgres)."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import (
    setup_logging,
    task_received,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutting_down,
)
from kombu.entity import Queue

from core.config import get_settings
from core.jobs.spec import QUEUES

app = Celery("dermsynth3d", include=["worker.dispatch"])
app.conf.update(
    broker_url=get_settings().redis_url,
    # hints are short-lived and idempotent: acknowledging early can lose one, never double a job
    task_acks_late=False,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    # JSON only: a message can never run code
    task_serializer="json",
    accept_content=["json"],
    # a waiting hint stays in the queue for whoever is free first
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    task_queues=[Queue(name) for name in QUEUES],  # type: ignore[no-untyped-call]
    task_default_queue="cpu",
    task_create_missing_queues=False,
    # the broker may be restarted at any time, and be down at the start
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    # nor may a connection that went dark hold up this process: Celery's heartbeat notices one
    broker_transport_options={
        "socket_keepalive": True,
        "health_check_interval": 10,
        "socket_timeout": 10.0,
        "socket_connect_timeout": 10.0,
    },
    # gossip and remote control are ways for messages to act on jobs: only the database may
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    # logging is set up by core.logs
    worker_hijack_root_logger=False,
    worker_proc_alive_timeout=60.0,
)


@setup_logging.connect
def _log(**_: Any) -> None:
    from core.logs import set_up_logging

    set_up_logging(get_settings())


_slots = 1
"""How many slots this worker has; they inherit it."""


@worker_init.connect
def _prepare(sender: Any = None, **_: Any) -> None:
    from core import tracing
    from core.errors import DermSynthError
    from worker.drain import prepare

    try:
        tracing.check(get_settings())
    except DermSynthError as error:
        # Celery logs what a signal's receiver raises, and goes on
        raise SystemExit(f"{error.code}: {error}") from None
    global _slots  # noqa: PLW0603 - set once, before the slots are forked
    _slots = int(sender.concurrency or 1)
    prepare()


@worker_ready.connect
def _keep_house(sender: Any = None, **_: Any) -> None:
    """Report this worker and look for lost jobs, from the main process."""
    from worker.housekeeping import start

    queues = sorted(sender.app.amqp.queues.consume_from)
    start(sender, queues, slots=int(sender.pool.limit or 1))


@task_received.connect
def _hear(**_: Any) -> None:
    from worker.hearing import hearing

    hearing.hear()


@worker_shutting_down.connect
def _drain(**_: Any) -> None:
    from worker.drain import begin

    begin()


@worker_process_init.connect
def _open_slot(**_: Any) -> None:
    from worker.slot import open_slot

    open_slot(sorted(app.amqp.queues.consume_from), slots=_slots)


@worker_process_shutdown.connect
def _close_slot(**_: Any) -> None:
    from worker.slot import close_slot

    close_slot()
