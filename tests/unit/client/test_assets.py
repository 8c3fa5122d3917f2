"""Assets from the client and the command line, against the service in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import cli
from api.client import Client
from api.commands.exits import Exit
from tests.unit.client.scripted import KEY

ASSET = {"id": "ast_1", "kind": "body", "name": "scan", "licence": "CC0-1.0"}


class Service:
    """Takes uploads and jobs, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.lengths: dict[str, int] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        body = json.loads(request.content) if path.endswith(("uploads", "import_asset")) else None
        self.asked.append((request.method, path, body))
        if path.endswith("/v1/uploads"):
            upload_id = f"upl_{len(self.lengths)}"
            self.lengths[upload_id] = body["length"]
            return httpx.Response(201, json={"id": upload_id})
        if "/v1/uploads/" in path:
            length = str(self.lengths[path.rpartition("/")[2]])
            done = length if request.method == "PATCH" else "0"
            return httpx.Response(
                204 if request.method == "PATCH" else 200,
                headers={"Upload-Offset": done, "Upload-Length": length},
            )
        if path.endswith("/v1/jobs/import_asset"):
            return httpx.Response(
                202, json={"id": "job_1", "kind": "import_asset", "status": "queued"}
            )
        if request.method == "DELETE":
            return httpx.Response(204)
        if path.endswith("/v1/assets"):
            return httpx.Response(200, json={"items": [ASSET], "next_cursor": None})
        return httpx.Response(200, json=ASSET)

    def connect(self, url: str, key: str | None, **options: Any) -> Client:
        return Client(url, key, transport=httpx.MockTransport(self), **options)


def run(service: Service, *arguments: str) -> int:
    return cli.main(
        [*arguments, "--url", "http://127.0.0.1", "--key", KEY], connect=service.connect
    )


def test_a_body_is_sent_with_what_belongs_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("scan.obj", "skin.png", "mask.png"):
        (tmp_path / name).write_bytes(name.encode())
    service = Service()
    code = run(
        service, "asset", "body", str(tmp_path / "scan.obj"), "--texture",
        str(tmp_path / "skin.png"), "--non-skin", str(tmp_path / "mask.png"), "--units", "cm",
        "--group", "body", "--person", "grp_1", "--no-wait",
    )  # fmt: skip
    assert code == Exit.OK
    (submitted,) = [body for method, path, body in service.asked if path.endswith("import_asset")]
    assert submitted == {
        "kind": "body", "name": "scan", "units": "cm", "groups": ["body"], "upload_id": "upl_0",
        "texture_upload_id": "upl_1", "non_skin_upload_id": "upl_2", "group_id": "grp_1",
    }  # fmt: skip
    assert "job_1" in capsys.readouterr().out


def test_assets_are_listed_shown_and_deleted(capsys: pytest.CaptureFixture[str]) -> None:
    service = Service()
    assert run(service, "assets") == Exit.OK
    assert "ast_1" in capsys.readouterr().out
    assert run(service, "assets", "ast_1") == Exit.OK
    assert run(service, "assets", "ast_1", "--delete") == Exit.OK
    assert ("DELETE", "/v1/assets/ast_1", None) in service.asked
