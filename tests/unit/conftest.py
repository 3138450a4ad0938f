from collections.abc import Iterator
from pathlib import Path

import pytest

from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.testing import FakeClock
from tests.unit.trackers import NOON


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        yield ledger
