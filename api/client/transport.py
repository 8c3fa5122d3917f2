"""One HTTP request as the rest of the client wants it: authenticated, retried, or a typed error."""

from __future__ import annotations

import ipaddress
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx

from api.client.failures import ApiProblem, InvalidAddress, ServerUnreachable, UnexpectedAnswer

RETRIED = frozenset({429, 502, 503, 504})
USER_AGENT = "dermsynth3d-client"
CONTENT_TIMEOUT = 120.0
"""Seconds without a byte before a stream of contents counts as broken."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to try again; the wait doubles from ``first`` to ``longest`` seconds.

    A ``Retry-After`` above ``patience`` seconds is not waited for: the problem is raised at once.
    """

    tries: int = 6
    first: float = 0.5
    longest: float = 20.0
    patience: float = 120.0

    def pause(self, attempt: int, retry_after: float | None) -> float:
        """Return the seconds before try ``attempt + 1`` (attempt counts from 1)."""
        if retry_after is not None:
            return retry_after
        ceiling = min(self.longest, self.first * 2.0 ** min(attempt - 1, 30))
        return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - spreads clients, guards nothing


@dataclass(frozen=True, slots=True)
class Retrying:
    """Told to ``on_retry`` before each wait."""

    attempt: int
    seconds: float
    reason: str


class Transport:
    """Requests to one server. Raises ApiProblem, ServerUnreachable; never follows redirects."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        *,
        policy: RetryPolicy | None = None,
        timeout: float = 60.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        on_retry: Callable[[Retrying], None] | None = None,
    ) -> None:
        self.base_url = _checked_address(base_url)
        self.policy = policy or RetryPolicy()
        self.sleep = sleep
        self._on_retry = on_retry
        headers = {"User-Agent": USER_AGENT}
        if api_key:
            headers["Authorization"] = f"Bearer {_checked_key(api_key)}"
        self._http = httpx.Client(
            base_url=self.base_url,
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=10.0),
            transport=transport,
            # a proxy of the environment must not see what stays on this machine
            trust_env=not _is_loopback(self.base_url),
        )

    def close(self) -> None:
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> httpx.Response:
        """Send a request that may be repeated (see :meth:`create` for creating ones)."""
        request = self._request(method, path, params, json, content, headers, timeout)
        attempt = 0
        while True:
            attempt += 1
            retry_after = None
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                reason = f"no answer from {self.base_url}"
                if attempt >= self.policy.tries:
                    raise ServerUnreachable(f"There is {reason}: {error}") from error
            else:
                if response.is_success:
                    return response
                problem = problem_of(response)
                if attempt >= self.policy.tries or not self.worth_another(problem):
                    raise problem
                reason, retry_after = f"HTTP {problem.status} {problem.code}", problem.retry_after
            self.pause(attempt, retry_after, reason)

    def send_once(
        self,
        method: str,
        path: str,
        *,
        content: bytes,
        headers: Mapping[str, str],
        timeout: float,
    ) -> httpx.Response:
        """Send a request once; whatever the status, the response is returned."""
        return self._http.send(self._request(method, path, None, None, content, headers, timeout))

    def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        json: Any,
        content: bytes | None,
        headers: Mapping[str, str] | None,
        timeout: float | None,
    ) -> httpx.Request:
        return self._http.build_request(
            method,
            path,
            params=_present(params),
            json=json,
            content=content,
            headers=dict(headers or {}),
            timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else timeout,
        )

    def create(
        self,
        path: str,
        json: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        """POST something that creates, under one idempotency key for all tries."""
        key_header = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self.send(
            "POST", path, json=json, params=params, headers={**(headers or {}), **key_header}
        )

    def get(self, path: str, **params: Any) -> Any:
        """GET a JSON document."""
        return decoded(self.send("GET", path, params=params))

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, page after page."""
        cursor: str | None = None
        while True:
            page = self.get(path, **params, cursor=cursor)
            if not isinstance(page, dict) or not isinstance(page.get("items"), list):
                raise UnexpectedAnswer(f"{path} did not answer with a list.")
            yield from page["items"]
            following = page.get("next_cursor")
            if following is None:
                return
            if following == cursor:
                raise UnexpectedAnswer(f"{path} names the same page as the next one for ever.")
            cursor = following

    @contextmanager
    def stream(
        self, path: str, *, headers: Mapping[str, str], timeout: float = CONTENT_TIMEOUT
    ) -> Iterator[httpx.Response]:
        """GET with an unread body, one try; httpx.TransportError passes through."""
        with self._http.stream(
            "GET", path, headers=dict(headers), timeout=httpx.Timeout(timeout, connect=10.0)
        ) as response:
            if not response.is_success:
                response.read()
                raise problem_of(response)
            yield response

    def pause(self, attempt: int, retry_after: float | None, reason: str) -> None:
        """Wait before another try, and say so."""
        seconds = self.policy.pause(attempt, retry_after)
        if self._on_retry is not None:
            self._on_retry(Retrying(attempt, seconds, reason))
        self.sleep(seconds)

    def worth_another(self, problem: ApiProblem) -> bool:
        """Tell whether the same request may well succeed a little later."""
        if problem.retry_after is not None and problem.retry_after > self.policy.patience:
            return False
        # 409 idempotency_…: our first try is still being worked on
        still_creating = problem.status == 409 and problem.code.startswith("idempotency_")
        return problem.status in RETRIED or still_creating


def path_of(*parts: str) -> str:
    """Join path segments; whatever an id holds, it stays one segment."""
    if any(part in ("", ".", "..") for part in parts):
        raise InvalidAddress(f"{'/'.join(parts)!r} holds something that is not an id.")
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def decoded(response: httpx.Response) -> Any:
    """Return the JSON body."""
    try:
        return response.json()
    except ValueError as error:
        raise UnexpectedAnswer(
            f"{response.request.url.path} answered with something that is not JSON."
        ) from error


def problem_of(response: httpx.Response) -> ApiProblem:
    """Return the problem in a response that is not a success."""
    if response.is_redirect:
        return ApiProblem(
            status=response.status_code,
            code="unexpected_redirect",
            detail=f"The address points elsewhere: {response.headers.get('location', '?')}",
        )
    return ApiProblem.from_response(
        response, retry_after=retry_after_seconds(response.headers.get("retry-after"))
    )


def retry_after_seconds(value: str | None) -> float | None:
    """Read ``Retry-After``: seconds or an HTTP date (RFC 9110, 10.2.3); None when unreadable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _present(params: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not params:
        return None
    return {name: value for name, value in params.items() if value is not None}


def _checked_address(base_url: str) -> str:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise InvalidAddress(f"{base_url!r} is not an address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidAddress(f"{base_url!r} is not an http or https address.")
    if url.username or url.password or url.query or url.fragment:
        raise InvalidAddress("The address must hold no user, query or fragment.")
    return base_url.rstrip("/")


def _checked_key(api_key: str) -> str:
    key = api_key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidAddress("The API key holds characters that no key has.")
    return key


def _is_loopback(base_url: str) -> bool:
    host = httpx.URL(base_url).host
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
