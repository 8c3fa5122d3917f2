"""webhooks create, list, show, change, rotate, delete, test, deliveries, redeliver."""

from __future__ import annotations

import argparse

from api.client.records import Delivery, NewWebhook, Webhook
from api.commands.options import add_common
from api.commands.session import Session
from api.commands.terminal import table

EVENTS = ("job.succeeded", "job.failed", "job.canceled")
STATUSES = ("pending", "delivered", "failed")
MAX_SHOWN = 50


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("webhooks", help="have addresses told when jobs end")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    one = actions.add_parser("create", help="make a web hook; its secret is shown this once")
    one.add_argument("address", metavar="URL", help="https address of the receiver")
    _add_choices(one)
    _run(one, create)

    _run(actions.add_parser("list", help="list web hooks"), list_webhooks)

    one = actions.add_parser("change", help="change a web hook, or switch it on or off")
    _add_webhook(one)
    one.add_argument("--to", dest="address", metavar="URL", help="another receiver")
    _add_choices(one)
    state = one.add_mutually_exclusive_group()
    state.add_argument("--enable", dest="enabled", action="store_true", default=None)
    state.add_argument("--disable", dest="enabled", action="store_false")
    add_common(one)
    one.set_defaults(run=change)

    for name, run, text in (
        ("show", show, "show a web hook"),
        ("rotate", rotate, "replace the secret; for some hours both of them sign"),
        ("delete", delete, "delete a web hook with its deliveries"),
        ("test", test, "send a message of type ping"),
    ):
        one = actions.add_parser(name, help=text)
        _add_webhook(one)
        _run(one, run)

    one = actions.add_parser("deliveries", help="list what was sent, newest first")
    _add_webhook(one)
    one.add_argument("--status", choices=STATUSES)
    _run(one, deliveries)

    one = actions.add_parser("redeliver", help="send a message again")
    _add_webhook(one)
    one.add_argument("delivery_id", metavar="DELIVERY_ID")
    _run(one, redeliver)


def _add_webhook(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("webhook_id", metavar="WEBHOOK_ID")


def _add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="what it is for")
    parser.add_argument("--event", action="append", choices=EVENTS, help="default: all")
    parser.add_argument("--kind", action="append", metavar="KIND", help="job kind; default: all")


def _run(parser: argparse.ArgumentParser, run: object) -> None:
    add_common(parser)
    parser.set_defaults(run=run)


def create(args: argparse.Namespace, session: Session) -> int:
    """Make a web hook."""
    made = session.client.webhooks.create(
        args.address, name=args.name, events=args.event, kinds=args.kind
    )
    return _show_secret(session, made)


def rotate(args: argparse.Namespace, session: Session) -> int:
    """Replace the secret."""
    return _show_secret(session, session.client.webhooks.rotate(args.webhook_id))


def _show_secret(session: Session, made: NewWebhook) -> int:
    session.terminal.line(made.secret)
    session.terminal.say(f"The secret of {made.id} to {made.url}. It is not shown again.")
    session.terminal.document(made)
    return 0


def list_webhooks(_: argparse.Namespace, session: Session) -> int:
    """List web hooks."""
    found = list(session.client.webhooks.list())
    rows = [
        (w.id, w.url, " ".join(w.events), " ".join(w.kinds) or "all", state_of(w), w.pending)
        for w in found
    ]
    session.terminal.show(table(("id", "url", "events", "kinds", "state", "pending"), rows))
    session.terminal.document(found)
    return 0


def show(args: argparse.Namespace, session: Session) -> int:
    """Show one web hook."""
    return _show(session, session.client.webhooks.get(args.webhook_id))


def change(args: argparse.Namespace, session: Session) -> int:
    """Change what was given."""
    changed = session.client.webhooks.change(
        args.webhook_id,
        url=args.address,
        name=args.name,
        events=args.event,
        kinds=args.kind,
        enabled=args.enabled,
    )
    return _show(session, changed)


def _show(session: Session, webhook: Webhook) -> int:
    for name, value in (
        ("id", webhook.id),
        ("name", webhook.name),
        ("url", webhook.url),
        ("events", " ".join(webhook.events)),
        ("kinds", " ".join(webhook.kinds) or "all"),
        ("state", state_of(webhook)),
        ("pending", webhook.pending),
    ):
        session.terminal.line(f"{name:9} {value}")
    session.terminal.document(webhook)
    return 0


def state_of(webhook: Webhook) -> str:
    """Return whether messages go out, and if not, why."""
    if not webhook.enabled:
        return f"off: {webhook.disabled_reason}"
    if webhook.failing_since is not None:
        return f"failing since {webhook.failing_since:%Y-%m-%d %H:%M}"
    return "on"


def delete(args: argparse.Namespace, session: Session) -> int:
    """Delete a web hook."""
    session.client.webhooks.delete(args.webhook_id)
    session.terminal.line(f"deleted {args.webhook_id}")
    session.terminal.document({"deleted": args.webhook_id})
    return 0


def test(args: argparse.Namespace, session: Session) -> int:
    """Send a ping."""
    return _queued(session, session.client.webhooks.test(args.webhook_id))


def redeliver(args: argparse.Namespace, session: Session) -> int:
    """Send a message again."""
    return _queued(session, session.client.webhooks.redeliver(args.webhook_id, args.delivery_id))


def _queued(session: Session, delivery: Delivery) -> int:
    session.terminal.line(delivery.id)
    session.terminal.say(f"See how it went: dermsynth webhooks deliveries {delivery.webhook_id}")
    session.terminal.document(delivery)
    return 0


def deliveries(args: argparse.Namespace, session: Session) -> int:
    """List deliveries with what came of the last attempt."""
    found = list(session.client.webhooks.deliveries(args.webhook_id, status=args.status))
    shown = found[:MAX_SHOWN]
    rows = [(d.id, d.event, d.job_id, d.status, d.attempts, outcome_of(d)) for d in shown]
    session.terminal.show(table(("id", "event", "job", "status", "attempts", "last attempt"), rows))
    if len(found) > MAX_SHOWN:
        session.terminal.line(f"… and {len(found) - MAX_SHOWN} more (--json lists all)")
    session.terminal.document(found)
    return 0


def outcome_of(delivery: Delivery) -> str:
    """Return what came of the last attempt."""
    if not delivery.tries:
        return ""
    last = delivery.tries[-1]
    parts = (last.get("status_code"), last.get("error"), last.get("detail"))
    return " ".join(str(part) for part in parts if part is not None)
