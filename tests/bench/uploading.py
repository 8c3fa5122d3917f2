"""1 GiB through PATCH, beside a bare Starlette app that writes the stream to disk.

``python -m tests.bench.uploading PORT FILE`` is that app. The sender is sendfile on a raw socket:
it costs next to nothing on either side.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.embedded.ports import free_port
from tests.bench.measure import Row, bound_row, ratio_row
from tests.bench.process import MemoryPeak
from tests.bench.stack import Stack
from tests.integration.harness import eventually

BYTES = 1024**3
MIB = 1024**2
ROUNDS = 3


def upload(stack: Stack) -> Row:
    """MiB/s of PATCH with a hash to check; the best of three on both sides, in turn."""
    with _file(stack.folder) as path, _bare(stack.folder) as port:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        ours, bare, form = [], [], []
        for _ in range(ROUNDS):
            ours.append(_patch(stack, path, digest))
            bare.append(_send(port, "POST / HTTP/1.1", {}, path))
            form.append(_form(stack, path))
    speed = BYTES / MIB
    against = f"multipart {speed / min(form):.0f} MiB/s; bare Starlette:"
    return ratio_row("upload", speed / min(ours), speed / min(bare), "MiB/s", against, 0.6)


def upload_memory(stack: Stack) -> Row:
    """The most memory of the API while 1 GiB arrives, all of the process counted."""
    with _file(stack.folder) as path, MemoryPeak(stack.api.pid) as peak:
        _patch(stack, path, None)
    grown = (peak.bytes - peak.start) / MIB
    note = f"grew by {grown:.0f} MiB"
    return bound_row("upload_memory", peak.bytes / MIB, "MiB", 150, note=note)


@contextmanager
def _file(folder: Path) -> Iterator[Path]:
    path = folder / "upload.bin"
    block = os.urandom(MIB)
    with path.open("wb") as file:
        for _ in range(BYTES // MIB):
            file.write(block)
    yield path
    path.unlink()


def _patch(stack: Stack, path: Path, digest: str | None) -> float:
    body = {"length": BYTES, **({"sha256": digest} if digest else {})}
    made = stack.client.post("/v1/uploads", json=body)
    made.raise_for_status()
    headers = {
        "Authorization": f"Bearer {stack.key}",
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": "0",
    }
    seconds = _send(stack.port, f"PATCH {made.headers['Location']} HTTP/1.1", headers, path)
    arrived = stack.folder / "uploads" / made.json()["id"]
    if arrived.stat().st_size != BYTES:
        raise SystemExit(f"upload: {arrived.stat().st_size} bytes arrived")
    arrived.unlink()
    return seconds


def _form(stack: Stack, path: Path) -> float:
    """Send the file as a form; its job, which finds no archive in it, is not waited for."""
    start = (
        b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nbench\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.zip"\r\n\r\n'
    )
    headers = {
        "Authorization": f"Bearer {stack.key}",
        "Content-Type": "multipart/form-data; boundary=b",
    }
    seconds = _send(
        stack.port, "POST /v1/datasets HTTP/1.1", headers, path, start, b"\r\n--b--\r\n"
    )
    for file in (stack.folder / "uploads").iterdir():
        file.unlink()
    return seconds


def _send(
    port: int, line: str, headers: dict[str, str], path: Path, start: bytes = b"", end: bytes = b""
) -> float:
    length = len(start) + path.stat().st_size + len(end)
    lines = [line, "Host: localhost", "Connection: close", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection, path.open("rb") as file:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + start)
        connection.sendfile(file)
        connection.sendall(end)
        answer = connection.recv(65536)
    if answer.split()[1][:1] != b"2":
        raise SystemExit(answer.decode("latin-1"))
    return time.perf_counter() - begun


@contextmanager
def _bare(folder: Path) -> Iterator[int]:
    port = free_port()
    peer = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.uploading", str(port), str(folder / "bare.bin")]
    )

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        eventually(answers)
        yield port
    finally:
        peer.terminate()
        peer.wait(20)
        (folder / "bare.bin").unlink(missing_ok=True)


def main() -> None:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    target = Path(sys.argv[2])

    async def take(request: Request) -> Response:
        with target.open("wb") as file:
            async for data in request.stream():
                file.write(data)
        return Response(status_code=204)

    app = Starlette(routes=[Route("/", take, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")


if __name__ == "__main__":
    main()
