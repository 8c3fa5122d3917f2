"""Health, metrics and version: without secrets, and but for metrics public."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter
from prometheus_client import generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_response
from api.metrics.access import check_reader
from api.schemas import products as schemas
from api.version import full_version
from core.db.session import sessions
from core.services import readiness
from core.services.predictions import INTENDED_USE
from core.services.readiness import Check

router = APIRouter(tags=["system"])

READY_SECONDS = 1.0
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
async def readyz(request: Request) -> Response:
    """Tell what works; `degraded` is without broker or workers: jobs are accepted and wait.

    An answer holds for a second, and for all who ask meanwhile.
    """
    checks: tuple[Check, ...] = await request.app.state.readiness.get()
    missing = any(check.required and not check.ok for check in checks)
    degraded = any(not check.ok for check in checks)
    status = "not_ready" if missing else "degraded" if degraded else "ready"
    body = {"status": status, "checks": [asdict(check) for check in checks]}
    headers = {"Cache-Control": "no-store", **({"Retry-After": "5"} if missing else {})}
    return json_response(body, 503 if missing else 200, headers)


def ready() -> tuple[Check, ...]:
    """Ask everything that is needed; a broker that hangs takes its half second."""
    checks = [readiness.storage_check(), readiness.broker_check()]
    try:
        with sessions()() as session:
            checks = readiness.database_checks(session) + checks
    except SQLAlchemyError:
        checks.insert(0, Check("database", False, True, "does not answer"))
    return tuple(checks)


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
async def metrics(request: Request) -> Response:
    """Return Prometheus metrics: jobs, queues, workers, the volume, and this process's requests.

    From outside the networks of DERMSYNTH_METRICS_NETWORKS it takes a key with `metrics:read`.
    """
    await check_reader(request)
    state = request.app.state
    service = await run_in_threadpool(generate_latest, state.service_metrics.registry)
    text = service + generate_latest(state.http_metrics.registry)
    return Response(text, media_type=METRICS_TYPE, headers={"Cache-Control": "no-store"})
