"""Fixtures, opted into with `pytest_plugins = ["llmcost_plugins.testing.pytest_plugin"]`."""

from collections.abc import Iterator

import pytest

from llmcost_plugins.testing.provider import SimulatedProvider


@pytest.fixture
def simulated_provider() -> Iterator[SimulatedProvider]:
    """Run a fresh `SimulatedProvider` for one test."""
    with SimulatedProvider() as provider:
        yield provider
