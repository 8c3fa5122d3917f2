"""What this process counts itself: requests by route, listeners, connections, its own resources."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.process_collector import ProcessCollector
from starlette.types import Scope

from core.db.session import engine

UNMATCHED = "(none)"
"""The route of a request that no route matched: its path never becomes a label."""
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class HttpMetrics:
    """The numbers of one application; their labels are route templates, never paths or ids."""

    def __init__(self, listeners: Callable[[], int]) -> None:
        # a second series beside every counter, which nobody asks for
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "dermsynth_http_requests_total",
            "Requests answered by this process.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "dermsynth_http_request_seconds",
            "Seconds from a request to the beginning of its answer.",
            ("method", "route"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "dermsynth_http_requests_in_progress",
            "Requests that this process is answering.",
            registry=self.registry,
        )
        self._gauge("dermsynth_sse_listeners", "Clients that follow a job's events.", listeners)
        self._gauge(
            "dermsynth_database_connections_in_use",
            "Connections of this process's pool that are lent.",
            lambda: checked_out()[0],
        )
        self._gauge(
            "dermsynth_database_connections_limit",
            "Connections that this process's pool may open.",
            lambda: checked_out()[1],
        )

    def _gauge(self, name: str, words: str, read: Callable[[], int]) -> None:
        Gauge(name, words, registry=self.registry).set_function(read)

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count an answer; ``status`` 0: the client left before there was one."""
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        route = route_of(scope)
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)


def route_of(scope: Scope) -> str:
    """Return the template of the route that was matched, like ``/v1/jobs/{job_id}``."""
    route = scope.get("route")
    return str(getattr(route, "path", "")) or UNMATCHED


def checked_out() -> tuple[int, int]:
    """Return how many connections of this process's pool are lent, and how many there may be."""
    pool = engine().pool
    limit = pool.size() + pool._max_overflow  # type: ignore[attr-defined]
    return pool.checkedout(), limit  # type: ignore[attr-defined]
