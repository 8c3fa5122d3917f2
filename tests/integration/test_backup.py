"""A restored stack answers as the one that was backed up, with a job running at the time."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.embedded import control
from core.embedded.control import Up
from tests.api.world import png
from tests.integration.harness import eventually

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of its own, and no server but the stack's."""
    for name in ("DATABASE_URL", "REDIS_URL", "DERMSYNTH_DATA_DIR", "DERMSYNTH_WEIGHTS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DERMSYNTH_DIAGNOSTICS", "1")
    yield tmp_path / "home"
    control.stop(tmp_path / "home")
    control.discard(tmp_path / "home")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "core.backup", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def backup(home: Path, folder: Path) -> Path:
    ended = run("create", "--home", home, "--to", folder)
    assert ended.returncode == 0, ended.stderr
    return Path(ended.stdout.strip())


def client(up: Up, secret: str | None = None) -> httpx.Client:
    headers = {"Authorization": f"Bearer {secret or up.api_key}"}
    return httpx.Client(base_url=up.url, headers=headers, timeout=90)


def photographs(folder: Path) -> Path:
    archive = folder / "lesions.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(12):
            label = ("nevus", "melanoma")[number % 2]
            file.writestr(f"{label}/{number}.png", png(number * 20))
    return archive


def succeeded(api: httpx.Client, job_id: str) -> dict[str, Any]:
    """Wait for a job, however busy this machine is."""
    job: dict[str, Any] = eventually(
        lambda: (job := api.get(f"/v1/jobs/{job_id}").json())["finished_at"] and job
    )
    assert job["status"] == "succeeded", job
    return job


def fill(api: httpx.Client, folder: Path) -> None:
    """Import images, train on them, and leave one upload half done."""
    with photographs(folder).open("rb") as file:
        job = api.post("/v1/datasets", files={"file": file}, data={"name": "clinic"}).json()
    version = succeeded(api, job["id"])["result"]["dataset_version_id"]
    wish = {"dataset_version_ids": [version], "classifier": "logistic_regression"}
    succeeded(api, api.post("/v1/jobs/train", json=wish).json()["id"])
    upload = api.post("/v1/uploads", json={"length": 6, "filename": "x.zip"}).json()
    headers = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert api.patch(f"/v1/uploads/{upload['id']}", content=b"abc", headers=headers).is_success


def everything(api: httpx.Client) -> dict[str, Any]:
    """Return every list, artifact, image and model file that the service answers with."""

    def items(path: str) -> list[dict[str, Any]]:
        answer = api.get(path)
        assert answer.status_code == 200, (path, answer.text)
        return list(answer.json()["items"])

    seen: dict[str, Any] = {"keys": [(key["id"], key["name"]) for key in items("/v1/keys")]}
    for job in items("/v1/jobs?limit=200"):
        if job["kind"] == "sleep":
            continue
        seen[job["id"]] = job
        seen[f"{job['id']} log"] = api.get(f"/v1/jobs/{job['id']}/logs").text
        for artifact in job["artifacts"]:
            seen[artifact["id"]] = api.get(f"/v1/artifacts/{artifact['id']}/content").content
    for dataset in items("/v1/datasets"):
        for version in items(f"/v1/datasets/{dataset['id']}/versions"):
            for image in items(f"/v1/dataset-versions/{version['id']}/images?limit=200"):
                content = api.get(f"/v1/images/{image['id']}/content")
                assert content.status_code == 200
                seen[f"{version['id']} {image['id']}"] = (image, content.content)
    for model in items("/v1/models"):
        seen[model["id"]] = model
    return seen


def predicted(api: httpx.Client) -> Any:
    """Return what the model says of a picture: its files are read for that."""
    model = api.get("/v1/models").json()["items"][0]["id"]

    def asked() -> Any:
        answer = api.post(f"/v1/models/{model}/predict", files={"images": ("x.png", png(7))})
        assert answer.status_code in (200, 202), answer.text
        # 202: the first one loads the network, which a busy host does slowly
        return answer.json()["predictions"] if answer.status_code == 200 else None

    return eventually(asked)


def test_a_restored_stack_answers_for_everything(home: Path, tmp_path: Path) -> None:
    stack, folder = control.up(home), tmp_path / "backups"
    secret = stack.api_key
    with client(stack) as api:
        fill(api, tmp_path)
        first = backup(home, folder)
        sleeping = api.post("/v1/jobs/sleep", json={"seconds": 3600}).json()["id"]
        eventually(lambda: api.get(f"/v1/jobs/{sleeping}").json()["status"] == "running")
        made = backup(home, folder)  # while that job runs
        known, said = everything(api), predicted(api)
    assert sum(isinstance(value, bytes) for value in known.values()) >= 3
    assert_private_and_incremental(first, made)
    control.discard(home)
    assert not (home / "data" / "blobs").exists()

    ended = run("restore", "--home", home, "--from", folder)
    assert ended.returncode == 0, ended.stderr
    stack = control.up(home)
    with client(stack, secret) as api:
        now = everything(api)
        assert set(known.pop("keys")) <= set(now.pop("keys"))  # the stack made itself a new one
        assert now == known
        assert predicted(api) == said
        assert_the_interrupted_job_runs_again(api, sleeping)
    again = run("restore", "--home", home, "--from", folder)
    assert again.returncode == 1
    assert again.stderr.startswith("backup_stack_runs")
    control.stop(home)
    again = run("restore", "--home", home, "--from", folder)
    assert again.returncode == 1
    assert "backup_target_not_empty" in again.stderr
    assert run("restore", "--home", home, "--from", made, "--replace").returncode == 0
    backup(home, folder)  # of a service that was restored, and does not run


def assert_private_and_incremental(first: Path, second: Path) -> None:
    assert (second / "secrets" / "pepper").stat().st_mode & 0o777 == 0o600
    assert second.stat().st_mode & 0o777 == 0o700
    blobs = [path.relative_to(first) for path in (first / "blobs").rglob("*") if path.is_file()]
    assert blobs
    assert all((first / b).stat().st_ino == (second / b).stat().st_ino for b in blobs)
    check = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"],
        cwd=second,
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stdout


def assert_the_interrupted_job_runs_again(api: httpx.Client, job_id: str) -> None:
    """It was running when the backup was made; that costs no attempt."""
    job = eventually(
        lambda: (job := api.get(f"/v1/jobs/{job_id}").json())["status"] == "running" and job
    )
    assert job["attempt"] == 1
    events = api.get(f"/v1/jobs/{job_id}/events").json()["items"]
    assert [e["data"]["reason"] for e in events if e["type"] == "requeued"] == ["restored"]
    api.post(f"/v1/jobs/{job_id}/cancel")
    eventually(lambda: api.get(f"/v1/jobs/{job_id}").json()["status"] == "canceled")
