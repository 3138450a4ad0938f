"""Event streams of version 3: counted once, whatever becomes of them."""

import asyncio
from typing import Any

import pytest

from llmcost_langchain import BudgetExceeded, CostCallbackHandler
from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.usage import Trust
from tests.support import (
    MakeModel,
    MakeTracker,
    entries,
    held_nano,
    only,
    recorded_nano,
    statuses,
)

WIDE = "global=10/day"
pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def test_a_stream_that_is_read_to_its_end_is_recorded_exactly(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(WIDE)
    handler = CostCallbackHandler(tracker)
    stream = make_model().stream_events("a", {"callbacks": [handler]}, version="v3")
    assert provider.requests == []
    assert str(stream.output.text)
    assert statuses(tracker) == ["ok"]
    assert recorded_nano(tracker) == provider.billed_nano > 0
    assert only(entries(tracker)).outcome.usage.trust is Trust.PROVIDER


async def test_an_async_stream_that_is_awaited_is_recorded_exactly(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(WIDE)
    handler = CostCallbackHandler(tracker)
    await (await make_model().astream_events("a", {"callbacks": [handler]}, version="v3"))
    assert statuses(tracker) == ["ok"]
    assert recorded_nano(tracker) == provider.billed_nano > 0


def test_an_output_taken_right_before_the_event_loop_ends_is_recorded_exactly(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(WIDE)
    handler = CostCallbackHandler(tracker)

    async def main() -> Any:
        stream = await make_model().astream_events("a", {"callbacks": [handler]}, version="v3")
        # LangChain reports CancelledError for the producer that this leaves behind.
        return await stream.output

    assert asyncio.run(main()).text
    assert recorded_nano(tracker) == provider.billed_nano > 0
    assert held_nano(tracker) == 0


def test_a_stream_without_usage_is_estimated_from_its_events(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(WIDE)
    handler = CostCallbackHandler(tracker)
    model = make_model(stream_usage=False)
    assert model.stream_events("a", {"callbacks": [handler]}, version="v3").output.text
    usage = only(entries(tracker)).outcome.usage
    assert usage.trust is Trust.ESTIMATED
    assert usage.output < 200, "estimated from what arrived, not from the cap"
    assert provider.billed_nano <= recorded_nano(tracker)


async def test_a_stream_that_is_closed_early_is_recorded_with_at_least_what_was_billed(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(completion_tokens=100, chunk_delay=0.1))
    tracker = make_tracker(WIDE)
    handler = CostCallbackHandler(tracker)
    stream = await make_model().astream_events("a", {"callbacks": [handler]}, version="v3")
    async for _ in stream.text:
        break
    await stream.aclose()
    await asyncio.to_thread(provider.settled)
    assert statuses(tracker) == ["aborted"]
    assert held_nano(tracker) == 0
    assert provider.billed_nano <= recorded_nano(tracker)


async def test_a_consumer_that_leaves_a_stream_running_pays_for_all_of_it(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(completion_tokens=20, chunk_delay=0.01))
    tracker = make_tracker(WIDE)
    handler = CostCallbackHandler(tracker)

    async def read_one() -> Any:
        stream = await make_model().astream_events("a", {"callbacks": [handler]}, version="v3")
        async for _ in stream.text:
            break
        return stream

    stream = await asyncio.create_task(read_one())
    await stream
    assert statuses(tracker) == ["ok"]
    assert recorded_nano(tracker) == provider.billed_nano


def test_a_refused_stream_sends_nothing(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=0.000001/day")
    handler = CostCallbackHandler(tracker)
    stream = make_model().stream_events("a", {"callbacks": [handler]}, version="v3")
    with pytest.raises(BudgetExceeded):
        _ = stream.output
    assert provider.requests == []
