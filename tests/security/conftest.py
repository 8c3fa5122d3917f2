"""The corpus over HTTP: a served API and a worker on one database, broker and volume."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.api.conftest import served
from tests.integration.conftest import broker_url, shared_stack
from tests.integration.harness import Harness

__all__ = ["broker_url", "shared_stack"]


@pytest.fixture(scope="module")
def over_http(shared_stack: Harness) -> Iterator[httpx.Client]:
    """A client of a service with a worker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", shared_stack.database_url)
        for world in served(shared_stack.folder):
            with httpx.Client(
                base_url=world.url, headers={"Authorization": f"Bearer {world.key()}"}, timeout=120
            ) as client:
                yield client
