"""Requests that are cancelled while a thread works for them, as at the end of the server."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import form_jobs
from core.services import uploads
from core.services.inputs import upload_path
from core.services.submit import submit
from tests.api.world import World

SECONDS = 15.0
"""No test waits longer."""


class Gate:
    """Holds the thread that comes to it until it is opened."""

    def __init__(self) -> None:
        self.reached, self._open, self.left = (threading.Event() for _ in range(3))

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``call``, held at the gate when it begins."""

        def held(*arguments: Any, **options: Any) -> Any:
            self.reached.set()
            assert self._open.wait(SECONDS)
            return call(*arguments, **options)

        return held

    def after(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``call``; ``left`` is set when it has ended."""

        def watched(*arguments: Any, **options: Any) -> Any:
            try:
                return call(*arguments, **options)
            finally:
                self.left.set()

        return watched

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


async def cancelled(
    gate: Gate, secret: str, *arguments: Any, **options: Any
) -> asyncio.Task[httpx.Response]:
    """Send a request and cancel its task as uvicorn does, while its thread is at the gate."""
    from api.main import create_app

    transport = httpx.ASGITransport(create_app())
    headers = {"Authorization": f"Bearer {secret}"} | options.pop("headers", {})
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        task = asyncio.create_task(client.request(*arguments, headers=headers, **options))
        assert await asyncio.to_thread(gate.reached.wait, SECONDS)
        task.cancel()
        await asyncio.wait([task], timeout=0.2)  # whoever closes what the thread uses does it now
        return task


def victims(folder: Path) -> list[Path]:
    """Make files that have each descriptor below those of a fresh one."""
    paths = [folder / f"victim_{number}" for number in range(8)]
    for path in paths:
        path.write_bytes(b"of another tenant")
    return paths


def upload_of(world: World, secret: str, length: int, **fields: Any) -> str:
    answer = world.client(secret).post("/v1/uploads", json={"length": length, **fields})
    return str(answer.json()["id"])


@pytest.mark.parametrize("held", ["write", "truncate"])
def test_a_cancelled_upload_writes_to_no_other_file(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gate: Gate, held: str
) -> None:
    """``write``: within the bytes; ``truncate``: within the hash check that empties the file."""
    secret = world.key()
    if held == "write":
        monkeypatch.setattr(os, "pwrite", gate.after(gate.before(os.pwrite)))
        upload = upload_of(world, secret, 1000)
    else:
        monkeypatch.setattr(uploads, "_mismatch", gate.before(uploads._mismatch))
        monkeypatch.setattr(uploads, "save", gate.after(uploads.save))
        upload = upload_of(world, secret, 20, sha256="0" * 64)
    headers = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    paths = victims(tmp_path)

    async def scenario() -> None:
        await cancelled(
            gate, secret, "PATCH", f"/v1/uploads/{upload}", content=b"EVIL" * 5, headers=headers
        )
        files = [os.open(path, os.O_RDWR) for path in paths]  # other requests, meanwhile
        gate.open()
        assert await asyncio.to_thread(gate.left.wait, SECONDS)
        for descriptor in files:
            os.close(descriptor)

    asyncio.run(scenario())
    assert {path.read_bytes() for path in paths} == {b"of another tenant"}
    answer = world.client(secret).head(f"/v1/uploads/{upload}")
    assert int(answer.headers["upload-offset"]) <= upload_path(upload).stat().st_size


def test_an_import_that_is_accepted_after_its_cancellation_has_its_archive(
    world: World, monkeypatch: pytest.MonkeyPatch, gate: Gate
) -> None:
    monkeypatch.setattr("api.form_jobs.submit", gate.before(submit))
    monkeypatch.setattr(form_jobs, "_submit", gate.after(form_jobs._submit))
    secret, headers = world.key(), {"Idempotency-Key": "once"}
    form: dict[str, Any] = {"files": {"file": ("a.zip", b"PK" * 1000)}, "data": {"name": "x"}}

    async def scenario() -> None:
        task = await cancelled(gate, secret, "POST", "/v1/datasets", headers=headers, **form)
        gate.open()
        assert await asyncio.to_thread(gate.left.wait, SECONDS)
        refused = await task
        assert (refused.status_code, refused.json()["code"]) == (503, "restarting")
        assert refused.headers["Retry-After"]

    asyncio.run(scenario())
    client = world.client(secret)
    answer = client.post("/v1/datasets", headers=headers, **form)
    assert answer.status_code == 202
    assert [job["id"] for job in client.get("/v1/jobs").json()["items"]] == [answer.json()["id"]]
    assert upload_path(answer.json()["params"]["upload_id"]).read_bytes() == b"PK" * 1000
