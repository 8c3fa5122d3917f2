"""The real application behind a real socket, one a module: its settings hold nowhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from tests.api.world import World


@pytest.fixture(scope="module")
def service(
    fresh_database: str, broker_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A served application; its settings come from the environment, as in production."""
    data_dir = tmp_path_factory.mktemp("data")
    values = {
        "DATABASE_URL": fresh_database,
        "REDIS_URL": broker_url,
        "DERMSYNTH_DATA_DIR": str(data_dir),
        "DERMSYNTH_DIAGNOSTICS": "1",
        "DERMSYNTH_EVENT_POLL_SECONDS": "0.05",
        "DERMSYNTH_COOKIE_LOGIN": "1",
        "DERMSYNTH_HEADER_SECONDS": "1",
        "DERMSYNTH_BODY_IDLE_SECONDS": "1",
        "DERMSYNTH_MAX_BODY_BYTES": "200000",
        "DERMSYNTH_MAX_UPLOAD_BYTES": "3000000",
        "DERMSYNTH_REQUESTS_PER_MINUTE": "1000000",
        "DERMSYNTH_FAILED_LOGINS_PER_MINUTE": "1000000",
        "DERMSYNTH_METRICS_KEEP_SECONDS": "0",
        "DERMSYNTH_THUMBNAIL_PROCESSES": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield from served(data_dir)


def served(data_dir: Path) -> Iterator[World]:
    """Serve the application with the settings of the environment, and nothing of it afterwards."""
    from core.config import get_settings
    from core.db.session import engine, forget_engine, sessions
    from core.services.hints import producer

    get_settings.cache_clear()
    producer.cache_clear()
    forget_engine()
    from api.main import SERVING, create_app

    app = create_app()
    config = uvicorn.Config(
        app, port=0, log_level="warning", access_log=False, lifespan="on", **SERVING
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    world = World(f"http://127.0.0.1:{port}", sessions(), data_dir, app)
    yield world
    world.close()
    server.should_exit = server.force_exit = True
    thread.join(10)
    engine().dispose()
    forget_engine()
    get_settings.cache_clear()
    producer.cache_clear()


@pytest.fixture
def world(service: World) -> World:
    """The service with an empty database."""
    service.empty()
    return service


@pytest.fixture
def api(world: World) -> httpx.Client:
    """A client that may do everything in the default tenant."""
    return world.client(world.key())


@pytest.fixture
def stranger(world: World) -> httpx.Client:
    """A client of another tenant."""
    return world.client(world.key("elsewhere"))


@pytest.fixture
def anonymous(world: World) -> httpx.Client:
    """A client without a key."""
    return world.client()
