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
)


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: the tenant whose rows it sees, and what it may do."""

    tenant_id: str
    key_id: str
    scopes: frozenset[str]
