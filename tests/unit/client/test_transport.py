"""Retries, Retry-After, idempotency keys, pages, addresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.client import (
    ApiProblem,
    Client,
    InvalidAddress,
    RetryPolicy,
    ServerUnreachable,
    UnexpectedAnswer,
)
from api.client.transport import path_of, retry_after_seconds
from tests.unit.client.scripted import KEY, Script, job, problem, scripted_client


def test_a_creating_post_keeps_key_and_body_over_all_tries() -> None:
    script = Script(
        [
            httpx.ConnectError("down"),
            problem(503, "unavailable", {"retry-after": "2"}),
            problem(409, "idempotency_in_progress"),
            httpx.Response(202, json=job()),
        ]
    )
    client, waits = scripted_client(script)
    assert client.jobs.submit("pipeline", {"seed": 1}).id == "job_1"
    keys = {request.headers["idempotency-key"] for request in script.requests}
    assert len(keys) == 1 and len(script.requests) == 4
    assert set(script.bodies) == {b'{"seed":1}'}
    assert waits[1] == 2.0


def test_two_submissions_have_two_keys() -> None:
    script = Script([httpx.Response(202, json=job()), httpx.Response(202, json=job())])
    client, _ = scripted_client(script)
    client.jobs.submit("noop", {})
    client.jobs.submit("noop", {})
    first, second = (request.headers["idempotency-key"] for request in script.requests)
    assert first != second


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_overload_is_tried_again_and_then_told(status: int) -> None:
    script = Script([problem(status, "busy") for _ in range(4)])
    client, waits = scripted_client(script)
    with pytest.raises(ApiProblem) as caught:
        client.jobs.get("job_1")
    assert (caught.value.status, len(script.requests), len(waits)) == (status, 4, 3)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500])
def test_refusals_are_not_tried_again(status: int) -> None:
    script = Script([problem(status, "no")])
    client, waits = scripted_client(script)
    with pytest.raises(ApiProblem):
        client.jobs.get("job_1")
    assert waits == []


def test_a_long_retry_after_is_not_waited_for() -> None:
    script = Script([problem(429, "too_many_requests", {"retry-after": "3600"})])
    client, waits = scripted_client(script)
    with pytest.raises(ApiProblem) as caught:
        client.jobs.get("job_1")
    assert (caught.value.retry_after, waits) == (3600.0, [])


def test_waits_double_up_to_the_cap() -> None:
    policy = RetryPolicy(first=1.0, longest=5.0)
    for attempt, ceiling in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (500, 5.0)):
        assert ceiling / 2 <= policy.pause(attempt, None) <= ceiling


def test_no_answer_is_a_typed_error() -> None:
    script = Script([httpx.ConnectError("refused") for _ in range(4)])
    client, _ = scripted_client(script)
    with pytest.raises(ServerUnreachable, match=r"service\.test"):
        client.jobs.get("job_1")


def test_a_problem_carries_its_members() -> None:
    errors = [{"pointer": "/seed", "detail": "negative"}]
    script = Script([problem(422, "invalid_input", errors=errors, request_id="req_7")])
    client, _ = scripted_client(script)
    with pytest.raises(ApiProblem) as caught:
        client.jobs.submit("noop", {"seed": -1})
    assert caught.value.errors == ({"pointer": "/seed", "detail": "negative"},)
    assert (caught.value.code, caught.value.request_id) == ("invalid_input", "req_7")


@pytest.mark.parametrize("body", [b"<html>gateway</html>", b"[]", b"", b'{"errors": "x"}'])
def test_a_proxys_error_page_is_a_problem_too(body: bytes) -> None:
    client, _ = scripted_client(Script([httpx.Response(500, content=body)]))
    with pytest.raises(ApiProblem) as caught:
        client.jobs.get("job_1")
    assert caught.value.code == "http_500"


def test_redirects_are_not_followed_with_the_key() -> None:
    script = Script([httpx.Response(307, headers={"location": "http://elsewhere.test/"})])
    client, _ = scripted_client(script)
    with pytest.raises(ApiProblem) as caught:
        client.jobs.get("job_1")
    assert (caught.value.code, len(script.requests)) == ("unexpected_redirect", 1)


def test_the_key_is_sent_and_the_proxys_path_is_kept() -> None:
    script = Script([httpx.Response(200, json=job())])
    client = Client("https://host.test/derm/", KEY, transport=httpx.MockTransport(script))
    client.jobs.get("job_1")
    assert str(script.requests[0].url) == "https://host.test/derm/v1/jobs/job_1"
    assert script.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_pages_follow_the_cursor_and_stop() -> None:
    script = Script(
        [
            httpx.Response(200, json={"items": [job("job_2")], "next_cursor": "c"}),
            httpx.Response(200, json={"items": [job("job_1")], "next_cursor": None}),
        ]
    )
    client, _ = scripted_client(script)
    assert [item.id for item in client.jobs.list(status="running")] == ["job_2", "job_1"]
    assert [dict(r.url.params).get("cursor") for r in script.requests] == [None, "c"]
    assert all(r.url.params["status"] == "running" for r in script.requests)


@pytest.mark.parametrize(
    "pages",
    [
        [{"items": [], "next_cursor": "c"}, {"items": [], "next_cursor": "c"}],
        [{"things": []}],
        [[]],
    ],
)
def test_lists_that_never_end_or_are_none_are_errors(pages: list[object]) -> None:
    client, _ = scripted_client(Script([httpx.Response(200, json=page) for page in pages]))
    with pytest.raises(UnexpectedAnswer):
        list(client.jobs.list())


def test_an_answer_that_does_not_fit_names_the_field() -> None:
    client, _ = scripted_client(Script([httpx.Response(200, json={"id": "job_1"})]))
    with pytest.raises(UnexpectedAnswer, match="kind"):
        client.jobs.get("job_1")


@pytest.mark.parametrize(
    "address", ["", "service.test", "ftp://x", "http://", "http://u:p@x", "http://x/?a=1"]
)
def test_addresses_that_are_none_are_refused(address: str) -> None:
    with pytest.raises(InvalidAddress):
        Client(address)


def test_a_key_with_a_line_break_cannot_make_a_header() -> None:
    with pytest.raises(InvalidAddress):
        Client("http://x", "dsk_a\r\nX-Evil: 1")


@given(st.text())
def test_an_id_stays_one_segment(text: str) -> None:
    try:
        path = path_of("jobs", text)
    except (InvalidAddress, UnicodeEncodeError):
        return
    assert path.count("/") == 3
    assert not {"?", "#", "\\", "\n"} & set(path)


def test_retry_after_reads_seconds_and_dates() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < (retry_after_seconds(later) or 0) <= 100
    assert retry_after_seconds(" 7 ") == 7.0
    assert retry_after_seconds(format_datetime(datetime(2001, 1, 1, tzinfo=UTC))) == 0.0


@given(st.text())
def test_any_retry_after_is_read_or_ignored(text: str) -> None:
    seconds = retry_after_seconds(text)
    assert seconds is None or seconds >= 0
