"""One request id and one trace from the request to the worker's log; off, nothing is imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from core.config import Settings
from core.embedded.ports import free_port
from core.errors import Unavailable
from core.services import keys
from core.services.principal import SCOPES
from tests.integration.harness import Harness, eventually

TRACE = "0af7651916cd43dd8448eb211c80319c"
REQUEST = "ward-3.case-17"


class Collector:
    """A small OTLP receiver."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    for scope in resource.scope_spans:
                        spans.extend(scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def named(self, name: str) -> Any:
        return next((span for span in list(self.spans) if span.name == name), None)


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


@contextmanager
def served(stack: Harness, log: Path, **settings: str) -> Iterator[str]:
    """A real API process; its address."""
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.main", "--port", str(port)],
            env=stack.environment() | settings,
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(f"{url}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        eventually(answers)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def records(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; each must be a JSON object."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_request_is_followed_into_the_worker(
    stack: Harness, collector: Collector, tmp_path: Path
) -> None:
    log = tmp_path / "api.log"
    wanted = {"DERMSYNTH_OTLP_ENDPOINT": collector.address, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with stack.sessions.begin() as session:
        tenant = keys.ensure_tenant(session)
        secret = keys.create_key(session, tenant.id, "test", SCOPES)[1]
    stack.start_worker(**wanted)
    headers = {
        "Authorization": f"Bearer {secret}",
        "X-Request-ID": REQUEST,
        "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
    }
    with served(stack, log, **wanted) as url:
        answer = httpx.post(f"{url}/v1/jobs/noop", json={}, headers=headers)
        assert answer.status_code == 202
        assert answer.headers["X-Request-ID"] == REQUEST
        httpx.get(f"{url}/login?token=very-secret-token")
        job_id = answer.json()["id"]
        assert stack.wait(job_id).status == "succeeded"
        for name in ("POST /v1/jobs/noop", "job.submit", "job.claim", "job.run"):
            span = eventually(lambda name=name: collector.named(name))  # type: ignore[misc]
            assert span.trace_id.hex() == TRACE
    assert_logged(stack, log, job_id, secret)


def assert_logged(stack: Harness, log: Path, job_id: str, secret: str) -> None:
    submitted = stack.events(job_id)[0]
    assert submitted.data["request_id"] == REQUEST
    # Celery greets in plain text before there is a log
    lines = (stack.folder / "worker.log").read_text().splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    assert any(r["logger"].startswith("celery") for r in told)
    of_worker = [r for r in told if r.get("job_id") == job_id]
    assert of_worker
    assert all((r["request_id"], r["attempt"]) == (REQUEST, 1) for r in of_worker)
    of_api = records(log)
    access = [r for r in of_api if r["logger"] == "api.access" and r["request_id"] == REQUEST]
    assert [(r["method"], r["route"], r["status"]) for r in access] == [
        ("POST", "/v1/jobs/noop", 202)
    ]
    assert any(r["logger"].startswith("uvicorn") for r in of_api)
    assert "very-secret-token" not in log.read_text()
    assert secret not in log.read_text()


def test_children_keep_the_origin_of_their_parent(stack: Harness) -> None:
    from core.db.models import Job
    from core.jobs.context import Children, ChildSpec
    from core.jobs.spec import JOB_KINDS
    from core.services.submit import submit, submit_children
    from core.services.transaction import transaction

    asking = replace(stack.principal, request_id=REQUEST)
    with transaction(stack.sessions) as session:
        parent_id = submit(session, asking, JOB_KINDS.get("sleep"), {}).id

    with stack.sessions.begin() as session:
        parent = session.get_one(Job, parent_id)
        assert parent.origin == {"request_id": REQUEST, "actor": stack.principal.key_id}
        wanted = Children(children=(ChildSpec(kind="noop", params={}, role="x"),), phase="x")
        (child,) = submit_children(session, parent, wanted)
        assert child.origin == parent.origin


def test_without_an_address_nothing_of_it_is_imported() -> None:
    code = """
import sys
import api.main, worker.slot
from core import tracing
from core.config import get_settings
tracing.start("x", get_settings())
with tracing.span("x", about={}) as span:
    span.note(a=1); span.fail("x"); span.rename("y")
    tracing.current_span().note(b=2)
assert tracing.traceparent() is None
print(sorted(name for name in sys.modules if name.startswith("opentelemetry.sdk")))
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "DERMSYNTH_OTLP_ENDPOINT": ""},
    )  # fmt: skip
    assert ended.stdout.strip() == "[]"


def test_without_the_packages_a_typed_error_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from core import tracing

    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(Unavailable, match=r"pip install 'dermsynth3d\[otel\]'") as refused:
        tracing.start("x", Settings(otlp_endpoint="http://127.0.0.1:1"))
    assert refused.value.code == "tracing_packages_missing"
