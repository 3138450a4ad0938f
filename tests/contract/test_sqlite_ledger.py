from collections.abc import Iterator
from pathlib import Path

import pytest

from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.testing.ledger_contract import LedgerContract


class TestSQLiteLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Iterator[Ledger]:
        with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
            yield ledger
