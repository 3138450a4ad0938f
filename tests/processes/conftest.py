"""The provider that real processes call, and the switch for the long runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmcost_plugins.testing import SimulatedProvider
from llmcost_plugins.testing.behavior import Behavior
from tests.processes.fleet import Fleet


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--long", default=False))


@pytest.fixture
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider() as provider:
        provider.behave("*", Behavior(delay=0.01))
        yield provider


@pytest.fixture
def fleet(tmp_path: Path, provider: SimulatedProvider) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, provider)
    yield fleet
    fleet.kill_all()
