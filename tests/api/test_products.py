"""Models, predictions, experiments, keys, the catalog, health and the pages."""

from __future__ import annotations

import asyncio
import io
import threading
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.db.session import sessions
from core.errors import OutOfMemory
from core.learning.segmentation import schema as segmentation
from core.learning.verdict_schema import json_schema
from core.services.browser_sessions import login_token
from core.services.keys import revoke_key
from tests.api.world import World, png
from tests.integration.harness import eventually

RESULT = {"model_id": "m", "classes": ["a"], "predictions": [], "intended_use": "research only"}


@pytest.fixture
def model(world: World, api: httpx.Client) -> str:
    job = api.post("/v1/jobs/noop", json={}).json()
    world.finish(job["id"])
    return world.model(job["id"])


def predict(api: httpx.Client, model: str, count: int = 1, **options: Any) -> httpx.Response:
    files = [("images", (f"{n}.png", png(n))) for n in range(count)]
    return api.post(f"/v1/models/{model}/predict", files=files, **options)


def answer_next(world: World, api: httpx.Client, how: Any) -> threading.Thread:
    """End the predict job that is about to come, as a worker would."""

    def work() -> None:
        client = world.client(api.headers["authorization"].removeprefix("Bearer "))
        while not (items := client.get("/v1/jobs?kind=predict&status=queued").json()["items"]):
            pass
        how(items[0]["id"])

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_models(api: httpx.Client, model: str) -> None:
    body = api.get(f"/v1/models/{model}").json()
    assert body["info"] == {"classes": ["melanoma", "nevus"]}
    assert body["intended_use"] == "research only, not for diagnosis"
    assert api.get("/v1/models").json()["items"] == [body]


def test_a_network_of_outlines_has_no_classes_to_tell(world: World, api: httpx.Client) -> None:
    job = api.post("/v1/jobs/noop", json={}).json()
    world.finish(job["id"])
    model = world.model(job["id"], info={"task": "segmentation", "classes": ["nevus"]})
    assert "predict" not in api.get(f"/v1/models/{model}").json()["links"]
    world.worker("interactive")
    answer = predict(api, model)
    assert (answer.status_code, answer.json()["code"]) == (422, "not_a_classifier")
    assert answer.json()["errors"][0]["pointer"] == "/model_id"


def test_masks_are_counted_before_outlines_are_learned(world: World, api: httpx.Client) -> None:
    def asked(masked: int) -> httpx.Response:
        mask = {"annotations": {"mask": world.store.add(png(99))}}
        records = [world.record(n, provenance=mask if n < masked else {}) for n in range(6)]
        version = world.version(records).id
        wish = {"dataset_version_id": version}
        return api.post("/v1/jobs/train_segmentation?validate_only=true", json=wish)

    refused = asked(0)
    assert (refused.status_code, refused.json()["code"]) == (422, "no_masks")
    few, all_ = (asked(n).json()["estimate"] for n in (3, 6))
    assert (few["images"], all_["images"]) == (3, 6)


def test_predict_without_a_worker_says_so(api: httpx.Client, model: str) -> None:
    answer = predict(api, model)
    assert (answer.status_code, answer.json()["code"]) == (503, "no_worker")
    assert int(answer.headers["retry-after"]) >= 1
    assert api.get("/v1/jobs?kind=predict").json()["items"] == []


def test_predict_answers_in_the_same_call(world: World, api: httpx.Client, model: str) -> None:
    world.worker("interactive")
    thread = answer_next(world, api, lambda job: world.finish(job, RESULT))
    answer = predict(api, model, 2, headers={"Idempotency-Key": "p"})
    thread.join()
    assert (answer.status_code, answer.json()) == (200, RESULT)
    job = api.get(answer.headers["location"]).json()
    assert [image["filename"] for image in job["params"]["images"]] == ["0.png", "1.png"]
    assert world.store.find(job["params"]["images"][1]["sha256"]).read_bytes() == png(1)
    assert predict(api, model, 2, headers={"Idempotency-Key": "p"}).json() == RESULT
    assert not list((world.data_dir / "staging" / "direct").glob("*"))


