"""A tracker that is made again in another process."""

import pickle
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from llmcost_plugins import Budget, CostTracker
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.clock import utc_now
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.pricing import CallSize, Catalog
from llmcost_plugins.transfer import Transfer
from llmcost_plugins.usage import Usage


def _again(tracker: CostTracker) -> CostTracker:
    transfer: Transfer = pickle.loads(pickle.dumps(Transfer.of(tracker)))
    return transfer.tracker()


def test_it_counts_in_the_same_ledger_under_the_same_budgets(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}?sync=full")
    made = CostTracker(ledger, [Budget("global", 5, "month")], strict=True, hold_wait=timedelta(9))
    made.set_budget("user:*", "2", "day")
    other = _again(made)
    assert other.options == made.options
    assert {(b.scope, b.limit) for b in other.limits.own} == {
        ("global", Decimal(5)),
        ("user:*", Decimal(2)),
    }
    made.set_budget("team:a", "3", everywhere=True)
    assert "team:a" in {budget.scope for budget in other.limits.book(utc_now()).budgets}
    made.close()
    other.close()


def test_prices_of_a_file_are_the_same(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    line = "mine = {input_cost_per_token = 0.000001, output_cost_per_token = 0.000002}"
    prices.write_text(line, encoding="utf-8")
    made = CostTracker.from_env(ledger=f"sqlite:///{tmp_path / 'ledger.db'}", prices=prices)
    other = _again(made)
    assert other.catalog is made.catalog
    made.close()
    other.close()


def test_its_alerts_wait_in_the_ledger_for_the_process_with_the_webhook(tmp_path: Path) -> None:
    made = CostTracker.from_env(
        ledger=f"sqlite:///{tmp_path / 'ledger.db'}",
        budgets=[Budget("global", "0.01", "month", warn_at=("0.5",))],
    )
    other = _again(made)
    spec = CallSpec(id="one", model="gpt-4o", provider="openai", size=CallSize(0, 0))
    other.start(spec).finish(Usage(input=3000))
    assert made.ledger.next_alert(utc_now() - timedelta(minutes=1)) is not None
    made.close()
    other.close()


def test_a_ledger_in_memory_cannot_travel() -> None:
    with pytest.raises(ConfigurationError, match="in memory"):
        Transfer.of(CostTracker(open_ledger("memory://")))


def test_prices_made_in_code_cannot_travel(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    with pytest.raises(ConfigurationError, match="LLMCOST_PRICES"):
        Transfer.of(CostTracker(ledger, catalog=Catalog.load()))
    ledger.close()
