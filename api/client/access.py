"""The audit log, and patients and lesions with all that is known of them."""

from __future__ import annotations

from collections.abc import Iterator

from api.client.records import AuditEntry, Erasure, Group, parse
from api.client.transport import Transport, decoded, path_of

ERASE_SECONDS = 900.0
"""The manifests of all versions are rewritten before the answer."""


class Audit:
    """``/v1/audit``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, **wanted: str | None) -> Iterator[AuditEntry]:
        """Yield what was done, newest first.

        ``wanted``: action, actor_id, target_id, request_id, after, before (RFC 3339).
        """
        given = {name: value for name, value in wanted.items() if value is not None}
        pages = self._transport.pages(path_of("audit"), limit=200, **given)
        return (parse(AuditEntry, item) for item in pages)


class Groups:
    """``/v1/groups``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, group_id: str) -> Group:
        """Return the images of a patient or lesion, and everything derived from them."""
        return parse(Group, self._transport.get(path_of("groups", group_id)))

    def erase(self, group_id: str) -> Erasure:
        """Remove them for good; a second time tells of the first."""
        path = path_of("groups", group_id)
        return parse(Erasure, decoded(self._transport.send("DELETE", path, timeout=ERASE_SECONDS)))
