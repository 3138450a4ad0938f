from collections.abc import Callable
from datetime import tzinfo

import pytest

from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.testing.ledger_contract import LedgerContract


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def make_ledger(self) -> Callable[[tzinfo], Ledger]:
        return lambda zone: open_ledger("memory://", zone)
