"""Guarantee 12: shards that are killed and repeated give what one process gives."""

from __future__ import annotations

import io
import signal
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from core.db.models import DatasetVersion, Job
from core.jobs.context import Inputs
from core.jobs.kinds import synthesize
from core.jobs.runtime import JobRuntime, JobTask, run_kind
from core.synthesis.procedural import write_dataset
from tests.chaos.caller import Caller
from tests.chaos.stack import Lab, Loss, Stack
from tests.chaos.workers import send, slot_of


def shards_killed(lab: Lab) -> None:
    """Kill job processes while shards run; compare with one process that makes everything."""
    images = 160 if lab.size.name == "small" else 1200
    with lab.stack() as stack, stack.caller() as caller:
        stack.start_api()
        worker = stack.start_worker(slots=2)
        real = imported(stack, caller)
        params: dict[str, Any] = {
            "dataset_version_id": real, "counts": {"mel": images}, "sources": "all",
            "seed": lab.rng.randint(0, 2**31),
        }  # fmt: skip
        job_id = caller.submit("synthesize", params)
        kills = [lab.rng.random() for _ in range(lab.size.count(8, 2))]
        _kill_shards(lab, stack, worker, job_id, kills)
        job = stack.wait_for(job_id, "succeeded", "failed")
        lab.tally.expect(job.status == "succeeded", f"the sharded job {job.error}")
        children = stack.read(lambda s: s.query(Job).filter(Job.parent_id == job_id).count())
        lab.tally.expect(children > 1, f"the job has {children} shards")
        sharded = (job.result or {}).get("manifest_sha256")
        alone = _in_one_process(stack, job)
        lab.tally.expect(sharded == alone, f"shards gave {sharded}, one process {alone}")
        version = stack.read(lambda s: s.query(DatasetVersion).filter_by(job_id=job_id).count())
        lab.tally.expect(version == 1, f"{version} versions were published")


def imported(stack: Stack, caller: Caller) -> str:
    """Import 60 drawn images; returns their version."""
    folder = stack.folder / "lesions"
    write_dataset(folder, seed=3, images=60, size=64)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    data = buffer.getvalue()
    made = caller.request("POST", "/v1/uploads", json={"length": len(data), "filename": "x.zip"})
    caller.request(
        "PATCH",
        made.headers["Location"],
        content=data,
        headers={"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"},
    )
    job_id = caller.submit("import", {"upload_id": made.json()["id"], "name": "lesions"})
    job = stack.wait_for(job_id, "succeeded", "failed")
    assert job.result is not None, job.error
    return str(job.result["dataset_version_id"])


def _kill_shards(lab: Lab, stack: Stack, worker: Any, job_id: str, kills: list[float]) -> None:
    """Kill a shard's process at each of ``kills``, if one runs then."""
    hit: dict[str, int] = {}
    until = time.monotonic() + stack.size.patience
    while kills and stack.job(job_id).finished_at is None and time.monotonic() < until:
        running = [j for j in stack.running(worker.slot_names()) if j.parent_id == job_id]
        pids = worker.tree()["job"]
        if not pids or not running or hit.get(running[0].id, 0) >= 2:
            time.sleep(0.01)
            continue
        pause = kills.pop()
        time.sleep(pause * 0.3)
        pid = pids[0]
        if not Path(f"/proc/{pid}").exists():
            kills.append(pause)
            continue
        names = {f"{running[0].worker_id.partition(':')[0]}:{slot_of(pid)}"}  # type: ignore[union-attr]
        lost, at = stack.running(sorted(names)), stack.now()
        if not lost or lost[0].parent_id != job_id or not send(pid, signal.SIGKILL):
            kills.append(pause)
            continue
        hit[lost[0].id] = hit.get(lost[0].id, 0) + 1
        stack.losses += [Loss(job.id, at) for job in lost]
        lab.tally.faults["kill shard"] += 1


def _in_one_process(stack: Stack, job: Job) -> str:
    """Make the same in this process, with one shard for all; the reaper leaves its folder alone."""
    task = JobTask(
        job_id="reference", kind="synthesize", attempt=1, params=job.params,
        inputs=Inputs.model_validate(job.inputs), data_dir=stack.volume,
        weights_dir=stack.volume / "weights",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthesize, "INLINE_IMAGES", 1_000_000)
        runtime = JobRuntime(task, lambda message: None)
        return run_kind(runtime, task).versions[0].manifest_sha256
