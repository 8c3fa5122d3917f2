"""Jobs over HTTP: creating, reading, waiting, calling off."""

from __future__ import annotations

import threading

import httpx
import pytest
from sqlalchemy import text

from core.errors import OutOfMemory
from core.jobs.context import Children, ChildSpec
from core.jobs.runtime import Outcome
from core.services.commit import commit_outcome
from tests.api.world import World


def submit(api: httpx.Client, **params: object) -> dict[str, object]:
    answer = api.post("/v1/jobs/sleep", json=params or {"seconds": 1})
    assert answer.status_code == 202, answer.text
    job: dict[str, object] = answer.json()
    return job


def test_a_job_is_accepted_with_its_place(api: httpx.Client) -> None:
    answer = api.post("/v1/jobs/noop", json={}, params={"label": ["a", "b"]})
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert int(answer.headers["retry-after"]) >= 1
    assert job["labels"] == ["a", "b"]
    assert job["status"] == "queued"
    assert job["progress"]["phase"] == "waiting_for_worker:cpu" or job["queue"] != "cpu"
    assert api.get(answer.headers["location"]).json() == job


def test_all_fields_of_the_contract_are_there(api: httpx.Client) -> None:
    job = submit(api)
    assert set(job) == {
        "id", "kind", "status", "params", "result", "error", "attempt", "max_attempts",
        "parent_id", "labels", "progress", "created_at", "started_at", "finished_at",
        "cancel_requested_at", "queue", "queue_position", "artifacts", "links",
    }  # fmt: skip
    assert set(job["progress"]) == {"phase", "current", "total", "fraction", "eta_seconds"}  # type: ignore[call-overload]


def test_validate_only_creates_nothing(api: httpx.Client) -> None:
    answer = api.post("/v1/jobs/sleep?validate_only=true", json={"seconds": 1})
    assert answer.status_code == 200
    assert answer.json()["valid"] is True
    assert api.get("/v1/jobs").json()["items"] == []


def test_an_unknown_kind_is_404(api: httpx.Client) -> None:
    answer = api.post("/v1/jobs/nothing", json={})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_job_kind")


def test_invalid_parameters_point_at_the_field(api: httpx.Client) -> None:
    answer = api.post("/v1/jobs/sleep", json={"seconds": -1, "nonsense": 1})
    assert answer.status_code == 422
    assert {e["pointer"] for e in answer.json()["errors"]} == {"/seconds", "/nonsense"}


def test_a_live_worker_changes_the_phase(world: World, api: httpx.Client) -> None:
    job = submit(api)
    assert job["progress"]["phase"] == "waiting_for_worker:cpu"  # type: ignore[index]
    world.worker("cpu")
    assert api.get(f"/v1/jobs/{job['id']}").json()["progress"]["phase"] == "queued"


def test_queue_position_counts_those_before(api: httpx.Client) -> None:
    first, second = submit(api), submit(api)
    assert first["queue_position"] == 0
    assert second["queue_position"] == 1


def test_a_long_queue_is_counted_to_a_thousand(world: World, api: httpx.Client) -> None:
    with world.sessions.begin() as session:
        session.execute(_MANY, {"tenant": world.principal().tenant_id})
    last = submit(api)
    listed = api.get("/v1/jobs?limit=200").json()["items"]
    assert last["queue"] == listed[-1]["queue"]
    assert [job["queue_position"] for job in listed] == [1000] * 200
    assert api.get(f"/v1/jobs/{last['id']}").json()["queue_position"] == 1000
    near = f"job_{998:026d}"  # 997 before it
    assert api.get(f"/v1/jobs/{near}").json()["queue_position"] == 997


_MANY = text(
    "INSERT INTO jobs (id, tenant_id, kind, queue, params, inputs, max_attempts, timeout_seconds)"
    " SELECT 'job_' || lpad(n::text, 26, '0'), :tenant, 'sleep', 'cpu', '{}', '{}', 3, 60"
    " FROM generate_series(1, 1500) AS n"
)


