"""Who is asking."""

from __future__ import annotations

from dataclasses import dataclass

SCOPES = (
    "datasets:read",
    "datasets:write",
    "jobs:read",
    "jobs:write",
    "models:read",
    "models:write",
    "keys:admin",
    "metrics:read",
)


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: the tenant whose rows it sees, and what it may do.

    ``key_id`` is the id of a key or of a browser session, or ``system``.
    """

    tenant_id: str
    key_id: str
    scopes: frozenset[str]
    request_id: str = ""


SYSTEM = "system"
NO_TENANT = "service"
"""Stands for a tenant in the audit log where the service acts on what belongs to none."""


def system(tenant_id: str) -> Principal:
    """Return the service itself, at work for a tenant."""
    return Principal(tenant_id, SYSTEM, frozenset())
