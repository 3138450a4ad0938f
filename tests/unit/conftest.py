import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.testing import FakeClock
from tests.unit.trackers import NOON

_NOBODY = 65534


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        yield ledger


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """Give a folder, and take away the rights of root, who may write everywhere."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        if os.geteuid() != 0:
            yield folder
            return
        os.seteuid(_NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(0)
