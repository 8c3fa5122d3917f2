"""Web hooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from api.client.records import Delivery, NewWebhook, Webhook, parse
from api.client.transport import Transport, decoded, path_of


class Webhooks:
    """``/v1/webhooks``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Webhook]:
        items = self._transport.pages(path_of("webhooks"), limit=100)
        return (parse(Webhook, item) for item in items)

    def get(self, webhook_id: str) -> Webhook:
        return parse(Webhook, self._transport.get(path_of("webhooks", webhook_id)))

    def create(
        self,
        url: str,
        *,
        name: str | None = None,
        events: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
    ) -> NewWebhook:
        """Have an address told when jobs end; its secret is in the answer and never again."""
        chosen = _given(name=name, events=events, kinds=kinds)
        answer = self._transport.create(path_of("webhooks"), {"url": url, **chosen})
        return parse(NewWebhook, decoded(answer))

    def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        name: str | None = None,
        events: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Change what is given; the rest stays."""
        body = _given(url=url, name=name, events=events, kinds=kinds) | (
            {} if enabled is None else {"enabled": enabled}
        )
        path = path_of("webhooks", webhook_id)
        return parse(Webhook, decoded(self._transport.send("PATCH", path, json=body)))

    def delete(self, webhook_id: str) -> None:
        self._transport.send("DELETE", path_of("webhooks", webhook_id))

    def rotate(self, webhook_id: str) -> NewWebhook:
        """Replace the secret; for some hours messages carry signatures of both."""
        path = path_of("webhooks", webhook_id, "rotate")
        return parse(NewWebhook, decoded(self._transport.create(path)))

    def test(self, webhook_id: str) -> Delivery:
        """Send a message of type ``ping``."""
        path = path_of("webhooks", webhook_id, "test")
        return parse(Delivery, decoded(self._transport.create(path)))

    def deliveries(self, webhook_id: str, *, status: str | None = None) -> Iterator[Delivery]:
        """Yield deliveries, newest first."""
        path = path_of("webhooks", webhook_id, "deliveries")
        items = self._transport.pages(path, status=status, limit=100)
        return (parse(Delivery, item) for item in items)

    def delivery(self, webhook_id: str, delivery_id: str) -> Delivery:
        path = path_of("webhooks", webhook_id, "deliveries", delivery_id)
        return parse(Delivery, self._transport.get(path))

    def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Send a message again, whatever became of it."""
        path = path_of("webhooks", webhook_id, "deliveries", delivery_id, "redeliver")
        return parse(Delivery, decoded(self._transport.create(path)))


def _given(*, url: str | None = None, name: str | None, **lists: Sequence[str] | None) -> Any:
    texts = {"url": url, "name": name}
    chosen: dict[str, Any] = {key: text for key, text in texts.items() if text is not None}
    return chosen | {key: list(value) for key, value in lists.items() if value is not None}
