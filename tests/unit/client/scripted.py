"""A server that follows a script, in process or on a socket, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from api.client import Client, RetryPolicy

Handler = Callable[[httpx.Request], httpx.Response]
KEY = "dsk_test"


@dataclass
class Script:
    """Answers in order; an exception is raised, the last answer is not repeated."""

    answers: list[httpx.Response | Exception]
    requests: list[httpx.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.bodies.append(request.read())
        if not self.answers:
            raise AssertionError(f"not in the script: {request.method} {request.url}")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def scripted_client(handler: Handler, **options: Any) -> tuple[Client, list[float]]:
    """Return a client of ``handler`` that does not sleep, and the list of its waits."""
    waits: list[float] = []
    options.setdefault("retry", RetryPolicy(tries=4))
    client = Client(
        "http://service.test",
        KEY,
        transport=httpx.MockTransport(handler),
        sleep=waits.append,
        **options,
    )
    return client, waits


def problem(
    status: int, code: str, headers: dict[str, str] | None = None, **members: Any
) -> httpx.Response:
    """Return an RFC 9457 answer."""
    body = {"status": status, "code": code, "title": "No", "detail": f"It is {code}.", **members}
    return httpx.Response(
        status,
        content=json.dumps(body).encode(),
        headers={"content-type": "application/problem+json", **(headers or {})},
    )


def job(job_id: str = "job_1", status: str = "running", **members: Any) -> dict[str, Any]:
    """Return a job as the server shows it."""
    return {
        "id": job_id,
        "kind": "pipeline",
        "status": status,
        "progress": {"phase": "synthesize", "current": 1, "total": 4, "fraction": 0.25},
        "created_at": "2026-11-01T10:00:00Z",
        "artifacts": [],
        **members,
    }


class Connection(BaseHTTPRequestHandler):
    """Hands raw connections to the function ``serve`` of the test."""

    protocol_version = "HTTP/1.1"
    serve: Callable[[Connection], None]

    def do_GET(self) -> None:
        type(self).serve(self)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer_json(self, body: Any, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def start_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def end_stream(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def break_off(self) -> None:
        """Close the connection in the middle of the body."""
        self.close_connection = True


@contextmanager
def listening(serve: Callable[[Connection], None]) -> Iterator[str]:
    """Serve on a free port of this machine; yields the address."""
    handler = type("Scripted", (Connection,), {"serve": staticmethod(serve)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
