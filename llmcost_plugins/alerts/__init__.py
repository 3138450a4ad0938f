"""Who is told of budgets: sinks in this process, and a webhook that hears of each thing once."""

from llmcost_plugins.alerts.events import BudgetEvent, Kind, Sink, log_event, tell
from llmcost_plugins.alerts.outbox import Outbox, payload_of
from llmcost_plugins.alerts.webhook import NotDelivered, Webhook, signature, webhook_of

__all__ = [
    "BudgetEvent",
    "Kind",
    "NotDelivered",
    "Outbox",
    "Sink",
    "Webhook",
    "log_event",
    "payload_of",
    "signature",
    "tell",
    "webhook_of",
]
