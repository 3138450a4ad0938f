"""Every situation of `situations.py`: one entry, and what the provider billed."""

import gc

import pytest

from llmcost_plugins.testing import SimulatedProvider
from llmcost_plugins.usage import Trust
from tests.integration.raw.situations import SITUATIONS, Situation, World
from tests.support import MakeTracker, entries, held_nano, only, recorded_nano


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_it_leaves_one_entry_that_agrees_with_the_providers_bill(
    situation: Situation, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=100/day")
    world = World(provider, tracker)
    with world.stack:
        situation.play(world)
        gc.collect()
    provider.settled()

    usage = only(entries(tracker)).outcome.usage
    assert held_nano(tracker) == 0
    assert tracker.failures == 0
    if situation.outcome == "exact":
        assert recorded_nano(tracker) == provider.billed_nano
        assert usage.trust is Trust.PROVIDER
    else:
        assert recorded_nano(tracker) > 0
        assert provider.billed_nano <= recorded_nano(tracker)
        assert usage.trust is Trust.ESTIMATED


def test_there_are_at_least_fifty_situations_and_each_has_a_name_of_its_own() -> None:
    names = [situation.name for situation in SITUATIONS]
    assert len(set(names)) == len(names) >= 50
    assert all(situation.reason for situation in SITUATIONS if situation.outcome != "exact")
