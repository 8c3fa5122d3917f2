from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest

from core.config import Settings
from core.logs import about, redact, set_up_logging


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What is logged in this test; the logging of the test run comes back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    logging.captureWarnings(False)
    root.handlers[:] = before
    root.setLevel(level)


def only(read: Callable[[], str]) -> dict[str, Any]:
    (line,) = read().splitlines()
    loaded: dict[str, Any] = json.loads(line)
    return loaded


def test_a_record_carries_the_ids_of_what_it_is_about(lines: Callable[[], str]) -> None:
    set_up_logging(Settings(log_format="json"))
    with about(request_id="req_1", job_id=None), about(attempt=2):
        logging.getLogger("any.library").warning("two %s", "words")
    line = only(lines)
    assert (line["message"], line["request_id"], line["attempt"]) == ("two words", "req_1", 2)
    assert line["level"] == "WARNING"
    assert "job_id" not in line
    logging.getLogger("any.library").warning("afterwards")
    assert "request_id" not in only(lines)


def test_ids_follow_a_thread_that_takes_the_context(lines: Callable[[], str]) -> None:
    set_up_logging(Settings(log_format="json"))
    with about(job_id="job_1"):
        context = copy_context()
    thread = threading.Thread(target=lambda: context.run(logging.getLogger().info, "beat"))
    thread.start()
    thread.join()
    assert only(lines)["job_id"] == "job_1"


def test_an_exception_is_one_line_of_json(lines: Callable[[], str]) -> None:
    set_up_logging(Settings(log_format="json"))
    try:
        raise RuntimeError("postgresql://me:hush@db/x refused\nsecond line")
    except RuntimeError:
        logging.getLogger().exception("failed")
    line = only(lines)
    assert "hush" not in line["exception"]
    assert "RuntimeError" in line["exception"]


def test_text_lines_end_with_the_ids(lines: Callable[[], str]) -> None:
    set_up_logging(Settings(log_format="text"))
    with about(job_id="job_1"):
        logging.getLogger("x").info("hello")
    assert lines().endswith("INFO x hello job_id=job_1\n")


def test_the_level_is_a_setting(lines: Callable[[], str]) -> None:
    set_up_logging(Settings(log_level="error"))
    logging.getLogger().warning("quiet")
    assert lines() == ""
    set_up_logging(Settings(log_level="error"), "warning")
    logging.getLogger().warning("loud")
    assert "loud" in lines()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("key dsk_Ab-9_zZ00000000 was used", "dsk_Ab-9_zZ00000000"),
        ("postgresql+psycopg://u:p4ss-w0rd@h/db", "p4ss-w0rd"),
        ("redis://:hunter22@h:6379/0", "hunter22"),
        ("Authorization: Bearer abcdefgh.ijkl", "abcdefgh.ijkl"),
        ("GET /login?token=s3cr3t&x=1", "s3cr3t"),
        ('{"password": "s3cr3t"}', "s3cr3t"),
        ("cookie dermsynth_session=s3cr3t; Path=/", "s3cr3t"),
        ("whsec_c2VjcmV0c2VjcmV0", "whsec_c2VjcmV0c2VjcmV0"),
    ],
)
def test_secrets_are_taken_out(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in redact(text)


@pytest.mark.parametrize(
    "text", ["job_0192 took 3 s", "https://host:8000/v1/jobs", "sha256 ab12", "basic policy"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text
