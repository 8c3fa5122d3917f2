"""The parser of server-sent events."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.client import UnexpectedAnswer, sse
from api.client.sse import Message, SseParser

STREAM = (
    b': hello\r\n\r\nid: 1\nevent: progress\ndata: {"a":\ndata: 1}\n\n'
    b"retry: 1500\rid: 2\rdata:x\xe2\x80\xa8y\r\rdata\n\nid: 3\nevent: alone\n\n"
)
MESSAGES = [
    Message("1", "progress", '{"a":\n1}'),
    Message("2", "message", "x\u2028y"),
    Message("2", "message", ""),
]


def test_a_stream_is_read_as_the_standard_says() -> None:
    parser = SseParser()
    assert parser.feed(STREAM) == MESSAGES
    assert (parser.last_id, parser.retry_seconds) == ("3", 1.5)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_however_the_bytes_are_cut_the_messages_are_the_same(cuts: list[int]) -> None:
    parser = SseParser()
    edges = [0, *sorted(cuts), len(STREAM)]
    found = [m for a, b in pairwise(edges) for m in parser.feed(STREAM[a:b])]
    assert found == MESSAGES


def test_a_message_without_its_empty_line_is_not_told() -> None:
    assert SseParser().feed(b"data: cut") == []


def test_an_id_with_a_nul_is_ignored() -> None:
    assert SseParser("4").feed(b"id: 5\0\ndata: x\n\n") == [Message("4", "message", "x")]


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_LINE", 100)
    with pytest.raises(UnexpectedAnswer):
        SseParser().feed(b"data: " + b"x" * 200)
