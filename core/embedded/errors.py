"""The one error of this package."""

from __future__ import annotations

from core.errors import Unavailable


class EmbeddedFailure(Unavailable):
    """A server or a process of the embedded stack cannot run; the message says what to do."""

    default_code = "embedded_failure"
    title = "The embedded stack cannot run"