def test_a_failed_prediction_is_its_problem(world: World, api: httpx.Client, model: str) -> None:
    world.worker("interactive")
    thread = answer_next(world, api, lambda job: world.fail(job, OutOfMemory("too much")))
    answer = predict(api, model)
    thread.join()
    assert answer.json()["code"] == "out_of_memory"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_slow_prediction_is_a_job(
    world: World, api: httpx.Client, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.models.WAIT_SECONDS", 0.2)
    world.worker("interactive")
    answer = predict(api, model)
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"


def test_too_many_or_no_images_are_422(world: World, api: httpx.Client, model: str) -> None:
    world.worker("interactive")
    assert predict(api, model, 33).status_code == 422
    wrong = {"images": (None, "text")}
    assert api.post(f"/v1/models/{model}/predict", files=wrong).status_code == 422
    wrong_name = {"files": ("x.png", png())}
    assert api.post(f"/v1/models/{model}/predict", files=wrong_name).status_code == 422


def test_predict_on_bytes_of_others_is_404(
    world: World, api: httpx.Client, stranger: httpx.Client, model: str
) -> None:
    draft = world.version()
    sha256 = api.get(f"/v1/dataset-versions/{draft.id}/images").json()["items"][0]["sha256"]
    images = [{"filename": "x.png", "sha256": sha256}]
    assert api.post("/v1/jobs/predict", json={"model_id": model, "images": images}).is_success
    job = stranger.post("/v1/jobs/noop", json={}).json()
    theirs = world.model(job["id"], "elsewhere")
    answer = stranger.post("/v1/jobs/predict", json={"model_id": theirs, "images": images})
    assert (answer.status_code, answer.json()["code"]) == (404, "image_not_found")


def test_experiments(world: World, api: httpx.Client) -> None:
    draft = world.version()
    job = api.post("/v1/jobs/noop", json={}).json()["id"]
    rows = [
        {"image_id": f"i{n}", "seed": 0, "fold": n % 5, "arm": "real",
         "probabilities": [0.5, float("nan")]}
        for n in range(450)
    ]  # fmt: skip
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer, row_group_size=100)

    def make(run: Any) -> None:
        file = run.artifact("predictions.parquet", buffer.getvalue(), "application/x-parquet")
        run.publish_experiment(draft.id, {"design": "cv", "arms": []}, file)

    outcome = world.finish(job, make=make)
    path = f"/v1/experiments/{outcome.experiments[0].id}"
    body = api.get(path).json()
    assert (body["design"], body["arms"], body["job_id"]) == ("cv", [], job)
    assert api.get("/v1/experiments").json()["items"] == [body]
    seen, cursor = [], None
    while True:
        params = {"limit": "150"} | ({"cursor": cursor} if cursor else {})
        page = api.get(f"{path}/predictions", params=params).json()
        seen += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert [row["image_id"] for row in seen] == [row["image_id"] for row in rows]
    assert seen[0]["probabilities"] == [0.5, None]
    in_use = api.delete(f"/v1/datasets/{draft.dataset_id}").json()["dependents"]
    assert in_use == [{"type": "experiment", "id": outcome.experiments[0].id}]


def test_keys(world: World, api: httpx.Client) -> None:
    made = api.post("/v1/keys", json={"name": "ward", "scopes": ["jobs:read"]}).json()
    other = world.client(made["key"])
    assert other.get("/v1/jobs").status_code == 200
    assert other.post("/v1/jobs/noop", json={}).json()["code"] == "missing_scope"
    listed = api.get("/v1/keys").json()["items"]
    assert all("key" not in key and "hash" not in key for key in listed)
    assert api.delete(f"/v1/keys/{made['id']}").status_code == 204
    refused = other.get("/v1/jobs")
    assert (refused.status_code, refused.json()["code"]) == (401, "key_expired")


def test_a_key_revoked_by_another_process_is_refused_within_the_cache_time(
    world: World, api: httpx.Client
) -> None:
    made = api.post("/v1/keys", json={"name": "ward", "scopes": ["jobs:read"]}).json()
    other = world.client(made["key"])
    assert other.get("/v1/jobs").status_code == 200
    with world.sessions.begin() as session:  # past this process's memory of good keys
        revoke_key(session, world.principal(), made["id"])
    eventually(lambda: other.get("/v1/jobs").status_code == 401, patience=10)


def test_a_key_cannot_give_more_than_it_has(world: World) -> None:
    weak = world.client(world.key(scopes=["keys:admin"]))
    answer = weak.post("/v1/keys", json={"name": "x", "scopes": ["jobs:write"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["all"]},
        {"name": "x", "expires_at": "2001-01-01T00:00:00Z"},
        {"name": "x", "expires_at": "2901-01-01T00:00:00"},
    ],
)
def test_impossible_keys(api: httpx.Client, body: dict[str, object]) -> None:
    assert api.post("/v1/keys", json=body).status_code == 422


