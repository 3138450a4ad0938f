"""What the tests of pages share: overviews made of calls on given days."""

from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any

from llmcost_plugins.labels import Labels
from llmcost_plugins.ledger import Call, Ledger, Outcome, Status
from llmcost_plugins.ledger.memory import MemoryLedger
from llmcost_plugins.overview import Overview, overview
from llmcost_plugins.page import report_page
from llmcost_plugins.reporter import CostReporter
from llmcost_plugins.usage import Usage

NOW = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)


class Book:
    """A ledger that calls are written to, and pages are made of."""

    def __init__(self, zone: tzinfo = UTC) -> None:
        self.zone = zone
        self.ledger: Ledger = MemoryLedger()
        self._count = 0

    def add(self, at: datetime, cost: int, model: str = "m", **facts: Any) -> None:
        """Write a call that cost so many nano-dollars."""
        self._count += 1
        labels = Labels(
            {key: facts.pop(key) for key in list(facts) if key in {"feature", "team"}}, ()
        )
        call = Call(f"c{self._count}", at, model, model, "openai", labels, "")
        known: dict[str, Any] = {"status": Status.OK, "usage": Usage(input=10, output=1), **facts}
        self.ledger.record(call, Outcome(cost=cost, finished_at=at, **known), [])

    def overview(self, period: str = "month", now: datetime = NOW, **facts: Any) -> Overview:
        reporter = CostReporter(self.ledger, self.zone)
        return overview(reporter, reporter.report((), period, now=now), now=now, **facts)

    def page(self, period: str = "month", **facts: Any) -> str:
        return report_page(self.overview(period, **facts))


def nano(usd: str) -> int:
    return int(Decimal(usd) * 10**9)
