"""Health, metrics and version: public, without secrets."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from api.answers import json_response
from api.schemas import products as schemas
from api.version import VERSION, full_version
from core.db.repositories import job_queries
from core.db.session import sessions
from core.services import readiness
from core.services.job_view import silence_seconds
from core.services.predictions import INTENDED_USE
from core.services.readiness import Check

router = APIRouter(tags=["system"])

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/healthz", operation_id="system_health", response_model=schemas.Health)
async def healthz() -> Response:
    """Tell that this process answers; it asks nobody else."""
    return json_response({"status": "ok"})


@router.get(
    "/readyz",
    operation_id="system_ready",
    response_model=schemas.Readiness,
    responses={503: {"model": schemas.Readiness, "description": "Something needed is missing."}},
)
def readyz() -> Response:
    """Tell what works; `degraded` is without broker or workers: jobs are accepted and wait."""
    checks = [readiness.storage_check(), readiness.broker_check()]
    try:
        with sessions()() as session:
            checks = readiness.database_checks(session) + checks
    except SQLAlchemyError:
        checks.insert(0, Check("database", False, True, "does not answer"))
    missing = any(check.required and not check.ok for check in checks)
    degraded = any(not check.ok for check in checks)
    status = "not_ready" if missing else "degraded" if degraded else "ready"
    body = {"status": status, "checks": [asdict(check) for check in checks]}
    headers = {"Cache-Control": "no-store", **({"Retry-After": "5"} if missing else {})}
    return json_response(body, 503 if missing else 200, headers)


@router.get("/version", operation_id="system_version", response_model=schemas.Version)
async def version() -> Response:
    """Return which version this is."""
    return json_response(
        {
            "name": "DermSynth3D",
            "version": full_version(),
            "api": "v1",
            "intended_use": INTENDED_USE,
        }
    )


@router.get(
    "/metrics",
    operation_id="system_metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics() -> Response:
    """Return Prometheus metrics: jobs by kind and status, queue depths, live workers."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers())
    return Response(generate_latest(registry), media_type=METRICS_TYPE)


class _Numbers:
    """Reads the numbers when asked: they are the database's, not this process's."""

    def collect(self) -> list[GaugeMetricFamily]:
        with sessions()() as session:
            counts = job_queries.counts(session)
            depths = job_queries.depths(session)
            workers = job_queries.live_workers(session, silence_seconds())
        jobs = GaugeMetricFamily("dermsynth_jobs", "Jobs.", labels=("kind", "status"))
        for kind, status, number in counts:
            jobs.add_metric((kind, status), number)
        queued = GaugeMetricFamily("dermsynth_queue_depth", "Jobs that wait.", labels=("queue",))
        for queue, number in sorted(depths.items()):
            queued.add_metric((queue,), number)
        live = GaugeMetricFamily("dermsynth_workers_live", "Workers that reported lately.")
        live.add_metric((), len(workers))
        build = GaugeMetricFamily("dermsynth_build_info", "Version.", labels=("version",))
        build.add_metric((VERSION,), 1)
        return [jobs, queued, live, build]
