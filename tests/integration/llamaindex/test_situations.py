"""Every situation of `situations.py`: one entry a call, and what the provider billed."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from llmcost_llamaindex import install, uninstall
from llmcost_plugins import CostTracker
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.testing import SimulatedProvider
from llmcost_plugins.usage import Trust
from tests.integration.llamaindex.situations import SITUATIONS, Situation, World
from tests.support import MakeTracker, entries, held_nano, recorded_nano

# All of others: LlamaIndex's agents, Google's and Anthropic's clients, LiteLLM.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'output_format' parameter:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Item 'summary' on TypedDict class:UserWarning"),
]


@pytest.fixture(autouse=True, scope="module")
def _left_behind() -> Iterator[None]:
    """Let the databases of workflows go while their warnings are ignored."""
    yield
    gc.unfreeze()
    gc.collect()


@pytest.fixture(autouse=True)
def _short_collections() -> None:
    """Keep what is older than the test out of the collections that it asks for."""
    gc.freeze()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What each call that was sent was held for."""
    amounts: list[int] = []
    start, astart = CostTracker.start, CostTracker.astart

    def noting(tracker: CostTracker, spec: CallSpec) -> OpenCall:
        opened = start(tracker, spec)
        amounts.append(opened.estimate.nano)
        return opened

    async def anoting(tracker: CostTracker, spec: CallSpec) -> OpenCall:
        opened = await astart(tracker, spec)
        amounts.append(opened.estimate.nano)
        return opened

    monkeypatch.setattr(CostTracker, "start", noting)
    monkeypatch.setattr(CostTracker, "astart", anoting)
    return amounts


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
async def test_it_leaves_one_entry_a_call_that_agrees_with_the_providers_bill(
    situation: Situation, make_tracker: MakeTracker, provider: SimulatedProvider, held: list[int]
) -> None:
    tracker = make_tracker("global=100/day")
    world = World(provider)
    install(tracker)
    try:
        async with world.watched():
            await situation.play(world)
        await asyncio.to_thread(provider.settled)
        gc.collect()
        await asyncio.sleep(0)
    finally:
        uninstall()

    billed, recorded = provider.billed_nano, recorded_nano(tracker)
    trusts = {entry.outcome.usage.trust for entry in entries(tracker)}
    assert len(entries(tracker)) == situation.entries
    assert held_nano(tracker) == 0
    assert tracker.failures == 0
    if situation.outcome == "exact":
        assert recorded == billed
        assert trusts <= {Trust.PROVIDER}
    else:
        assert billed <= recorded
        assert Trust.ESTIMATED in trusts
        assert not situation.held or recorded <= sum(held)


def test_there_are_at_least_thirty_situations_and_each_has_a_name_of_its_own() -> None:
    names = [situation.name for situation in SITUATIONS]
    assert len(set(names)) == len(names) >= 30
    assert all(situation.reason for situation in SITUATIONS if situation.outcome != "exact")
