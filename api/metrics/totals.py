"""Counters and histograms of jobs out of the totals that the database keeps."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy.orm import Session

from core.db.repositories.measures import BOUNDS, Total, totals

# metric, measure, words, labels (the second one is the measure's detail), only this detail
COUNTERS: tuple[tuple[str, str, str, tuple[str, ...], str | None], ...] = (
    ("jobs_submitted", "submitted", "Jobs submitted, children too.", ("kind", "queue"), None),
    ("jobs_finished", "ended", "Jobs that have ended.", ("kind", "status"), None),
    ("job_failures", "failure", "Jobs that failed, by code.", ("kind", "code"), None),
    ("job_attempts", "attempt", "Attempts, the first ones too.", ("kind",), None),
    ("job_retries", "retry", "Attempts that follow a lost one.", ("kind",), None),
    ("worker_lost", "lost", "Attempts that lost their worker or process.", ("kind",), None),
    ("lease_expiries", "lost", "Attempts whose lease ran out.", ("kind",), "lease"),
    ("webhook_deliveries", "delivery", "Messages taken or given up.", ("event", "status"), None),
)
HISTOGRAMS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("job_wait_seconds", "wait", "Seconds from due to claimed.", ("kind", "queue")),
    ("job_run_seconds", "run", "Seconds from the first start of a job to its end.", ("kind",)),
)


def counters(session: Session) -> Iterator[Metric]:
    """Yield every counter and histogram."""
    known = totals(session)
    for name, measure, words, labels, only in COUNTERS:
        yield _counter(name, words, labels, _of(known, measure, only))
    for name, measure, words, labels in HISTOGRAMS:
        yield _histogram(name, words, labels, _of(known, measure, None))


def _of(known: Sequence[Total], measure: str, only: str | None) -> list[Total]:
    return [t for t in known if t.name == measure and only in (None, t.detail)]


def _labels(total: Total, labels: Sequence[str]) -> tuple[str, ...]:
    return (total.kind, total.detail)[: len(labels)]


def _counter(
    name: str, words: str, labels: Sequence[str], found: Sequence[Total]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"dermsynth_{name}", words, labels=labels)
    numbers: dict[tuple[str, ...], int] = defaultdict(int)
    for total in found:
        numbers[_labels(total, labels)] += total.count
    for values, number in sorted(numbers.items()):
        family.add_metric(values, number)
    return family


def _histogram(
    name: str, words: str, labels: Sequence[str], found: Sequence[Total]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(f"dermsynth_{name}", words, labels=labels)
    grouped: dict[tuple[str, ...], list[Total]] = defaultdict(list)
    for total in found:
        grouped[_labels(total, labels)].append(total)
    for values, group in sorted(grouped.items()):
        # a bound of an older version that is not among ours counts at the next one above
        buckets = [
            (
                "+Inf" if bound == math.inf else str(bound),
                sum(t.count for t in group if t.bound <= bound),
            )
            for bound in (*BOUNDS, math.inf)
        ]
        family.add_metric(values, buckets, sum(t.total for t in group))
    return family
