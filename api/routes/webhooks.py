"""``/v1/webhooks``: who is told when jobs end, and what became of each message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.answers import answered, json_response
from api.deps import ApiRoute, JobsRead, JobsWrite, Requires
from api.idempotency import OnceDep
from api.ids import DeliveryId, WebhookId
from api.pagination import PageDep, paged
from api.schemas import webhooks as schemas
from core.db.models import Webhook
from core.db.repositories import webhooks as rows
from core.db.repositories.access import newest_first, owned
from core.db.session import sessions
from core.services import webhooks as service
from core.services.idempotency import Answer, Once, once
from core.services.principal import Principal
from core.services.transaction import transaction
from core.services.webhooks import Wanted

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=ApiRoute)

# what is sent tells of jobs: who has it sent must be allowed to read them
READS = [Depends(Requires("jobs:read"))]


def _view(session: Session, webhook: Webhook) -> dict[str, Any]:
    return service.view(webhook, rows.pending(session, [webhook.id]).get(webhook.id, 0))


def _with_secret(
    principal: Principal, wish: Once | None, status: int, make: Callable[[Session], Webhook]
) -> Response:
    """Answer with a fresh secret; the answer that is kept for a repetition holds it sealed."""
    with transaction(sessions()) as session:

        def answer() -> Answer:
            webhook = make(session)
            body = {**_view(session, webhook), "secret": webhook.secret}
            return Answer(status, {"Location": f"/v1/webhooks/{webhook.id}"}, body)

        kept, _ = once(session, principal, wish, answer)
    shown = {**kept.body, "secret": service.opened(kept.body["secret"])}
    return json_response(shown, status, {**kept.headers, "Cache-Control": "no-store"})


@router.post(
    "",
    operation_id="webhooks_create",
    response_model=schemas.WebhookSecret,
    status_code=201,
    dependencies=READS,
)
def create(principal: JobsWrite, wish: OnceDep, body: schemas.NewWebhook) -> Response:
    """Have an address told when jobs end (Standard Webhooks); the secret is shown this once.

    Messages are signed POSTs of `{type, timestamp, data}`, sent at least once: `webhook-id` tells
    repetitions. Only jobs without a parent are told of.
    """
    wanted = Wanted(**body.model_dump())
    return _with_secret(principal, wish, 201, lambda s: service.create(s, principal, wanted)[0])


@router.get("", operation_id="webhooks_list", response_model=schemas.WebhookPage)
def list_webhooks(principal: JobsRead, page: PageDep) -> Response:
    """List web hooks, newest first."""
    with sessions()() as session:
        found = newest_first(session, principal, Webhook, page.text(), page.limit + 1)
        waiting = rows.pending(session, [row.id for row in found])
    return json_response(
        paged(found, page, lambda r: service.view(r, waiting.get(r.id, 0)), lambda r: r.id)
    )


@router.get("/{webhook_id}", operation_id="webhooks_get", response_model=schemas.Webhook)
def get(principal: JobsRead, webhook_id: WebhookId) -> Response:
    """Return a web hook, without its secret."""
    with sessions()() as session:
        body = _view(session, owned(session, principal, Webhook, webhook_id, "webhook"))
    return json_response(body)


@router.patch(
    "/{webhook_id}",
    operation_id="webhooks_change",
    response_model=schemas.Webhook,
    dependencies=READS,
)
def change(principal: JobsWrite, webhook_id: WebhookId, body: schemas.WebhookChange) -> Response:
    """Change a web hook, or switch it on again; what failed meanwhile can be sent again."""
    with transaction(sessions()) as session:
        webhook = rows.locked(session, principal, webhook_id)
        service.change(session, principal, webhook, Wanted(**body.model_dump()))
        shown = _view(session, webhook)
    return json_response(shown)


@router.delete(
    "/{webhook_id}", operation_id="webhooks_delete", status_code=204, response_class=Response
)
def delete(principal: JobsWrite, webhook_id: WebhookId) -> Response:
    """Delete a web hook with its deliveries."""
    with transaction(sessions()) as session:
        service.remove(session, principal, rows.locked(session, principal, webhook_id))
    return Response(status_code=204)


@router.post(
    "/{webhook_id}/rotate", operation_id="webhooks_rotate", response_model=schemas.WebhookSecret
)
def rotate(principal: JobsWrite, webhook_id: WebhookId, wish: OnceDep) -> Response:
    """Replace the secret; for some hours messages are signed with both."""

    def make(session: Session) -> Webhook:
        webhook = rows.locked(session, principal, webhook_id)
        service.rotate(session, principal, webhook)
        return webhook

    return _with_secret(principal, wish, 200, make)


@router.post(
    "/{webhook_id}/test",
    operation_id="webhooks_test",
    response_model=schemas.Delivery,
    status_code=202,
)
def test(principal: JobsWrite, webhook_id: WebhookId, wish: OnceDep) -> Response:
    """Send a message of type `ping`; its delivery tells how it went."""
    with transaction(sessions()) as session:

        def make() -> Answer:
            webhook = rows.locked(session, principal, webhook_id)
            return _queued(service.delivery_view(service.test(session, principal, webhook)))

        answer, _ = once(session, principal, wish, make)
    return answered(answer)


def _queued(delivery: dict[str, Any]) -> Answer:
    here = f"/v1/webhooks/{delivery['webhook_id']}/deliveries/{delivery['id']}"
    return Answer(202, {"Location": here, "Retry-After": "1"}, delivery)


@router.get(
    "/{webhook_id}/deliveries",
    operation_id="webhooks_list_deliveries",
    response_model=schemas.DeliveryPage,
)
def list_deliveries(
    principal: JobsRead,
    webhook_id: WebhookId,
    page: PageDep,
    status: Annotated[schemas.DeliveryStatus | None, Query()] = None,
) -> Response:
    """List the deliveries of a web hook, newest first, with their last attempts."""
    with sessions()() as session:
        webhook = owned(session, principal, Webhook, webhook_id, "webhook")
        found = rows.newest_deliveries(session, webhook, status, page.text(), page.limit + 1)
    return json_response(paged(found, page, service.delivery_view, lambda row: row.id))


@router.get(
    "/{webhook_id}/deliveries/{delivery_id}",
    operation_id="webhooks_get_delivery",
    response_model=schemas.Delivery,
)
def get_delivery(principal: JobsRead, webhook_id: WebhookId, delivery_id: DeliveryId) -> Response:
    """Return one delivery."""
    with sessions()() as session:
        webhook = owned(session, principal, Webhook, webhook_id, "webhook")
        body = service.delivery_view(rows.delivery_of(session, webhook, delivery_id))
    return json_response(body)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    operation_id="webhooks_redeliver",
    response_model=schemas.Delivery,
    status_code=202,
)
def redeliver(
    principal: JobsWrite, webhook_id: WebhookId, delivery_id: DeliveryId, wish: OnceDep
) -> Response:
    """Send a message again, whatever became of it; its id stays the same."""
    with transaction(sessions()) as session:

        def make() -> Answer:
            webhook = rows.locked(session, principal, webhook_id)
            delivery = rows.delivery_of(session, webhook, delivery_id)
            service.redeliver(session, principal, webhook, delivery)
            return _queued(service.delivery_view(delivery))

        answer, _ = once(session, principal, wish, make)
    return answered(answer)