def test_a_job_reads_the_same_alone_and_in_the_list(world: World, api: httpx.Client) -> None:
    world.worker("cpu")
    jobs = [submit(api) for _ in range(5)]
    light = api.post("/v1/jobs/noop", json={}).json()  # a queue of its own
    world.start(jobs[1]["id"])
    world.finish(jobs[2]["id"])
    listed = {job["id"]: job for job in api.get("/v1/jobs?limit=200").json()["items"]}
    shown = [job["id"] for job in (*jobs, light)]
    assert [api.get(f"/v1/jobs/{one}").json() for one in shown] == [listed[one] for one in shown]
    waiting = [one for one in shown if listed[one]["status"] == "queued"]
    by_queue: dict[str, list[int]] = {}
    for one in waiting:
        by_queue.setdefault(listed[one]["queue"], []).append(listed[one]["queue_position"])
    assert all(found == list(range(found[0], found[0] + len(found))) for found in by_queue.values())


def test_prefer_wait_answers_with_the_end(world: World, api: httpx.Client) -> None:
    world.worker("cpu")
    answers: list[httpx.Response] = []
    thread = threading.Thread(
        target=lambda: answers.append(
            api.post("/v1/jobs/sleep", json={"seconds": 1}, headers={"Prefer": "wait=20"})
        )
    )
    thread.start()
    while not (items := world.client(world.key()).get("/v1/jobs").json()["items"]):
        pass
    world.finish(items[0]["id"], {"slept": 1.0})
    thread.join(20)
    assert answers[0].status_code == 200
    assert answers[0].json()["status"] == "succeeded"
    assert answers[0].headers["preference-applied"] == "wait=20"


def test_prefer_wait_gives_up_with_202(api: httpx.Client) -> None:
    answer = api.post("/v1/jobs/sleep", json={}, headers={"Prefer": "respond-async, wait=1"})
    assert answer.status_code == 202
    assert answer.json()["status"] == "queued"


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        ("queued", 200, None),
        ("running", 202, None),
        ("canceled", 200, None),
        ("succeeded", 409, "job_already_ended"),
        ("failed", 409, "job_already_ended"),
    ],
)
def test_cancel(world: World, api: httpx.Client, state: str, status: int, code: str | None) -> None:
    job_id = str(submit(api)["id"])
    bring_to(world, api, job_id, state)
    answer = api.post(f"/v1/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json().get("code")) == (status, code)


@pytest.mark.parametrize(
    ("state", "status"),
    [("queued", 409), ("running", 409), ("canceled", 202), ("succeeded", 409), ("failed", 202)],
)
def test_retry(world: World, api: httpx.Client, state: str, status: int) -> None:
    job_id = str(submit(api, seconds=2.5)["id"])
    bring_to(world, api, job_id, state)
    answer = api.post(f"/v1/jobs/{job_id}/retry")
    assert answer.status_code == status
    if status == 202:
        assert answer.json()["id"] != job_id
        assert answer.json()["params"]["seconds"] == 2.5


def bring_to(world: World, api: httpx.Client, job_id: str, state: str) -> None:
    match state:
        case "running":
            world.start(job_id)
        case "canceled":
            api.post(f"/v1/jobs/{job_id}/cancel")
        case "succeeded":
            world.finish(job_id)
        case "failed":
            world.fail(job_id, OutOfMemory("It took too much"))


def test_a_failed_job_shows_its_problem(world: World, api: httpx.Client) -> None:
    job_id = str(submit(api)["id"])
    world.fail(job_id, OutOfMemory("It took too much"))
    job = api.get(f"/v1/jobs/{job_id}").json()
    assert job["status"] == "failed"
    assert job["error"]["code"] == "out_of_memory"


def test_progress_of_a_parent_is_that_of_its_children(world: World, api: httpx.Client) -> None:
    parent = str(submit(api)["id"])
    lease = world.start(parent)
    specs = tuple(ChildSpec(kind="noop", params={}, weight=w) for w in (1.0, 3.0))
    children = Children(phase="shards", children=specs, span=(0.2, 0.6))
    with world.sessions.begin() as session:
        assert commit_outcome(session, lease, Outcome(children=children), world.store)
    listed = api.get("/v1/jobs", params={"parent_id": parent}).json()["items"]
    assert {child["parent_id"] for child in listed} == {parent}
    light = next(c for c in listed if c["queue_position"] == 0)
    world.finish(light["id"])
    job = api.get(f"/v1/jobs/{parent}").json()
    assert job["progress"]["phase"] == "shards"
    assert job["progress"]["fraction"] == pytest.approx(0.2 + 0.4 * 0.25)
    assert job["status"] == "running"
    assert [j["id"] for j in api.get("/v1/jobs?parent_id=none").json()["items"]] == [parent]
    assert api.post(f"/v1/jobs/{light['id']}/retry").json()["code"] == "job_has_a_parent"


def test_eta_follows_from_time_and_fraction(world: World, api: httpx.Client) -> None:
    job_id = str(submit(api)["id"])
    world.start(job_id)
    assert api.get(f"/v1/jobs/{job_id}").json()["progress"]["eta_seconds"] is None
    world.progress(job_id, 1, 4)
    progress = api.get(f"/v1/jobs/{job_id}").json()["progress"]
    assert progress["fraction"] == 0.25
    assert progress["eta_seconds"] >= 0


def test_filters(world: World, api: httpx.Client) -> None:
    first = submit(api)
    second = api.post("/v1/jobs/noop?label=red", json={}).json()
    world.start(str(first["id"]))

    def ids(**params: object) -> list[str]:
        answer = api.get("/v1/jobs", params=params)  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()["items"]]

    assert ids() == [second["id"], first["id"]]
    assert ids(kind="noop") == [second["id"]]
    assert ids(status="running") == [first["id"]]
    assert ids(label="red") == [second["id"]]
    assert ids(created_after=first["created_at"]) == [second["id"]]
    assert ids(dataset_id="ds_" + "0" * 26) == []


