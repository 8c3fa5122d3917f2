"""What a caller sees when the database has dropped all connections."""

from __future__ import annotations

import httpx
import psycopg

from core.db.session import engine
from tests.api.world import World


def test_dropped_connections_cost_at_most_one_503_with_retry_after(
    world: World, api: httpx.Client
) -> None:
    assert api.get("/v1/jobs").status_code == 200
    url = engine().url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    answers = [api.get("/v1/jobs") for _ in range(3)]
    assert {answer.status_code for answer in answers} <= {200, 503}
    for answer in answers:
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.json()["code"] != "internal_error"
    assert answers[-1].status_code == 200
