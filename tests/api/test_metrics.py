"""/metrics: counters that never fall, states of the queues, bounded labels, closed doors."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_network

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import delete, func, select, text, update
from starlette.requests import Request

from api.main import create_app
from api.metrics.access import is_near
from core.config import Settings, get_settings
from core.db.models import Job, JobMeasure, Worker
from core.db.repositories import jobs, measures
from core.db.repositories.jobs import seconds_from_now
from core.errors import JobFailed
from core.services.lifecycle import reap, requeue
from tests.api.world import World

Scrape = Callable[..., float | None]


@pytest.fixture
def scrape(world: World, anonymous: httpx.Client) -> Scrape:
    """The value of a sample as /metrics shows it now; None when there is none."""
    with world.sessions.begin() as session:
        session.execute(text("TRUNCATE job_measures, job_totals"))

    def value(name: str, **labels: str) -> float | None:
        answer = anonymous.get("/metrics")
        assert answer.status_code == 200
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return None

    return value


def submit(api: httpx.Client, kind: str = "sleep") -> str:
    return str(api.post(f"/v1/jobs/{kind}", json={}).json()["id"])


def test_the_state_of_queues_and_workers(world: World, api: httpx.Client, scrape: Scrape) -> None:
    job_id = submit(api)
    with world.sessions.begin() as session:
        session.execute(
            update(Job).where(Job.id == job_id).values(available_at=seconds_from_now(-100))
        )
    world.worker("cpu", "io")
    assert scrape("dermsynth_jobs", kind="sleep", status="queued") == 1
    assert scrape("dermsynth_queue_depth", queue="cpu") == 1
    assert scrape("dermsynth_queue_depth", queue="gpu") == 0
    assert 100 <= (scrape("dermsynth_queue_oldest_wait_seconds", queue="cpu") or 0) < 160
    assert scrape("dermsynth_workers_live", queue="io") == 1
    assert scrape("dermsynth_workers_live", queue="gpu") == 0
    assert (
        scrape("dermsynth_slots", host="here"),
        scrape("dermsynth_slots_busy", host="here"),
    ) == (
        1,
        0,
    )
    assert scrape("dermsynth_database_up") == 1
    assert (scrape("dermsynth_volume_free_bytes") or 0) > 0


def test_a_job_is_counted_from_its_submission_to_its_end(
    world: World, api: httpx.Client, scrape: Scrape
) -> None:
    world.finish(submit(api))
    world.fail(submit(api), JobFailed("no", code="weights_missing"))
    assert scrape("dermsynth_jobs_submitted_total", kind="sleep", queue="cpu") == 2
    assert scrape("dermsynth_jobs_finished_total", kind="sleep", status="succeeded") == 1
    assert scrape("dermsynth_jobs_finished_total", kind="sleep", status="failed") == 1
    assert scrape("dermsynth_job_failures_total", kind="sleep", code="weights_missing") == 1
    assert scrape("dermsynth_job_attempts_total", kind="sleep") == 2
    assert scrape("dermsynth_job_run_seconds_count", kind="sleep") == 2
    assert scrape("dermsynth_job_wait_seconds_count", kind="sleep", queue="cpu") == 2
    assert scrape("dermsynth_job_retries_total", kind="sleep") is None


def test_a_silent_worker_is_a_lost_lease_and_a_retry(
    world: World, api: httpx.Client, scrape: Scrape
) -> None:
    job_id = submit(api)
    world.start(job_id)
    with world.sessions.begin() as session:
        session.execute(
            update(Job).where(Job.id == job_id).values(lease_expires_at=seconds_from_now(-1))
        )
    with world.sessions.begin() as session:
        assert reap(session, job_id)
    assert scrape("dermsynth_lease_expiries_total", kind="sleep") == 1
    assert scrape("dermsynth_worker_lost_total", kind="sleep") == 1
    assert scrape("dermsynth_job_retries_total", kind="sleep") == 1


def test_a_drained_worker_is_no_loss(world: World, api: httpx.Client, scrape: Scrape) -> None:
    job_id = submit(api)
    world.start(job_id)
    with world.sessions.begin() as session:
        job = jobs.lock_with_ancestors(session, job_id)
        assert job is not None
        requeue(session, job, reason="drained", counted=False, delay=0.0)
    world.start(job_id)
    assert scrape("dermsynth_worker_lost_total", kind="sleep") is None
    assert scrape("dermsynth_job_retries_total", kind="sleep") is None
    assert scrape("dermsynth_job_attempts_total", kind="sleep") == 1
    assert scrape("dermsynth_job_wait_seconds_count", kind="sleep") == 2


def test_counters_survive_folding_and_the_deletion_of_jobs(
    world: World, api: httpx.Client, scrape: Scrape
) -> None:
    world.finish(submit(api))
    submit(api)

    def seen() -> list[float | None]:
        return [
            scrape("dermsynth_jobs_submitted_total", kind="sleep"),
            scrape("dermsynth_jobs_finished_total", kind="sleep", status="succeeded"),
            scrape("dermsynth_job_wait_seconds_bucket", kind="sleep", le="86400.0"),
            scrape("dermsynth_job_run_seconds_count", kind="sleep"),
            scrape("dermsynth_job_run_seconds_sum", kind="sleep"),
        ]

    before = seen()
    assert before[:4] == [2, 1, 1, 1]
    for _ in range(2):
        with world.sessions.begin() as session:
            measures.fold(session)
        with world.sessions() as session:
            assert session.scalar(select(func.count()).select_from(JobMeasure)) == 0
        assert seen() == before
        with world.sessions.begin() as session:
            session.execute(delete(Job))
    assert seen() == before
    world.finish(submit(api))
    with world.sessions.begin() as session:
        measures.fold(session)
    assert seen()[:4] == [3, 2, 2, 2]


def test_a_value_counts_from_the_bound_that_holds_it_on(world: World, scrape: Scrape) -> None:
    with world.sessions.begin() as session:
        for value in (0.5, 0.51, 1e9):
            session.add(JobMeasure(name="run", kind="train", value=value))

    def buckets() -> list[float | None]:
        return [
            scrape("dermsynth_job_run_seconds_bucket", kind="train", le=le)
            for le in ("0.25", "0.5", "1.0", "86400.0", "+Inf")
        ]

    assert buckets() == [0, 1, 2, 2, 3]
    with world.sessions.begin() as session:
        assert measures.fold(session) == 3
    assert buckets() == [0, 1, 2, 2, 3]


def test_messages_of_web_hooks_are_counted_to_their_end(
    world: World, api: httpx.Client, scrape: Scrape
) -> None:
    made = api.post("/v1/webhooks", json={"url": "https://receiver.example/"}).json()["id"]
    for _ in range(3):
        assert api.post(f"/v1/webhooks/{made}/test").status_code == 202
    assert scrape("dermsynth_webhook_deliveries_pending") == 3
    assert (scrape("dermsynth_webhook_oldest_wait_seconds") or 0) > 0
    with world.sessions.begin() as session:
        first = "SELECT min(id) FROM webhook_deliveries"
        session.execute(
            text(f"UPDATE webhook_deliveries SET status = 'delivered' WHERE id = ({first})")
        )
    api.patch(f"/v1/webhooks/{made}", json={"enabled": False})  # what waits has failed
    assert scrape("dermsynth_webhooks_disabled") == 1
    for _ in range(2):
        ends = {
            status: scrape("dermsynth_webhook_deliveries_total", event="ping", status=status)
            for status in ("delivered", "failed", "pending")
        }
        assert ends == {"delivered": 1, "failed": 2, "pending": None}
        assert scrape("dermsynth_webhook_deliveries_pending") == 0
        api.delete(f"/v1/webhooks/{made}")  # a counter never falls


def test_two_workers_that_share_a_gpu_show_it_once(world: World, scrape: Scrape) -> None:
    gpu = {"uuid": "GPU-1", "name": "H100", "total_bytes": 80, "used_bytes": 7}
    for used in (7, 9):
        worker = world.worker("gpu")
        with world.sessions.begin() as session:
            row = session.get_one(Worker, worker)
            row.gpus = [gpu | {"used_bytes": used}]
    assert scrape("dermsynth_gpu_memory_used_bytes", gpu="GPU-1", host="here") == 9
    assert scrape("dermsynth_gpu_memory_total_bytes", gpu="GPU-1") == 80


def test_requests_are_labelled_by_route_never_by_path(
    api: httpx.Client, anonymous: httpx.Client, scrape: Scrape
) -> None:
    job_id = submit(api)
    api.get(f"/v1/jobs/{job_id}")
    anonymous.get("/no/such/page/of-mine")
    anonymous.request("BREW", "/v1/jobs")
    page = anonymous.get("/metrics").text
    assert job_id not in page
    assert "of-mine" not in page
    assert "BREW" not in page
    assert (
        scrape(
            "dermsynth_http_requests_total", method="GET", route="/v1/jobs/{job_id}", status="200"
        )
        or 0
    ) >= 1
    assert (scrape("dermsynth_http_requests_total", route="(none)", status="404") or 0) >= 1
    assert (scrape("dermsynth_http_request_seconds_count", route="/v1/jobs/{job_id}") or 0) >= 1
    assert scrape("dermsynth_sse_listeners") == 0
    assert (scrape("dermsynth_database_connections_in_use") or 0) >= 0
    assert (scrape("process_resident_memory_bytes") or 0) > 1e6


def test_every_name_has_one_family(anonymous: httpx.Client) -> None:
    names = re.findall(r"^# TYPE (\S+)", anonymous.get("/metrics").text, re.MULTILINE)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("host", "headers", "near"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("10.1.2.3", {}, False),
        ("127.0.0.1", {"x-forwarded-for": "9.9.9.9"}, False),
        ("127.0.0.1", {"forwarded": "for=9.9.9.9"}, False),
        ("somewhere", {}, False),
    ],
)
def test_a_caller_through_a_proxy_is_not_near(
    host: str, headers: dict[str, str], near: bool
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert is_near(Request({"type": "http", "client": (host, 1), "headers": raw})) is near


def test_the_networks_are_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMSYNTH_METRICS_NETWORKS", "10.0.0.0/8, ::1/128")
    assert Settings().metrics_networks == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    monkeypatch.setenv("DERMSYNTH_METRICS_NETWORKS", "")
    assert Settings().metrics_networks == ()


def test_others_need_a_key_with_the_scope(world: World, anonymous: httpx.Client) -> None:
    far = {"X-Forwarded-For": "203.0.113.9"}
    assert anonymous.get("/metrics", headers=far).status_code == 401
    without = world.client(world.key(scopes=["jobs:read"]))
    assert without.get("/metrics", headers=far).json()["code"] == "missing_scope"
    reader = world.client(world.key(scopes=["metrics:read"]))
    assert reader.get("/metrics", headers=far).status_code == 200
    assert reader.get("/v1/jobs").status_code == 403


def test_without_a_database_the_process_still_answers(
    monkeypatch: pytest.MonkeyPatch, anonymous: httpx.Client
) -> None:
    from sqlalchemy.orm import sessionmaker

    from api.metrics.service import ServiceMetrics
    from core.db.session import make_engine

    nobody = sessionmaker(make_engine("postgresql+psycopg://x:y@127.0.0.1:1/none"))
    families = {
        family.name: family
        for family in ServiceMetrics(lambda: nobody, get_settings().data_dir, 0).collect()
    }
    assert families["dermsynth_database_up"].samples[0].value == 0
    assert "dermsynth_volume_free_bytes" in families
    assert "dermsynth_queue_depth" not in families


def test_what_was_read_is_kept_for_a_while(world: World, api: httpx.Client) -> None:
    from api.metrics.service import ServiceMetrics

    kept = ServiceMetrics(lambda: world.sessions, world.data_dir, 60)
    first = kept.collect()
    submit(api)
    assert kept.collect() is first


def test_two_applications_keep_their_counts_apart(service: World) -> None:
    one, other = create_app(), create_app()
    scope = {"method": "GET", "type": "http"}
    one.state.http_metrics.observe(scope, 200, 0.1)
    assert (
        other.state.http_metrics.registry.get_sample_value(
            "dermsynth_http_requests_total",
            {"method": "GET", "route": "(none)", "status": "200"},
        )
        is None
    )
