"""Who may read the metrics: named networks without a key, everybody else with one."""

from __future__ import annotations

from ipaddress import ip_address

from starlette.requests import Request

from api.deps import authorise
from core.config import get_settings

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
SCOPE = "metrics:read"


async def check_reader(request: Request) -> None:
    """Raise Unauthorized or Forbidden unless the caller is near or has the scope."""
    if not is_near(request):
        await authorise(request, [SCOPE])


def is_near(request: Request) -> bool:
    """Tell whether the caller's address is in the networks of the settings.

    A request that came through a proxy is not near, however near the proxy is.
    """
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    try:
        address = ip_address(request.client.host)
    except ValueError:
        return False
    return any(address in network for network in get_settings().metrics_networks)
