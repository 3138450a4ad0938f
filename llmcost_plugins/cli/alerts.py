"""``llmcost alerts``: what was and is to be told over the network; try it, and send what waits."""

import json
from datetime import UTC

import click

from llmcost_plugins.alerts import (
    BudgetEvent,
    Kind,
    NotDelivered,
    Outbox,
    Webhook,
    payload_of,
    webhook_of,
)
from llmcost_plugins.budgets import WARN_AT, Unit
from llmcost_plugins.cli.lazy_group import Group
from llmcost_plugins.cli.options import format_option, say_if_empty
from llmcost_plugins.clock import utc_now
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger import Alert, open_ledger
from llmcost_plugins.money import NANO_PER_USD
from llmcost_plugins.settings import Settings
from llmcost_plugins.tables import Format, Record, plain_console, plain_table, show

_NOT_ARRIVED = 1


@click.group(cls=Group)
def alerts() -> None:
    """What budgets have reached, and whether the webhook was told of it."""


@alerts.command(name="list")
@format_option
def list_command(form: str) -> None:
    """Show all alerts, sent and waiting, oldest first."""
    settings = Settings.from_env()
    with open_ledger(settings.ledger, settings.timezone) as store:
        found = store.alerts() if store.exists() else []
        say_if_empty(store, settings)
    table = plain_table("Alerts")
    for heading in ("At (UTC)", "What", "Sent (UTC)", "Tries", "Failure"):
        table.add_column(heading, overflow="fold")
    for alert in found:
        sent = f"{alert.sent_at:%Y-%m-%d %H:%M}" if alert.sent_at else "waits"
        what = str(json.loads(alert.payload)["text"])
        row = f"{alert.at:%Y-%m-%d %H:%M}", what, sent, str(alert.tries), alert.failure or "-"
        table.add_row(*row)
    show([_record(alert) for alert in found], lambda: table, Format(form), plain_console())


@alerts.command(name="test")
def test_command() -> int:
    """Send one made-up alert now. The exit status is 1 when it does not arrive."""
    webhook = _webhook(Settings.from_env())
    now = utc_now().astimezone(UTC)
    limit = 10 * NANO_PER_USD
    spent = int(limit * WARN_AT[0])
    event = BudgetEvent(
        Kind.THRESHOLD, "test", "day", Unit.USD, limit, spent, now, threshold=WARN_AT[0]
    )
    try:
        webhook.send(f"test|{now.isoformat()}", payload_of(event), now)
    except NotDelivered as error:
        click.echo(f"it did not arrive: {error}", err=True)
        return _NOT_ARRIVED
    click.echo(f"{webhook.host} has taken it", err=True)
    return 0


@alerts.command(name="flush")
def flush_command() -> int:
    """Send what waits and is due, however old. The exit status is 1 when some did not arrive."""
    settings = Settings.from_env()
    webhook = _webhook(settings)
    with open_ledger(settings.ledger, settings.timezone) as store:
        say_if_empty(store, settings)
        if not store.exists():
            return 0
        before = {_identity(alert) for alert in store.alerts() if alert.sent_at is None}
        Outbox(store, webhook, utc_now).deliver()
        waiting = [alert for alert in store.alerts() if alert.sent_at is None]
    sent = len(before - {_identity(alert) for alert in waiting})
    click.echo(f"{sent} sent, {len(waiting)} waiting", err=True)
    for alert in waiting:
        due = f"{alert.due_at:%Y-%m-%d %H:%M:%S} UTC"
        click.echo(f"due again at {due}: {alert.failure or 'another process is at it'}", err=True)
    return _NOT_ARRIVED if waiting else 0


def _webhook(settings: Settings) -> Webhook:
    webhook = webhook_of(settings)
    if webhook is None:
        msg = (
            "no webhook is set; a good value is "
            "LLMCOST_ALERT_WEBHOOK='https://alerts.example.com/llmcost'"
        )
        raise ConfigurationError(msg)
    return webhook


def _identity(alert: Alert) -> tuple[str, str]:
    return alert.bucket, alert.threshold


def _record(alert: Alert) -> Record:
    facts = json.loads(alert.payload)
    del facts["version"]
    return {
        **facts,
        "tries": alert.tries,
        "sent_at": alert.sent_at.isoformat() if alert.sent_at else None,
        "failure": alert.failure,
    }
