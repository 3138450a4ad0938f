"""A process that crosses a threshold. Run as: alerting.py LEDGER WEBHOOK NUMBER MODE.

MODE ``cross``: wait for a line, make calls, close. ``exit``: the same without closing. ``die``: is
killed by the machine once the webhook has the alert in its hands. ``late``: only has a webhook.
"""

import os
import sys
import time
from datetime import timedelta

from llmcost_plugins.alerts import Webhook
from llmcost_plugins.budgets import Budget
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.pricing import CallSize, Catalog
from llmcost_plugins.pricing.sources import packaged_snapshot
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage

LEDGER, WEBHOOK, NUMBER, MODE = sys.argv[1:]
CALLS = 5


def main() -> None:
    """Do what the arguments say."""
    tracker = CostTracker(
        open_ledger(LEDGER),
        # 8 processes x 5 calls x $0.0035 are $0.14: half of it is crossed once, in the middle.
        [Budget("global", "0.14", "year", warn_at=["0.5"])],
        catalog=Catalog(packaged_snapshot()),
        hold_wait=timedelta(seconds=10),
        sinks=(),
        webhook=Webhook(WEBHOOK, "a-long-random-text", timedelta(seconds=20)),
    )
    os.write(1, b"ready\n")
    sys.stdin.readline()
    for n in range(20 if MODE == "die" else CALLS):
        call_id = f"{NUMBER}-{n}"
        call = tracker.start(CallSpec(call_id, "gpt-4o", "openai", CallSize(1000, 100)))
        call.finish(Usage(input=1000, output=100))
    if MODE == "die":
        os.write(1, b"crossed\n")
        time.sleep(60)
    if MODE == "cross":
        tracker.close()


main()
