"""The HTTP application, and ``python -m api.main`` that serves it."""

from __future__ import annotations

import argparse
import gc
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from api import openapi, problem
from api.body_limit import BodyLimit
from api.context import HostCheck, RequestContext
from api.events import EventHub
from api.failed_attempts import FailedAttempts
from api.guarded_protocol import GuardedProtocol
from api.known_keys import KnownKeys
from api.metrics.http import HttpMetrics
from api.metrics.service import ServiceMetrics
from api.rate_limit import RateLimit
from api.routes import (
    artifacts,
    assets,
    audit,
    catalog,
    datasets,
    experiments,
    groups,
    images,
    jobs,
    keys,
    models,
    pages,
    sessions,
    system,
    uploads,
    versions,
    webhooks,
)
from api.shared_answer import SharedAnswer
from api.submissions import Submissions
from api.thumbnails import ThumbnailMaker
from api.version import VERSION
from core import tracing
from core.config import get_settings
from core.db import session as database
from core.errors import DermSynthError
from core.logs import set_up_logging
from core.services.hints import in_background

ROUTERS = tuple(
    module.router
    for module in (
        jobs,  # first: asked for most, and routes are tried in turn
        datasets,
        uploads,
        versions,
        images,
        groups,
        artifacts,
        models,
        assets,
        experiments,
        catalog,
        keys,
        webhooks,
        sessions,
        audit,
        system,
        pages,
    )
)
THREADS = 40
"""Routes that run at once in threads; the pool of connections is as large."""
SUBMITTING = 12
"""Transactions of submissions at once: more would take the interpreter from all others."""
MOST_SUBMITTING, SUBMIT_SECONDS = 1000, 30.0
"""Submissions of a tenant that wait, and for how long: one may wait for locks of its tenant."""
SHUTDOWN_SECONDS = 5
OPEN_FILES = 65_536
SERVING: dict[str, Any] = {
    "http": GuardedProtocol,
    "ws": "none",
    "server_header": False,
    "timeout_keep_alive": 5,
}
"""Options of the server: nothing but HTTP, and nobody holds a connection for nothing."""


def create_app() -> FastAPI:
    """Return the application; it connects to nothing before the first request."""
    settings = get_settings()
    app = FastAPI(
        title="DermSynth3D",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.events = EventHub(settings.event_poll_seconds)
    app.state.known_keys = KnownKeys(settings.key_cache_seconds)
    app.state.rate_limit = RateLimit(settings.requests_per_minute)
    app.state.submissions = Submissions(SUBMITTING, MOST_SUBMITTING, SUBMIT_SECONDS)
    app.state.failed_attempts = FailedAttempts(settings.failed_logins_per_minute)
    app.state.readiness = SharedAnswer(system.ready, system.READY_SECONDS)
    app.state.thumbnails = ThumbnailMaker(settings)
    app.state.allowed_methods = allowed_methods
    app.state.http_metrics = HttpMetrics(app.state.events.count)
    app.state.service_metrics = ServiceMetrics(
        database.sessions, settings.data_dir, settings.metrics_keep_seconds
    )
    app.add_middleware(
        BodyLimit,
        json_bytes=settings.max_body_bytes,
        upload_bytes=settings.max_upload_bytes,
        idle_seconds=settings.body_idle_seconds,
    )
    app.add_middleware(HostCheck, hosts=settings.hosts)
    app.add_middleware(RequestContext, metrics=app.state.http_metrics)
    problem.install(app)
    for router in ROUTERS:
        # what they hold, not the routers: an included router is matched twice a request
        app.router.routes.extend(router.routes)
    pages.mount_static(app)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    to_thread.current_default_thread_limiter().total_tokens = THREADS
    with in_background(), closing(app.state.thumbnails):
        yield


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        routes = [route for router in ROUTERS for route in router.routes]
        app.openapi_schema = openapi.describe(routes)
    return app.openapi_schema


def allowed_methods(scope: Scope) -> set[str]:
    """Return the methods of a path; a path without parameters hides those that would match it."""
    routes = [
        route
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.matches(scope)[0] != Match.NONE
    ]
    exact = [route for route in routes if not route.param_convertors]
    shown = [route for route in exact or routes if route.include_in_schema]
    return {method for route in shown or exact or routes for method in route.methods or ()}


def main() -> None:
    """Serve until told to stop; open event streams are cut after a few seconds."""
    import uvicorn

    from api.serving import serve

    parser = argparse.ArgumentParser(description="Serve the HTTP API")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--fd", type=int, help="descriptor of a listening socket to serve on")
    parser.add_argument("--root-path", default="", help="prefix that a proxy takes off")
    parser.add_argument("--proxy", default="", help="addresses of trusted proxies, by commas")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    arguments = parser.parse_args()
    _raise_open_files()
    set_up_logging(get_settings(), arguments.log_level)
    try:
        tracing.start("dermsynth-api", get_settings())
    except DermSynthError as error:
        sys.exit(f"{error.code}: {error}")
    config = uvicorn.Config(
        "api.main:create_app",
        factory=True,
        host=arguments.host,
        port=arguments.port,
        root_path=arguments.root_path,
        proxy_headers=bool(arguments.proxy),
        forwarded_allow_ips=arguments.proxy or None,
        log_config=None,
        access_log=False,  # api.access tells more, and never the query: it may hold a login token
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        **SERVING,
    )
    # half a million objects that stay: looking through them again and again costs more than
    # anything that the collector finds
    gc.freeze()
    serve(config, arguments.fd)
    tracing.stop()


def _raise_open_files() -> None:
    """Let this process hold as many sockets as it may: each listener of events takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


if __name__ == "__main__":
    main()
