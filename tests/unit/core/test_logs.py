from __future__ import annotations

import json
import logging
import shlex
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import logs
from core.config import Settings
from core.logs import JsonLines, TextLines, about, redact, set_up_logging


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
        ("password='a b c'", "b c"),
        ("b'token': b'abc'", "abc"),
        ('"password": "it\'s mine", "x": 1', "mine"),
        (r'{"secret": "x\"yz123"}', "yz123"),
        ("password=it's", "'s"),
        ('password = """two\nlines"""', "lines"),
        ("password='it''s mine'", "mine"),
        ("token := 'abc def", "def"),
        ("'password' => 'abc def'", "abc"),
        ("postgresql://u:p/w@h/db", "p/w"),
        ("postgresql://u:p@ssw0rd@h/db", "ssw0rd"),
    ],
)
def test_secrets_are_taken_out(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "job_0192 took 3 s",
        "https://host:8000/v1/jobs",
        "https://host:8000/v1/jobs?by=me@clinic",
        "sha256 ab12",
        "basic policy",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


MARK = "S3kr1t"
SECRET = st.lists(st.sampled_from([MARK, *"\"'\\ \n,;&=:é\x00{}"]), max_size=12).map("".join)
WRITTEN: list[Callable[[str, str], str]] = [
    lambda name, secret: json.dumps({name: secret, "after": 1}),
    lambda name, secret: json.dumps(json.dumps({name: secret, "after": 1})),
    lambda name, secret: json.dumps(json.dumps(json.dumps({name: secret}))),
    lambda name, secret: repr({name: secret, "after": 1}),
    lambda name, secret: repr({name.encode(): secret.encode()}),
    lambda name, secret: repr(json.dumps({name: secret})),
    lambda name, secret: repr(json.dumps({name: secret}).encode()),
    lambda name, secret: f"Settings({name}={secret!r}, after=1)",
]


@given(
    st.sampled_from(["password", "DERMSYNTH_KEY_PEPPER", "Api-Key", "token"]),
    SECRET,
    st.sampled_from(WRITTEN),
)
def test_a_quoted_value_goes_whole(
    name: str, secret: str, write: Callable[[str, str], str]
) -> None:
    assert MARK not in redact(f"before {write(name, secret)}")


PIECES = ["dsk_", "whsec_", "://", "u:", "@", "bearer ", "BASIC ", "abcdefgh", "password", "Token",
          "api-key", "pepper", "=", ": ", "'", '"', "\\", "x", "\n", "ſecret", "toKen"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES) | st.characters(), max_size=20).map("".join))
def test_every_text_with_a_secret_is_suspect(text: str) -> None:
    found = any(pattern.search(text) for pattern, _ in logs._SECRETS)
    assert not found or logs._SUSPECT.search(text)


HOSTILE = ["\n", "\r", "\x1b[2K", "\x85", "\u2028", "\u202e", "\x00", " status=200", '"', "é", "x"]


@given(st.lists(st.sampled_from(HOSTILE), max_size=8).map("".join))
def test_nothing_sent_starts_a_line_or_a_field(sent: str) -> None:
    record = logging.LogRecord("api", logging.INFO, "", 0, "asked %s", (sent,), None)
    record.path = f"/{sent}"
    record.status = 404
    text, line = TextLines().format(record), JsonLines().format(record)
    for shown in (text, line):
        assert shown.isprintable()
        assert len(shown.splitlines()) == 1
    fields = shlex.split(text[text.rindex(" path=") :]) if '"' not in sent else []
    assert fields[1:] in ([], ["status=404"])
    told = json.loads(line)
    assert (told["path"], told["message"]) == (f"/{sent}", f"asked {sent}")


def test_a_forged_line_in_an_exception_is_set_in(lines: Callable[[], str]) -> None:
    set_up_logging(Settings(log_format="text"))
    try:
        raise ValueError("no\n2026-01-01T00:00:00.000+00:00 INFO api granted\x1b[2K")
    except ValueError:
        logging.getLogger("x").exception("failed")
    first, *others = lines().splitlines()
    assert first.endswith("ERROR x failed")
    assert all(line.startswith("    ") and line.isprintable() for line in others)
    assert others[-1] == "    2026-01-01T00:00:00.000+00:00 INFO api granted\\u001b[2K"
