"""Every situation of `situations.py`: one entry a call, and what the provider billed."""

import asyncio
import gc
from typing import Any
from uuid import UUID

import pytest

from llmcost_langchain import CostCallbackHandler
from llmcost_plugins.testing import SimulatedProvider
from llmcost_plugins.usage import Trust
from tests.integration.langchain.situations import SITUATIONS, Situation, World
from tests.support import MakeTracker, entries, held_nano, recorded_nano

pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    # langchain-openai's own: for details that a provider leaves out, and in structured streams.
    pytest.mark.filterwarnings("ignore:Unexpected type for token usage:UserWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]


class Watcher(CostCallbackHandler):
    """Adds up what the calls that it sees are held for."""

    held = 0

    def on_chat_model_start(self, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        super().on_chat_model_start(*args, run_id=run_id, **kwargs)
        call = self._live.get(run_id)
        assert call is not None
        self.held += call.opened.estimate.nano


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
async def test_it_leaves_one_entry_a_call_that_agrees_with_the_providers_bill(
    situation: Situation, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=100/day")
    handler = Watcher(tracker)
    world = World(provider, tracker, [handler])
    with world.watched():
        await situation.play(world)
    await asyncio.to_thread(provider.settled)
    gc.collect()
    await asyncio.sleep(0)

    billed, recorded = provider.billed_nano, recorded_nano(tracker)
    trusts = {entry.outcome.usage.trust for entry in entries(tracker)}
    assert len(entries(tracker)) == situation.entries
    assert held_nano(tracker) == 0
    if situation.outcome == "exact":
        assert recorded == billed
        assert trusts == {Trust.PROVIDER}
    else:
        assert billed <= recorded <= handler.held
        assert Trust.ESTIMATED in trusts


def test_there_are_at_least_forty_situations_and_each_has_a_name_of_its_own() -> None:
    names = [situation.name for situation in SITUATIONS]
    assert len(set(names)) == len(names) >= 40
    assert all(situation.reason for situation in SITUATIONS if situation.outcome != "exact")
