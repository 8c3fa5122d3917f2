"""What all API processes show alike, because it is read from the database and the volume."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from api.metrics.totals import counters
from api.version import VERSION
from core.db.models import Worker
from core.db.repositories import job_queries, measures
from core.jobs.spec import QUEUES
from core.services.job_view import silence_seconds

Family = GaugeMetricFamily
Reader = Callable[[Session], Iterator[Metric]]


class ServiceMetrics(Collector):
    """Reads the numbers when asked, at most every ``keep_seconds``, one reader at a time."""

    def __init__(
        self, factory: Callable[[], sessionmaker[Session]], data_dir: Path, keep_seconds: float
    ) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        self._factory = factory
        self._data_dir = data_dir
        self._keep_seconds = keep_seconds
        self._lock = threading.Lock()
        self._known: list[Metric] = []
        self._read_at = -float("inf")

    def collect(self) -> list[Metric]:
        with self._lock:
            if time.monotonic() - self._read_at >= self._keep_seconds:
                self._known = [*self._database(), *volume(self._data_dir), build()]
                self._read_at = time.monotonic()
            return self._known

    def _database(self) -> list[Metric]:
        """Return what the database says; without it that it is down, and no number."""
        families: list[Metric] = []
        up = Family("dermsynth_database_up", "Whether the database answers.")
        try:
            with self._factory()() as session:
                for read in READERS:
                    families += read(session)
        except SQLAlchemyError:
            families = []
        up.add_metric((), 1 if families else 0)
        return [up, *families]


def unfinished_jobs(session: Session) -> Iterator[Family]:
    family = Family("dermsynth_jobs", "Unfinished jobs.", labels=("kind", "status"))
    for kind, status, number in measures.unfinished(session):
        family.add_metric((kind, status), number)
    yield family


def queues(session: Session) -> Iterator[Family]:
    depth = Family("dermsynth_queue_depth", "Jobs that wait.", labels=("queue",))
    oldest = Family(
        "dermsynth_queue_oldest_wait_seconds",
        "Seconds for which the oldest due job has been waiting.",
        labels=("queue",),
    )
    for queue in measures.queues(session, QUEUES):
        depth.add_metric((queue.name,), queue.depth)
        oldest.add_metric((queue.name,), queue.oldest_seconds)
    yield from (depth, oldest)


def workers(session: Session) -> Iterator[Family]:
    """Yield live workers by queue, slots by host and the memory of GPUs."""
    rows = job_queries.live_workers(session, silence_seconds())
    live = Family("dermsynth_workers_live", "Workers that reported lately.", labels=("queue",))
    for queue in QUEUES:
        live.add_metric((queue,), sum(queue in row.queues for row in rows))
    slots = Family("dermsynth_slots", "Jobs that workers can run at once.", labels=("host",))
    busy = Family("dermsynth_slots_busy", "Slots that run a job.", labels=("host",))
    running = measures.busy_slots(session)
    for host in sorted({row.host for row in rows}):
        slots.add_metric((host,), sum(row.slots for row in rows if row.host == host))
        busy.add_metric((host,), running.get(host, 0))
    yield from (live, slots, busy)
    yield from gpus(rows)


def gpus(rows: list[Worker]) -> Iterator[Family]:
    """Yield each GPU once, as the worker says that reported last: several may share it."""
    labels = ("host", "gpu", "name")
    used = Family("dermsynth_gpu_memory_used_bytes", "GPU memory in use.", labels=labels)
    total = Family("dermsynth_gpu_memory_total_bytes", "GPU memory.", labels=labels)
    newest = {
        (row.host, gpu["uuid"], gpu["name"]): gpu
        for row in sorted(rows, key=lambda row: row.last_seen)
        for gpu in row.gpus
    }
    for key, gpu in sorted(newest.items()):
        used.add_metric(key, gpu["used_bytes"])
        total.add_metric(key, gpu["total_bytes"])
    yield from (used, total)


def uploads(session: Session) -> Iterator[Family]:
    number, received = measures.open_uploads(session)
    yield _one("dermsynth_uploads_open", "Uploads that are under way.", number)
    yield _one("dermsynth_uploads_open_bytes", "Bytes of them that have arrived.", received)


def web_hooks(session: Session) -> Iterator[Family]:
    """Yield what the outbox holds; what came of the others is counted by ``counters``."""
    waiting, oldest = measures.pending_deliveries(session)
    off = measures.disabled_webhooks(session)
    yield _one("dermsynth_webhook_deliveries_pending", "Messages that wait.", waiting)
    yield _one(
        "dermsynth_webhook_oldest_wait_seconds",
        "Seconds for which the oldest of them has been waiting.",
        oldest,
    )
    yield _one("dermsynth_webhooks_disabled", "Web hooks that are switched off.", off)


READERS: tuple[Reader, ...] = (unfinished_jobs, queues, workers, uploads, web_hooks, counters)
"""What is read from the database; a new number is one more function here."""


def volume(data_dir: Path) -> Iterator[Family]:
    """Yield the space of the shared volume; nothing while it is not there."""
    try:
        space = shutil.disk_usage(data_dir)
    except OSError:
        return
    yield _one("dermsynth_volume_size_bytes", "Size of the shared volume.", space.total)
    yield _one("dermsynth_volume_used_bytes", "Bytes in use on it.", space.used)
    yield _one("dermsynth_volume_free_bytes", "Bytes free on it for the service.", space.free)


def build() -> Family:
    family = Family("dermsynth_build_info", "Version.", labels=("version",))
    family.add_metric((VERSION,), 1)
    return family


def _one(name: str, words: str, value: float) -> Family:
    family = Family(name, words)
    family.add_metric((), value)
    return family
