"""A slot that is forked while another thread sends a hint can still send its own."""

from __future__ import annotations

import pytest
from celery import Celery

from core.services import hints


def test_a_lock_that_was_held_while_forking_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    with hints._lock:  # as in the child of a fork: nobody will release it
        hints.forget_producer()
        monkeypatch.setattr(hints, "producer", lambda: Celery(broker="memory://"))
        assert hints.send_hints([("job_x", "cpu")]) == 1
