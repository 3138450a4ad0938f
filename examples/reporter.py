"""Record calls made elsewhere, and ask who spent what."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from llmcost_plugins import CostReporter, CostTracker, Usage

with tempfile.TemporaryDirectory() as folder:
    tracker = CostTracker.from_env(ledger=f"sqlite:///{Path(folder) / 'ledger.db'}")
    for number, user in enumerate(["anna", "ben", "anna"]):
        usage = Usage(input=1000, output=100)
        tracker.record_usage("gpt-4o", usage, request_id=f"batch-{number}", user=user)
    report = CostReporter(tracker.ledger, UTC).report(["user"], "month", now=datetime.now(UTC))
    for row in report.rows:
        print(f"{row.group[0]}: {row.cost} USD in {row.calls} calls")
    total = report.total
    print(f"in all: {total.cost} USD, {total.average} a call; saved {tracker.savings().total}")
    tracker.close()
