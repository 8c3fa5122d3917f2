"""Resumable uploads: the server's offset is the truth."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest

from api.client import SourceRefused, UnexpectedAnswer, UploadFailed
from api.client.sources import ArchiveFile, open_source
from tests.unit.client.scripted import problem, scripted_client

CONTENT = bytes(range(256)) * 10


class UploadServer:
    """Holds the bytes of one upload; ``troubles`` maps the number of a PATCH to what goes wrong."""

    def __init__(self, troubles: dict[int, str] | None = None) -> None:
        self.held = bytearray()
        self.length = 0
        self.announced: dict[str, object] = {}
        self.patches = 0
        self.heads = 0
        self.troubles = troubles or {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            import json

            self.announced = json.loads(request.read())
            self.length = int(str(self.announced["length"]))
            assert "idempotency-key" in request.headers
            return httpx.Response(
                201, headers={"location": "/v1/uploads/upl_1"}, json={"id": "upl_1"}
            )
        if request.method == "HEAD":
            self.heads += 1
            return httpx.Response(200, headers=self.position())
        return self.patch(request)

    def position(self) -> dict[str, str]:
        return {"upload-offset": str(len(self.held)), "upload-length": str(self.length)}

    def patch(self, request: httpx.Request) -> httpx.Response:
        self.patches += 1
        assert request.headers["content-type"] == "application/offset+octet-stream"
        trouble = self.troubles.get(self.patches, "")
        if trouble == "lost request":
            raise httpx.WriteError("broken pipe")
        if trouble == "busy":
            return problem(503, "unavailable", {"retry-after": "3"})
        if trouble == "forgets":
            del self.held[100:]
        if int(request.headers["upload-offset"]) != len(self.held):
            return problem(409, "wrong_offset", self.position())
        body = request.read()
        self.held += body[: len(body) // 2] if trouble == "half" else body
        if trouble in ("half", "lost answer"):
            raise httpx.ReadError("connection reset")
        return httpx.Response(204, headers=self.position())


@pytest.fixture
def archive(tmp_path: Path) -> ArchiveFile:
    path = tmp_path / "images.zip"
    path.write_bytes(CONTENT)
    return ArchiveFile(path)


@pytest.mark.parametrize(
    "troubles",
    [
        {},
        {2: "lost request"},
        {2: "lost answer"},
        {1: "half", 3: "half"},
        {2: "busy", 3: "busy"},
        {3: "forgets"},
        {1: "lost request", 2: "busy", 3: "half", 4: "lost answer", 5: "forgets"},
    ],
)
def test_every_byte_arrives_once_whatever_breaks(
    archive: ArchiveFile, troubles: dict[int, str]
) -> None:
    server = UploadServer(troubles)
    client, _ = scripted_client(server, chunk_bytes=1000)
    assert client.uploads.send(archive).id == "upl_1"
    assert bytes(server.held) == CONTENT
    assert server.announced == {
        "length": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }


def test_retry_after_of_a_chunk_is_honoured(archive: ArchiveFile) -> None:
    client, waits = scripted_client(UploadServer({1: "busy"}), chunk_bytes=1000)
    client.uploads.send(archive)
    assert waits == [3.0]


def test_a_409_takes_the_servers_offset_without_asking_again(archive: ArchiveFile) -> None:
    server = UploadServer({3: "forgets"})
    client, _ = scripted_client(server, chunk_bytes=1000)
    client.uploads.send(archive)
    assert server.heads == 1  # the one at the start


def test_after_a_lost_connection_the_server_is_asked_where_it_is(archive: ArchiveFile) -> None:
    server = UploadServer({2: "half"})
    client, _ = scripted_client(server, chunk_bytes=1000)
    client.uploads.send(archive)
    assert (server.heads, server.patches) == (2, 4)  # no chunk was sent to a wrong offset


def test_an_upload_is_resumed_where_it_stopped(archive: ArchiveFile) -> None:
    server = UploadServer()
    server.length = len(CONTENT)
    server.held += CONTENT[:1500]
    client, _ = scripted_client(server, chunk_bytes=1000)
    client.uploads.send(archive, upload_id="upl_1")
    assert bytes(server.held) == CONTENT
    assert (server.patches, server.announced) == (2, {})


def test_another_source_cannot_continue_an_upload(archive: ArchiveFile) -> None:
    server = UploadServer()
    server.length = 5
    client, _ = scripted_client(server)
    with pytest.raises(UnexpectedAnswer, match="5 bytes"):
        client.uploads.send(archive, upload_id="upl_1")


def test_an_upload_that_never_advances_ends_with_its_id(archive: ArchiveFile) -> None:
    server = UploadServer(dict.fromkeys(range(1, 50), "lost request"))
    client, waits = scripted_client(server, chunk_bytes=1000)
    with pytest.raises(UploadFailed) as caught:
        client.uploads.send(archive)
    assert (caught.value.upload_id, len(waits)) == ("upl_1", 4)


def test_a_server_that_moves_back_and_forth_is_given_up(archive: ArchiveFile) -> None:
    server = UploadServer(dict.fromkeys(range(2, 100), "forgets"))
    client, _ = scripted_client(server, chunk_bytes=1000)
    with pytest.raises(UploadFailed):
        client.uploads.send(archive)


def test_a_refused_chunk_is_not_sent_again(archive: ArchiveFile) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            return problem(422, "checksum_mismatch")
        return UploadServer.__call__(server, request)

    server = UploadServer()
    client, waits = scripted_client(handler)
    with pytest.raises(UploadFailed, match="checksum_mismatch"):
        client.uploads.send(archive)
    assert waits == []


@pytest.mark.parametrize("offset", ["-1", "99999", "", "x"])
def test_an_impossible_offset_is_an_error(archive: ArchiveFile, offset: str) -> None:
    server = UploadServer()

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            return httpx.Response(204, headers={"upload-offset": offset})
        return server(request)

    client, _ = scripted_client(handler)
    with pytest.raises(UnexpectedAnswer):
        client.uploads.send(archive)


def test_the_id_is_read_from_location_when_the_body_is_empty(archive: ArchiveFile) -> None:
    server = UploadServer()

    def handler(request: httpx.Request) -> httpx.Response:
        answer = server(request)
        if request.method == "POST":
            return httpx.Response(201, headers={"location": "https://x/v1/uploads/upl_9"})
        return answer

    client, _ = scripted_client(handler)
    assert client.uploads.send(archive).id == "upl_9"


def test_empty_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.zip").touch()
    for name in ("empty.zip", "nothing.zip"):
        with pytest.raises(SourceRefused):
            open_source(tmp_path / name)


def test_a_file_that_shrank_is_noticed(archive: ArchiveFile) -> None:
    archive.path.write_bytes(CONTENT[:10])
    with pytest.raises(SourceRefused, match="changed"):
        archive.read(0, 1000)
