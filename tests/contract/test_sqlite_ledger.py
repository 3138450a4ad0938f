from collections.abc import Callable
from datetime import tzinfo
from pathlib import Path

import pytest

from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.testing.ledger_contract import LedgerContract


class TestSQLiteLedger(LedgerContract):
    @pytest.fixture
    def make_ledger(self, tmp_path: Path) -> Callable[[tzinfo], Ledger]:
        return lambda zone: open_ledger(f"sqlite:///{tmp_path}/ledger.db", zone)
