"""Free ports of loopback."""

from __future__ import annotations

import socket

import pytest

from core.embedded import ports
from core.embedded.errors import EmbeddedFailure


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        taken = server.getsockname()[1]
        assert not ports.is_free(taken)
        assert ports.free_port(taken) != taken
    assert ports.is_free(taken)


def test_a_free_preferred_port_is_kept() -> None:
    port = ports.free_port()
    assert ports.FIRST <= port < ports.LAST
    assert ports.free_port(port) == port


def test_no_free_port_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _: False)
    with pytest.raises(EmbeddedFailure, match="No free port"):
        ports.free_port()
