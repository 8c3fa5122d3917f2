"""The same creating request twice gives one thing and the same answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from core.db.models import IdempotencyKey
from core.db.repositories.jobs import try_advisory_lock
from tests.api.world import World, png

KEY = {"Idempotency-Key": "the first"}


def test_the_second_answer_is_the_first(api: httpx.Client) -> None:
    first = api.post("/v1/jobs/sleep", json={"seconds": 1.0}, headers=KEY)
    second = api.post("/v1/jobs/sleep", content=b'{ "seconds" : 1.0 }',
                      headers=KEY | {"Content-Type": "application/json"})  # fmt: skip
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["location"] == first.headers["location"]
    assert len(api.get("/v1/jobs").json()["items"]) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/jobs/sleep", {"seconds": 2}),
        ("/v1/jobs/sleep?label=x", {"seconds": 1}),
        ("/v1/jobs/noop", {}),
    ],
)
def test_another_request_is_refused(api: httpx.Client, path: str, body: dict[str, object]) -> None:
    api.post("/v1/jobs/sleep", json={"seconds": 1}, headers=KEY)
    answer = api.post(path, json=body, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


def test_keys_belong_to_a_tenant(api: httpx.Client, stranger: httpx.Client) -> None:
    first = api.post("/v1/jobs/noop", json={}, headers=KEY).json()
    assert stranger.post("/v1/jobs/noop", json={}, headers=KEY).json()["id"] != first["id"]


def test_a_refused_request_keeps_nothing(api: httpx.Client) -> None:
    assert api.post("/v1/jobs/sleep", json={"seconds": -1}, headers=KEY).status_code == 422
    assert api.post("/v1/jobs/sleep", json={"seconds": 1}, headers=KEY).status_code == 202


def test_while_the_first_is_worked_on_it_is_409(world: World, api: httpx.Client) -> None:
    tenant = world.principal().tenant_id
    with world.sessions() as session:
        assert try_advisory_lock(session, f"idempotency:{tenant}:{KEY['Idempotency-Key']}")
        answer = api.post("/v1/jobs/noop", json={}, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_progress")
    assert api.post("/v1/jobs/noop", json={}, headers=KEY).status_code == 202


def test_many_at_once_make_one(world: World, api: httpx.Client) -> None:
    def post(_: int) -> httpx.Response:
        return api.post("/v1/jobs/noop", json={}, headers=KEY)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(24)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({a.json()["id"] for a in answers if a.status_code == 202}) == 1
    assert len(api.get("/v1/jobs").json()["items"]) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "é"])
def test_keys_that_are_none(api: httpx.Client, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    answer = api.post("/v1/jobs/noop", json={}, headers=headers)
    assert answer.status_code in (400, 422)


def test_an_upload_form_is_recognised_by_its_content(world: World, api: httpx.Client) -> None:
    def post(data: bytes, name: str = "a") -> httpx.Response:
        files = {"file": ("a.zip", data)}
        return api.post("/v1/datasets", files=files, data={"name": name}, headers=KEY)

    folder = world.data_dir / "uploads"
    before = set(folder.glob("*"))
    first = post(png(1))
    assert first.status_code == 202, first.text
    assert post(png(1)).json() == first.json()
    assert post(png(2)).json()["code"] == "idempotency_key_reused"
    assert post(png(1), "b").json()["code"] == "idempotency_key_reused"
    assert len(set(folder.glob("*")) - before) == 1


def test_the_secret_of_a_key_is_repeated_and_not_stored(world: World, api: httpx.Client) -> None:
    first = api.post("/v1/keys", json={"name": "x"}, headers=KEY).json()
    assert api.post("/v1/keys", json={"name": "x"}, headers=KEY).json() == first
    with world.sessions() as session:
        kept = session.query(IdempotencyKey).one().body
    assert first["key"] not in str(kept)
    assert kept["key"] != first["key"]
