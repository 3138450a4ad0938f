"""What the tests of the tracker's parts share."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from llmcost_plugins.budgets import Budget
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.pricing import CallSize, Catalog
from llmcost_plugins.pricing.sources import packaged_snapshot
from llmcost_plugins.tracker import CostTracker

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
CATALOG = Catalog(packaged_snapshot())
# gpt-4o: $2.50 and $10 per million tokens, so this call costs at most 1000 * 2500 + 100 * 10000.
SIZE = CallSize(1000, 100)
MOST = 3_500_000
_ids = count()


def make_tracker(ledger: Ledger, clock: Any, *budgets: Budget, **settings: Any) -> CostTracker:
    known = {"catalog": CATALOG, "clock": clock, "hold_wait": timedelta(0), **settings}
    return CostTracker(ledger, budgets, **known)


def spec(model: str = "gpt-4o", **facts: Any) -> CallSpec:
    known = {"id": f"id-{next(_ids)}", "provider": "openai", "size": SIZE, **facts}
    return CallSpec(model=model, **known)
