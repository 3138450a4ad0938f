from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmcost_plugins.cli.price_check import price_findings
from llmcost_plugins.cli.price_records import Finding
from llmcost_plugins.labels import Labels
from llmcost_plugins.ledger import Call, Ledger, Outcome, Status, open_ledger
from llmcost_plugins.pricing import Catalog
from llmcost_plugins.pricing.sources import packaged_snapshot
from llmcost_plugins.usage import Trust, Usage

NOW = datetime(2026, 11, 24, tzinfo=UTC)
CATALOG = Catalog(packaged_snapshot())
SEARCHED = {"web_search": 1, "pages": 2}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", UTC) as opened:
        yield opened


def record(ledger: Ledger, name: str, model: str, usage: Usage, provider: str = "openai") -> None:
    call = Call(name, NOW, model, model, provider, Labels(), name)
    ledger.settle(call, Outcome(Status.OK, usage, 0, NOW))


def test_a_meter_without_a_price_is_found_with_its_calls(ledger: Ledger) -> None:
    for name in ("one", "two"):
        record(ledger, name, "gpt-4", Usage(input=5, other=SEARCHED, trust=Trust.UNPRICED))
    record(ledger, "three", "gpt-4", Usage(input=5))
    record(ledger, "four", "gpt-4o", Usage(input=5))
    assert list(price_findings(ledger, CATALOG)) == [
        Finding("gpt-4", "openai", 2, "unpriced", "it has no price for web_search"),
        Finding("gpt-4", "openai", 2, "unpriced", "it has no price for pages"),
    ]


def test_what_has_got_a_price_since_it_was_recorded_is_no_finding(ledger: Ledger) -> None:
    record(ledger, "one", "gpt-4o", Usage(input=5, trust=Trust.UNPRICED))
    assert list(price_findings(ledger, CATALOG)) == []


def test_a_model_without_a_known_provider_is_looked_for_by_its_name(ledger: Ledger) -> None:
    record(ledger, "one", "gpt-4o", Usage(input=5), "unknown")
    record(ledger, "two", "gpt-99", Usage(input=5), "unknown")
    assert [finding.model for finding in price_findings(ledger, CATALOG)] == ["gpt-99"]
