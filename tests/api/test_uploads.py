"""Uploads: resumable, checked, cut back to what was recorded."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from sqlalchemy import func, update

from core.config import get_settings
from core.db.models import Upload
from core.db.session import engine
from core.services.inputs import upload_path
from core.services.submit import submit
from core.services.uploads import remove_expired
from tests.api.world import World

CHUNK = {"Content-Type": "application/offset+octet-stream"}


def begin(api: httpx.Client, length: int, **fields: object) -> str:
    answer = api.post("/v1/uploads", json={"length": length, **fields})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/uploads/{answer.json()['id']}"
    return str(answer.json()["id"])


def send(api: httpx.Client, upload_id: str, offset: int, data: bytes) -> httpx.Response:
    headers = CHUNK | {"Upload-Offset": str(offset)}
    return api.patch(f"/v1/uploads/{upload_id}", content=data, headers=headers)


def offset(api: httpx.Client, upload_id: str) -> int:
    answer = api.head(f"/v1/uploads/{upload_id}")
    assert answer.status_code == 200
    return int(answer.headers["upload-offset"])


def test_an_upload_in_pieces(api: httpx.Client) -> None:
    data = bytes(range(256)) * 40
    upload = begin(api, len(data), sha256=hashlib.sha256(data).hexdigest())
    for start in range(0, len(data), 3000):
        answer = send(api, upload, start, data[start : start + 3000])
        assert answer.status_code == 204, answer.text
        assert offset(api, upload) == int(answer.headers["upload-offset"])
    assert upload_path(upload).read_bytes() == data
    assert api.head(f"/v1/uploads/{upload}").headers["upload-length"] == str(len(data))


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two unfinished uploads of 1,000 bytes in all."""
    monkeypatch.setenv("DERMSYNTH_MAX_OPEN_UPLOADS", "2")
    monkeypatch.setenv("DERMSYNTH_MAX_OPEN_UPLOAD_BYTES", "1000")
    get_settings.cache_clear()
    yield
    monkeypatch.undo()
    get_settings.cache_clear()


def announce(api: httpx.Client, length: int) -> tuple[int, str | None]:
    answer = api.post("/v1/uploads", json={"length": length})
    assert (answer.status_code == 429) == ("retry-after" in answer.headers)
    return answer.status_code, answer.json().get("code")


def test_unfinished_uploads_of_a_tenant_are_bounded_in_number(
    api: httpx.Client, stranger: httpx.Client, little_room: None
) -> None:
    first = begin(api, 5)
    begin(api, 5)
    assert announce(api, 5) == (429, "too_many_uploads")
    begin(stranger, 5)
    assert send(api, first, 0, b"01234").status_code == 204  # finished: there is room again
    begin(api, 5)


def test_unfinished_uploads_of_a_tenant_are_bounded_in_bytes(
    world: World, api: httpx.Client, little_room: None
) -> None:
    assert announce(api, 1001) == (413, "payload_too_large")
    upload = begin(api, 600)
    assert announce(api, 401) == (429, "too_many_upload_bytes")
    begin(api, 400)
    with world.sessions.begin() as session:  # an expired upload takes no room
        session.execute(update(Upload).where(Upload.id == upload).values(expires_at=func.now()))
    begin(api, 600)


def test_two_announcements_at_once_do_not_both_take_the_last_place(
    api: httpx.Client, little_room: None
) -> None:
    begin(api, 5)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: announce(api, 5)[0], range(8)))
    assert sorted(answers) == [201] + [429] * 7


def test_a_wrong_offset_tells_the_right_one(api: httpx.Client) -> None:
    upload = begin(api, 10)
    send(api, upload, 0, b"01234")
    for wrong in (0, 4, 6):
        answer = send(api, upload, wrong, b"x")
        assert (answer.status_code, answer.json()["code"]) == (409, "wrong_offset")
        assert answer.headers["upload-offset"] == "5"
    assert offset(api, upload) == 5


