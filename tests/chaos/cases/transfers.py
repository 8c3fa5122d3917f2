"""Uploads and imports whose bytes are on their way while the API is restarted."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx

from core.ids import new_id
from tests.chaos.stack import Lab, Stack

PIECES = 40
PAUSE = 0.2
"""A body takes eight seconds: longer than an API that was told to stop waits for it."""
PIECE_BYTES = 50_000


def transfers_restarted(lab: Lab) -> None:
    """Restart the API while slow bodies arrive: what is accepted has the bytes that were sent."""
    rounds, senders = lab.size.count(10, 2), 4
    with lab.stack() as stack:
        api = stack.start_api()
        stack.wait_for_api()
        stop = threading.Event()
        with ThreadPoolExecutor(senders) as pool:
            sending = [pool.submit(_send_on, stack, number, stop) for number in range(senders)]
            for _ in range(rounds):
                time.sleep(lab.rng.uniform(1.0, 4.0))
                api.terminate()
                api.wait(60)
                lab.tally.faults["restart API"] += 1
                api = stack.start_api()
                stack.wait_for_api()
            stop.set()
            sent = {name: digest for future in sending for name, digest in future.result().items()}
        held = {name: _digest(stack, name) for name in sent}
        damaged = [name for name in sent if held[name] != sent[name]]
        lab.tally.notes["transfers"] = len(sent)
        lab.tally.expect(not damaged, f"{len(damaged)} transfers were accepted and are damaged")
        jobs = [job for job in stack.jobs(stack.accepted) if job.kind == "import"]
        lab.tally.expect(len(jobs) == len(set(stack.accepted)), "an accepted import is gone")
        with stack.caller() as caller:
            for job_id in set(stack.accepted):  # no worker reads what is no archive
                caller.cancel(job_id)


def _digest(stack: Stack, upload_id: str) -> str:
    path = stack.volume / "uploads" / upload_id
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "no file"


def _send_on(stack: Stack, number: int, stop: threading.Event) -> dict[str, str]:
    """Send one body after the other; returns the hash of each by the id of its upload."""
    sent: dict[str, str] = {}
    headers = {"Authorization": f"Bearer {stack.key}"}
    transfer = _in_pieces if number % 2 else _as_form
    with httpx.Client(base_url=stack.url, headers=headers, timeout=60) as client:
        while not stop.is_set():
            data = b"%32d" % time.monotonic_ns() * (PIECES * PIECE_BYTES // 32)
            sent[transfer(stack, client, data)] = hashlib.sha256(data).hexdigest()
    return sent


def _slowly(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]
        time.sleep(PAUSE)


def _again(stack: Stack) -> Iterator[None]:
    until = time.monotonic() + stack.size.patience
    while time.monotonic() < until:
        yield
        time.sleep(0.1)
    raise AssertionError("A transfer was not accepted in time")


def _in_pieces(stack: Stack, client: httpx.Client, data: bytes) -> str:
    """Upload with PATCH, resumed where the server says, until it is complete."""
    wish = {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    key = {"Idempotency-Key": new_id("req")}
    upload, kind = "", {"Content-Type": "application/offset+octet-stream"}
    for _ in _again(stack):
        try:
            upload = upload or client.post("/v1/uploads", json=wish, headers=key).json()["id"]
            path = f"/v1/uploads/{upload}"
            offset = client.head(path).headers["Upload-Offset"]
            if int(offset) == len(data):
                return upload
            headers = kind | {"Upload-Offset": offset}
            client.patch(path, content=_slowly(data[int(offset) :]), headers=headers)
        except (httpx.TransportError, KeyError, ValueError):
            continue  # dropped, or told to come again
    raise AssertionError("not reached")


def _as_form(stack: Stack, client: httpx.Client, data: bytes) -> str:
    """Import with one form, repeated with its key until it is accepted."""
    begin = (
        b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\n'
    )
    headers = {
        "Content-Type": "multipart/form-data; boundary=b",
        "Idempotency-Key": new_id("req"),
    }
    for _ in _again(stack):
        body = (part for parts in ([begin], _slowly(data), [b"\r\n--b--\r\n"]) for part in parts)
        try:
            answer = client.post("/v1/datasets", content=body, headers=headers)
        except httpx.TransportError:
            continue
        if answer.status_code == 202:
            stack.accepted.append(answer.json()["id"])
            return str(answer.json()["params"]["upload_id"])
    raise AssertionError("not reached")