def test_etag_of_a_job(world: World, api: httpx.Client) -> None:
    path = f"/v1/jobs/{submit(api)['id']}"
    tag = api.get(path).headers["etag"]
    assert api.get(path, headers={"If-None-Match": tag}).status_code == 304
    world.worker("cpu")
    assert api.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_logs_with_ranges(world: World, api: httpx.Client) -> None:
    job_id = str(submit(api)["id"])
    path = f"/v1/jobs/{job_id}/logs"
    assert api.get(path).text == ""
    log = world.store.log(job_id)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("0123456789")
    assert api.get(path).text == "0123456789"
    part = api.get(path, headers={"Range": "bytes=4-"})
    assert (part.status_code, part.text) == (206, "456789")
    assert part.headers["content-range"] == "bytes 4-9/10"
    assert api.get(path, headers={"Range": "bytes=-3"}).text == "789"
    assert api.get(path, headers={"Range": "bytes=2-3"}).text == "23"
    backwards = api.get(path, headers={"Range": "bytes=3-2"})
    assert (backwards.status_code, backwards.text) == (200, "0123456789")
    beyond = api.get(path, headers={"Range": "bytes=10-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range_not_satisfiable")


def test_artifacts_are_downloads(world: World, api: httpx.Client) -> None:
    job_id = str(submit(api)["id"])
    world.finish(job_id, make=lambda run: run.artifact('a "ü"\n.html', b"<script>", "text/html"))
    artifact = api.get(f"/v1/jobs/{job_id}").json()["artifacts"][0]
    assert api.get(f"/v1/artifacts/{artifact['id']}").json() == artifact
    answer = api.get(artifact["content_url"])
    assert answer.content == b"<script>"
    assert answer.headers["content-disposition"].startswith("attachment; filename*=")
    assert "sandbox" in answer.headers["content-security-policy"]
    tag = answer.headers["etag"]
    assert api.get(artifact["content_url"], headers={"If-None-Match": tag}).status_code == 304
    part = api.get(artifact["content_url"], headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"scr")
    bad = api.get(artifact["content_url"], headers={"Range": "bytes=99-"})
    assert (bad.status_code, bad.json()["status"]) == (416, 416)
    assert api.get(artifact["content_url"], headers={"Range": "nonsense"}).status_code == 200


@pytest.mark.parametrize(
    ("same", "wanted", "status"),
    [
        (True, "bytes=1-3", 206),
        (False, "bytes=1-3", 200),
        (True, "nonsense=1-3", 200),
        (True, "bytes=99-", 416),
        (False, "bytes=99-", 200),
    ],
)
def test_if_range(world: World, api: httpx.Client, same: bool, wanted: str, status: int) -> None:
    job_id = str(submit(api)["id"])
    world.finish(job_id, make=lambda run: run.artifact("a.txt", b"0123456789", "text/plain"))
    artifact = api.get(f"/v1/jobs/{job_id}").json()["artifacts"][0]
    tag = f'"{artifact["sha256"] if same else "0" * 64}"'
    answer = api.get(artifact["content_url"], headers={"Range": wanted, "If-Range": tag})
    assert answer.status_code == status
    if status == 416:
        assert answer.json()["code"] == "range_not_satisfiable"
    else:
        assert answer.text == ("123" if status == 206 else "0123456789")
