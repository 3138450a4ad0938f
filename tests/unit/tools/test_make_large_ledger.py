from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from llmcost_plugins import CostReporter
from llmcost_plugins.ledger.sqlite import SQLiteLedger
from tools.make_large_ledger import main

NOW = datetime(2026, 4, 1, tzinfo=UTC)
Make = Callable[[int], Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(count: int) -> Path:
        path = tmp_path / "ledger.db"
        assert main([str(path), str(count)]) == 0
        return path

    return made


def test_the_sums_agree_with_the_entries(make: Make) -> None:
    with SQLiteLedger(make(2345)) as ledger:
        assert ledger.upkeep.verify() == []
        reporter = CostReporter(ledger, UTC)
        kept = reporter.report(["model"], "2026-03", now=NOW)
        read = reporter.report(["model", "tag"], "2026-03", now=NOW)
    assert kept.total == read.total
    assert kept.total.calls == 2345
    assert {row.group[0]: row.average for row in kept.rows} == {
        "gpt-4o": Decimal("0.00175"),
        "gpt-4.1": Decimal("0.0014"),
        "gpt-4.1-mini": Decimal("0.00028"),
        "gpt-4o-mini": Decimal("0.000105"),
    }


def test_nothing_to_make_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path / "ledger.db"), "0"])
    assert not (tmp_path / "ledger.db").exists()