def test_bytes_beyond_the_length_are_refused(api: httpx.Client) -> None:
    upload = begin(api, 10)
    answer = send(api, upload, 0, b"x" * 11)
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_long")

    def chunks() -> object:
        yield b"x" * 6
        yield b"x" * 6

    headers = CHUNK | {"Upload-Offset": "0"}
    answer = api.patch(f"/v1/uploads/{upload}", content=chunks(), headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 413
    assert offset(api, upload) == 0


def test_a_wrong_hash_empties_the_upload(api: httpx.Client) -> None:
    upload = begin(api, 3, sha256="0" * 64)
    answer = send(api, upload, 0, b"abc")
    assert (answer.status_code, answer.json()["code"]) == (422, "checksum_mismatch")
    assert offset(api, upload) == 0
    assert upload_path(upload).stat().st_size == 0


def test_a_finished_upload_takes_no_more(api: httpx.Client) -> None:
    upload = begin(api, 3)
    assert send(api, upload, 0, b"abc").status_code == 204
    answer = send(api, upload, 3, b"")
    assert answer.status_code == 409
    assert answer.headers["upload-offset"] == "3"


def test_what_a_crash_left_behind_is_cut_off(api: httpx.Client) -> None:
    upload = begin(api, 10)
    send(api, upload, 0, b"01234")
    with upload_path(upload).open("ab") as file:
        file.write(b"never recorded")
    assert offset(api, upload) == 5
    assert send(api, upload, 5, b"56789").status_code == 204
    assert upload_path(upload).read_bytes() == b"0123456789"


def test_lost_bytes_are_not_papered_over(api: httpx.Client) -> None:
    upload = begin(api, 10)
    send(api, upload, 0, b"01234")
    upload_path(upload).write_bytes(b"01")
    answer = send(api, upload, 5, b"56789")
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_damaged")


def test_a_second_writer_is_refused(api: httpx.Client) -> None:
    upload = begin(api, 10)
    send(api, upload, 0, b"01234")
    with upload_path(upload).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        answer = send(api, upload, 5, b"56789")
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_busy")
    assert send(api, upload, 5, b"56789").status_code == 204


def test_what_a_lost_client_sent_is_kept(
    world: World, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.uploads.BATCH_BYTES", 100)
    upload = begin(api, 1000)
    place = urlsplit(world.url)
    with socket.create_connection((str(place.hostname), int(place.port or 0))) as lost:
        head = (
            f"PATCH /v1/uploads/{upload} HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: {api.headers['authorization']}\r\nUpload-Offset: 0\r\n"
            f"Content-Type: {CHUNK['Content-Type']}\r\nContent-Length: 1000\r\n\r\n"
        )
        lost.sendall(head.encode() + b"x" * 400)
        path = upload_path(upload)
        until(lambda: path.exists() and path.stat().st_size == 400)
    until(lambda: offset(api, upload) == 400)
    assert send(api, upload, 400, b"y" * 600).status_code == 204
    assert upload_path(upload).read_bytes() == b"x" * 400 + b"y" * 600


def until(condition: object, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("length", [0, -1, 2**63, "x", None, 1.5])
def test_impossible_lengths(api: httpx.Client, length: object) -> None:
    assert api.post("/v1/uploads", json={"length": length}).status_code == 422


def test_a_length_over_the_limit_is_413(api: httpx.Client) -> None:
    assert api.post("/v1/uploads", json={"length": 3_000_001}).status_code == 413


def test_other_media_types_are_415(api: httpx.Client) -> None:
    upload = begin(api, 3)
    answer = api.patch(
        f"/v1/uploads/{upload}",
        content=b"abc",
        headers={"Upload-Offset": "0", "Content-Type": "text/plain"},
    )
    assert answer.status_code == 415


def test_an_expired_upload_is_gone(world: World, api: httpx.Client) -> None:
    upload, kept = begin(api, 3), begin(api, 3)
    send(api, upload, 0, b"ab")
    with world.sessions.begin() as session:
        session.execute(update(Upload).where(Upload.id == upload).values(expires_at=func.now()))
    assert api.head(f"/v1/uploads/{upload}").status_code == 404
    assert send(api, upload, 2, b"c").status_code == 404
    assert remove_expired(world.sessions) == 1
    assert not upload_path(upload).exists()
    assert offset(api, kept) == 0


def test_an_upload_that_a_job_needs_is_kept(world: World, api: httpx.Client) -> None:
    answer = api.post("/v1/datasets", files={"file": ("a.zip", b"zip")}, data={"name": "x"})
    assert answer.status_code == 202, answer.text
    upload = answer.json()["params"]["upload_id"]
    with world.sessions.begin() as session:
        session.execute(update(Upload).values(expires_at=func.now()))
    assert remove_expired(world.sessions) == 0
    api.post(f"/v1/jobs/{answer.json()['id']}/cancel")
    assert remove_expired(world.sessions) == 1
    assert not upload_path(upload).exists()


def test_import_of_an_unfinished_upload_is_409(api: httpx.Client) -> None:
    body = {"upload_id": begin(api, 3), "name": "x"}
    answer = api.post("/v1/jobs/import", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_incomplete")


def test_a_form_becomes_an_import(world: World, api: httpx.Client) -> None:
    answer = api.post(
        "/v1/datasets",
        files={"file": ("lesions.zip", b"PK" * 1000)},
        data={"name": "clinic", "layout": "imagefolder", "licence": "CC0-1.0"},
    )
    job = answer.json()
    assert (answer.status_code, job["kind"]) == (202, "import")
    assert job["params"]["name"] == "clinic"
    assert upload_path(job["params"]["upload_id"]).read_bytes() == b"PK" * 1000


def test_an_import_whose_commit_was_not_acknowledged_has_its_archive(
    world: World, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes away once: after it has committed, before it could say so."""
    headers, lost = {"Idempotency-Key": "once"}, []
    before = set((world.data_dir / "uploads").glob("*"))
    dialect = engine().dialect
    commit = dialect.do_commit

    def submit_then_lose(*arguments: Any) -> Any:
        job = submit(*arguments)
        monkeypatch.setattr(dialect, "do_commit", lose)
        return job

    def lose(connection: Any) -> None:
        monkeypatch.setattr(dialect, "do_commit", commit)
        commit(connection)
        lost.append(connection)
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr("api.form_jobs.submit", submit_then_lose)
    form: dict[str, Any] = {"files": {"file": ("a.zip", b"PK" * 1000)}, "data": {"name": "x"}}
    assert api.post("/v1/datasets", headers=headers, **form).status_code == 503
    assert len(lost) == 1
    again = api.post("/v1/datasets", headers=headers, **form)
    assert again.status_code == 202
    upload = upload_path(again.json()["params"]["upload_id"])
    assert upload.read_bytes() == b"PK" * 1000
    made = set(upload.parent.iterdir()) - before
    assert made == {upload}  # that of the repetition is gone


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the paths that are put on the disk, and COMMIT for each commit, in their order."""
    seen: list[str] = []
    dialect = engine().dialect

    def noted(call: Any, name: Callable[[Any], str]) -> Any:
        def note(target: Any) -> None:
            call(target)
            seen.append(name(target))

        return note

    def path(descriptor: int) -> str:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", noted(os.fsync, path))
    monkeypatch.setattr(os, "fdatasync", noted(os.fdatasync, path))
    monkeypatch.setattr(dialect, "do_commit", noted(dialect.do_commit, lambda _: "COMMIT"))
    return seen


def test_an_upload_is_on_the_disk_before_its_row_says_so(
    api: httpx.Client, flushed: list[str]
) -> None:
    upload = upload_path(begin(api, 3))
    flushed.clear()
    assert send(api, upload.name, 0, b"abc").status_code == 204
    names = [str(path) for path in (upload, upload.parent, upload.parent.parent)]
    assert flushed[-4:] == [*names, "COMMIT"]


def test_an_archive_is_on_the_disk_before_its_row_says_so(
    api: httpx.Client, flushed: list[str]
) -> None:
    form: dict[str, Any] = {"files": {"file": ("a.zip", b"zip")}, "data": {"name": "x"}}
    answer = api.post("/v1/datasets", **form)
    upload = upload_path(answer.json()["params"]["upload_id"])
    names = [str(path) for path in (upload, upload.parent, upload.parent.parent)]
    start = flushed.index(names[0])
    assert flushed[start : start + 4] == [*names, "COMMIT"]


@pytest.mark.parametrize(
    ("files", "data", "status", "pointer"),
    [
        ({}, {"name": "x"}, 422, None),
        ({"file": ("a", b"")}, {"name": "x"}, 422, "/file"),
        ({"file": ("a", b"x")}, {}, 422, "/name"),
        ({"file": ("a", b"x")}, {"name": "x", "layout": "no"}, 422, "/layout"),
        ({"file": ("a", b"x")}, {"name": "x", "upload_id": "y"}, 422, "/upload_id"),
        ({"file": ("a", b"x")}, {"name": "a\0b"}, 422, None),
        ({"file": ("a", b"x"), "other": ("b", b"y")}, {"name": "x"}, 422, "/other"),
        ({"file": ("a", b"x" * 3_000_001)}, {"name": "x"}, 413, None),
        ({"file": ("a", b"x" * 5_000_000)}, {"name": "x"}, 413, None),
    ],
)
def test_bad_forms_leave_nothing(
    world: World,
    api: httpx.Client,
    files: dict[str, tuple[str, bytes]],
    data: dict[str, str],
    status: int,
    pointer: str | None,
) -> None:
    before = set((world.data_dir / "uploads").glob("*"))
    answer = api.post("/v1/datasets", files=files or None, data=data)
    if not files:
        assert answer.status_code == 415
        return
    assert answer.status_code == status, answer.text
    if pointer:
        assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert set((world.data_dir / "uploads").glob("*")) == before


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"--b\r\n", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"],
)
def test_broken_forms_are_422(api: httpx.Client, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert api.post("/v1/datasets", content=body, headers=headers).status_code == 422