def test_the_schema_of_a_verdict_is_served(api: httpx.Client) -> None:
    answer = api.get("/v1/catalog/verdict-schema")
    assert answer.status_code == 200
    assert answer.json() == json_schema()
    assert api.get("/v1/catalog/segmentation-schema").json() == segmentation.json_schema()


def test_the_catalog_says_who_can(world: World, api: httpx.Client) -> None:
    row = {"capability": "backbone", "name": "resnet18", "ok": False, "reason": "no weights",
           "fix": "get them"}  # fmt: skip
    added = {"capability": "backbone", "name": "timm:resnet10t", "ok": True, "reason": None,
             "fix": None, "facts": {"dimension": 512}}  # fmt: skip
    worker = world.worker("gpu", "cpu", available=[row, added])
    body = api.get("/v1/catalog").json()
    kinds = {kind["name"]: kind for kind in body["job_kinds"]}
    assert kinds["train"]["params"]["type"] == "object"
    assert kinds["sleep"]["available"] == [
        {"worker": worker, "ok": True, "reason": None, "fix": None}
    ]
    assert not any(name.endswith("_shard") for name in kinds)
    backbones = {entry["name"]: entry for entry in body["backbones"]}
    assert backbones["resnet18"]["available"] == [
        {"worker": worker, "ok": False, "reason": "no weights", "fix": "get them"}
    ]
    assert "core.features.timm_files" in backbones["timm:"]["facts"]["fix"]
    assert backbones["timm:resnet10t"]["facts"] == {"dimension": 512}
    assert backbones["timm:resnet10t"]["available"][0]["ok"]
    assert {entry["name"] for entry in body["classifiers"]} >= {"random_forest"}
    networks = {entry["name"]: entry["facts"] for entry in body["architectures"]}
    assert networks["deeplabv3"]["imagenet_weights"]
    assert not networks["unet"]["imagenet_weights"]


def test_health(world: World, anonymous: httpx.Client) -> None:
    assert anonymous.get("/healthz").json() == {"status": "ok"}
    answer = anonymous.get("/readyz")
    checks = {check["name"]: check for check in answer.json()["checks"]}
    assert (answer.status_code, checks["api_key"]["ok"]) == (503, False)
    assert "keys create" in checks["api_key"]["detail"]
    world.key()
    # an answer is kept for a second
    eventually(lambda: anonymous.get("/readyz").is_success)
    assert anonymous.get("/readyz").json()["status"] == "degraded"
    assert anonymous.get("/version").json()["api"] == "v1"


def test_what_the_page_hides_is_not_displayed(api: httpx.Client) -> None:
    rules = api.get("/static/page.css").text
    shown = rules.index("form {")  # its display would win over the browser's own rule
    assert 0 <= rules.find("[hidden] { display: none !important; }") < shown


def test_docs_need_no_internet(anonymous: httpx.Client) -> None:
    page = anonymous.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    scripts = ("swagger/swagger-ui-bundle.js", "docs.js", "page.js", "images.js", "png.js")
    for name in scripts:
        assert anonymous.get(f"/static/{name}").status_code == 200
    assert anonymous.get("/openapi.json").json()["info"]["title"] == "DermSynth3D"
    assert anonymous.get("/static/../main.py").status_code == 404


def test_docs_behind_a_proxy_call_its_prefix(service: World) -> None:
    from api.main import create_app

    async def described(root_path: str) -> dict[str, Any]:
        transport = httpx.ASGITransport(create_app(), root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer: dict[str, Any] = (await client.get(f"{root_path}/openapi.json")).json()
            return answer

    assert asyncio.run(described("/derm"))["servers"] == [{"url": "/derm"}]
    assert "servers" not in asyncio.run(described(""))


def test_a_login_link_works_once(world: World) -> None:
    token = login_token(sessions())
    browser = world.client()
    answer = browser.get("/login", params={"token": token})
    cookie = answer.headers["set-cookie"].lower()
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert browser.get("/v1/jobs").status_code == 200
    again = world.client().get("/login", params={"token": token})
    assert (again.status_code, again.json()["code"]) == (401, "invalid_login_link")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 202),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
    ],
)
def test_cookies_write_only_from_our_own_page(
    world: World, headers: dict[str, str], status: int
) -> None:
    browser = world.client()
    browser.get("/login", params={"token": login_token(sessions())})
    assert browser.post("/v1/jobs/noop", json={}, headers=headers).status_code == status
