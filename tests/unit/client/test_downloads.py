"""Downloads: whole or not at all, checked, and never outside the folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.client import Artifact, Client, DownloadRefused, Job, ServerUnreachable
from api.client.downloads import MAX_NAME_BYTES, plain_name
from tests.unit.client.scripted import Connection, Script, job, listening, problem, scripted_client

CONTENT = b"<html>report</html>" * 1000
HASH = hashlib.sha256(CONTENT).hexdigest()
HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    "",
    ".",
    "a/../../b",
    "..\\..\\windows.ini",
    "C:\\x",
    ".bashrc",
    "nul\0byte",
    "line\nbreak",
    "\u202egnp.exe",
    "con.txt",
    "x" * 500 + ".html",
    "é" * 300,
    "~",
    "-rf",
]


def artifact(name: str = "report.html", sha256: str | None = HASH) -> Artifact:
    return Artifact(id="art_1", name=name, sha256=sha256, bytes=len(CONTENT))


def whole() -> httpx.Response:
    return httpx.Response(200, content=CONTENT)


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_in_the_folder(tmp_path: Path, name: str) -> None:
    client, _ = scripted_client(Script([whole()]))
    folder = tmp_path / "deep" / "folder"
    path = client.artifacts.download(artifact(name), folder)
    assert path.parent == folder and path.read_bytes() == CONTENT
    assert files_below(tmp_path) == [f"deep/folder/{path.name}"]


@given(st.text())
def test_any_name_becomes_a_bare_one(name: str) -> None:
    plain = plain_name(name, "art_1")
    assert plain and plain == Path(plain).name
    assert not plain.startswith(".") and plain.isprintable()
    assert len(plain.encode()) <= MAX_NAME_BYTES


def test_only_the_last_part_of_a_path_is_the_name() -> None:
    assert plain_name("../a/b.png", "x") == plain_name("C:\\a\\b.png", "x") == "b.png"


def test_ordinary_names_are_kept() -> None:
    for name in (
        "report.html",
        "pca_by_class.png",
        "confusion_combined_r0.5.png",
        "Müller (2).csv",
    ):
        assert plain_name(name, "x") == name


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "a\\b"])
def test_the_callers_name_must_be_bare_too(tmp_path: Path, name: str) -> None:
    client, _ = scripted_client(Script([whole()]))
    with pytest.raises(DownloadRefused):
        client.artifacts.download(artifact(), tmp_path, name=name)


def test_a_wrong_hash_leaves_nothing(tmp_path: Path) -> None:
    client, _ = scripted_client(Script([httpx.Response(200, content=b"other")]))
    with pytest.raises(DownloadRefused, match="hash"):
        client.artifacts.download(artifact(), tmp_path)
    assert files_below(tmp_path) == []


def test_another_file_is_not_overwritten_unless_told(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    client, _ = scripted_client(Script([whole()]))
    with pytest.raises(DownloadRefused, match="exists"):
        client.artifacts.download(artifact(), tmp_path)
    assert (tmp_path / "report.html").read_text() == "mine"
    client.artifacts.download(artifact(), tmp_path, overwrite=True)
    assert (tmp_path / "report.html").read_bytes() == CONTENT


def test_the_same_content_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_bytes(CONTENT)
    client, _ = scripted_client(Script([]))
    client.artifacts.download(artifact(), tmp_path)


def test_a_link_in_the_way_is_replaced_and_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    folder = tmp_path / "to"
    folder.mkdir()
    (folder / "report.html").symlink_to(outside)
    client, _ = scripted_client(Script([whole()]))
    with pytest.raises(DownloadRefused):
        client.artifacts.download(artifact(), folder)
    client.artifacts.download(artifact(), folder, overwrite=True)
    assert outside.read_text() == "mine" and not (folder / "report.html").is_symlink()


@pytest.mark.parametrize("honours_range", [True, False])
def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path, honours_range: bool) -> None:
    asked: list[str | None] = []

    def serve(connection: Connection) -> None:
        asked.append(connection.headers["Range"])
        start = int((asked[-1] or "bytes=0-")[6:-1]) if honours_range else 0
        connection.send_response(206 if start else 200)
        connection.send_header("Content-Length", str(len(CONTENT) - start))
        connection.end_headers()
        last = len(asked) == 3
        connection.wfile.write(CONTENT[start:] if last else CONTENT[start : len(asked) * 5000])
        if not last:
            connection.break_off()

    with listening(serve) as url, Client(url, sleep=lambda _: None) as client:
        path = client.artifacts.download(artifact(), tmp_path)
    assert path.read_bytes() == CONTENT
    assert asked == [None, "bytes=5000-", "bytes=10000-"]


def test_a_connection_that_breaks_after_the_last_byte_is_whole(tmp_path: Path) -> None:
    def serve(connection: Connection) -> None:
        if connection.headers["Range"]:
            connection.answer_json({"code": "http_416"}, 416)
            return
        connection.start_stream()
        connection.chunk(CONTENT)
        connection.break_off()

    with listening(serve) as url, Client(url, sleep=lambda _: None) as client:
        assert client.artifacts.download(artifact(), tmp_path).read_bytes() == CONTENT


def test_a_download_that_never_ends_well_leaves_nothing(tmp_path: Path) -> None:
    client, _ = scripted_client(Script([httpx.ReadError("cut")] * 4))
    with pytest.raises(ServerUnreachable):
        client.artifacts.download(artifact(), tmp_path)
    assert files_below(tmp_path) == []


def test_an_overloaded_server_is_waited_for(tmp_path: Path) -> None:
    script = Script([problem(503, "unavailable", {"retry-after": "4"}), whole()])
    client, waits = scripted_client(script)
    client.artifacts.download(artifact(), tmp_path)
    assert waits == [4.0]


def test_all_artifacts_of_a_job_come_and_are_readable(tmp_path: Path) -> None:
    described = [artifact(name).model_dump() for name in ("report.html", "summary.json")]
    client, _ = scripted_client(Script([whole(), whole()]))
    paths = client.artifacts.download_all(Job.model_validate(job(artifacts=described)), tmp_path)
    assert [path.name for path in paths] == ["report.html", "summary.json"]
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in paths)
