"""The router's own cache: peeks before holding, serves streams, joins identical requests."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from openai import BadRequestError, InternalServerError
from pydantic import BaseModel

from llmcost_langchain import CompletionCache, CostCallbackHandler, FallbackRouter
from llmcost_plugins import CostTracker
from llmcost_plugins.cache import CompletionCache as CoreCache
from llmcost_plugins.cache.shared import forget_shared_cache
from llmcost_plugins.errors import BudgetExceeded, ConfigurationError
from llmcost_plugins.labels import attribute
from llmcost_plugins.money import usd_to_nano
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.support import MakeModel, MakeTracker, entries, recorded_nano, statuses

BILLED = Behavior(prompt_tokens=900, cached_tokens=512, completion_tokens=60)


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


@pytest.fixture
def core(tmp_path: Path) -> Iterator[CoreCache]:
    made = CoreCache(tmp_path / "cache", ttl=timedelta(days=1))
    yield made
    made.close()


@pytest.fixture
def cache(core: CoreCache) -> CompletionCache:
    return CompletionCache(core)


@pytest.fixture
def router(make_model: MakeModel, tracker: CostTracker, cache: CompletionCache) -> FallbackRouter:
    return FallbackRouter(models=[make_model()], tracker=tracker, cache=cache)


def test_a_hit_asks_nobody_and_is_recorded_with_what_it_saved(
    router: FallbackRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", BILLED)
    handler = CostCallbackHandler(tracker)
    first = router.invoke("hello", {"callbacks": [handler]})
    again = router.invoke("hello", {"callbacks": [handler]})
    assert len(provider.requests) == 1
    assert statuses(tracker) == ["ok", "cached"]
    bought, hit = (entry.outcome for entry in entries(tracker))
    assert (hit.cost, hit.saved) == (0, bought.cost)
    assert recorded_nano(tracker) == provider.billed_nano == bought.cost
    assert again.content == first.content
    assert again.usage_metadata == first.usage_metadata
    assert again.id != first.id
    assert again.response_metadata["llmcost_cache"]["hit"] is True
    assert again.response_metadata["llmcost"]["cost_usd"] == "0"
    assert handler.calls == 2
    assert usd_to_nano(handler.saved) == hit.saved > 0


def test_a_hit_needs_no_budget(
    make_model: MakeModel,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    cache: CompletionCache,
) -> None:
    tracker = make_tracker("global=0.0000001/day:raise")
    paid = make_tracker("", ledger="memory://")
    FallbackRouter(models=[make_model()], tracker=paid, cache=cache).invoke("hello")
    router = FallbackRouter(models=[make_model()], tracker=tracker, cache=cache)
    assert router.invoke("hello").content
    with pytest.raises(BudgetExceeded):
        router.invoke("something else")
    assert len(provider.requests) == 1
    assert statuses(tracker) == ["cached", "refused"]


def test_an_answer_of_a_call_is_streamed_and_one_of_a_stream_is_given_whole(
    router: FallbackRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", BILLED)
    said = router.invoke("one")
    chunks = list(router.stream("one"))
    assert len(chunks) > 1
    whole = chunks[0] + chunks[1:]
    assert whole.content == said.content
    assert whole.usage_metadata == said.usage_metadata
    streamed = list(router.stream("two"))
    again = router.invoke("two")
    assert again.content == (streamed[0] + streamed[1:]).content
    assert len(provider.requests) == 2
    assert statuses(tracker) == ["ok", "cached", "ok", "cached"]


def without_marks(metadata: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if not key.startswith("llmcost")}


@pytest.mark.parametrize("tools", [False, True])
@pytest.mark.parametrize("in_async", [False, True])
async def test_a_replayed_streams_sum_equals_the_originals(
    router: FallbackRouter,
    tracker: CostTracker,
    provider: SimulatedProvider,
    tools: bool,
    in_async: bool,
) -> None:
    provider.behave("*", BILLED)
    model: Any = router.bind_tools([weather], tool_choice="weather") if tools else router

    async def sum_of_stream() -> Any:
        if in_async:
            chunks = [chunk async for chunk in model.astream("hello")]
        else:
            chunks = list(model.stream("hello"))
        assert chunks[-1].chunk_position == "last"
        assert len({chunk.id for chunk in chunks}) == 1
        return chunks[0] + chunks[1:]

    original, replayed = await sum_of_stream(), await sum_of_stream()
    assert len(provider.requests) == 1
    assert bool(original.tool_calls) is tools
    for field in ("content", "tool_calls", "tool_call_chunks", "usage_metadata"):
        assert getattr(replayed, field) == getattr(original, field), field
    assert replayed.additional_kwargs == original.additional_kwargs
    assert without_marks(replayed.response_metadata) == without_marks(original.response_metadata)
    assert "llmcost_cache" in replayed.response_metadata
    assert replayed.response_metadata["llmcost"]["cost_usd"] == "0"
    assert replayed.id != original.id
    assert statuses(tracker) == ["ok", "cached"]


def test_a_stream_that_was_left_is_not_stored(
    router: FallbackRouter, provider: SimulatedProvider
) -> None:
    stream = router.stream("hello")
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # a generator
    assert len(list(router.stream("hello"))) > 1
    assert len(provider.requests) == 2


def test_a_truncated_stream_is_not_stored(
    make_model: MakeModel,
    tracker: CostTracker,
    provider: SimulatedProvider,
    cache: CompletionCache,
) -> None:
    provider.behave("*", Behavior(completion_tokens=50))
    router = FallbackRouter(models=[make_model(max_tokens=2)], tracker=tracker, cache=cache)
    for _ in range(2):
        list(router.stream("hello"))
    assert len(provider.requests) == 2
    assert cache.core.counts.skipped == {"truncated": 2}


def test_an_error_is_not_stored(router: FallbackRouter, provider: SimulatedProvider) -> None:
    provider.behave("*", Behavior(status=500), times=1)
    with pytest.raises(InternalServerError):
        router.invoke("hello")
    assert router.invoke("hello").content
    assert len(provider.requests) == 2


def test_several_choices_come_back_whole(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider, cache: CompletionCache
) -> None:
    router = FallbackRouter(models=[make_model(n=3)], tracker=tracker, cache=cache)
    prompt: list[BaseMessage] = [HumanMessage("hello")]
    first, again = (router.generate([prompt]).generations[0] for _ in range(2))
    assert len(provider.requests) == 1
    assert [one.text for one in again] == [one.text for one in first]
    assert len(again) == 3


def test_what_one_call_says_wins(router: FallbackRouter, provider: SimulatedProvider) -> None:
    router.invoke("hello")
    router.invoke("hello", cache=False)
    assert len(provider.requests) == 2
    assert all("cache" not in request.body for request in provider.requests)
    for _ in range(2):
        router.invoke("hello", temperature=0.7)
    assert len(provider.requests) == 4
    for _ in range(2):
        router.invoke("hello", temperature=0.7, cache=True)
    assert len(provider.requests) == 5


def test_results_of_tools_are_not_answered_from_the_cache(
    router: FallbackRouter, core: CoreCache, provider: SimulatedProvider
) -> None:
    call = {"name": "weather", "args": {"city": "Rome"}, "id": "call_1", "type": "tool_call"}
    prompt = [
        HumanMessage("weather?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("sunny", tool_call_id="call_1"),
    ]
    router.invoke(prompt)
    router.invoke(prompt)
    assert len(provider.requests) == 2
    assert core.counts.skipped == {"results of tools": 2}
    router.invoke([*prompt, AIMessage("sunny"), HumanMessage("and Oslo?")])
    router.invoke([*prompt, AIMessage("sunny"), HumanMessage("and Oslo?")])
    assert len(provider.requests) == 3


def test_ids_of_messages_and_tool_calls_do_not_matter(
    router: FallbackRouter, provider: SimulatedProvider
) -> None:
    for name in ("one", "two"):
        call = {"name": "weather", "args": {"city": "Rome"}, "id": name, "type": "tool_call"}
        router.invoke(
            [
                HumanMessage("weather?", id=f"h-{name}"),
                AIMessage("", tool_calls=[call], id=f"a-{name}"),
                ToolMessage("sunny", tool_call_id=name, id=f"t-{name}"),
                HumanMessage("thanks", id=name),
            ]
        )
    assert len(provider.requests) == 1


def test_a_key_or_a_timeout_changes_nothing_and_an_endpoint_does(
    make_model: MakeModel,
    tracker: CostTracker,
    provider: SimulatedProvider,
    cache: CompletionCache,
) -> None:
    def ask(**options: Any) -> None:
        models = [make_model(**options)]
        FallbackRouter(models=models, tracker=tracker, cache=cache).invoke("hello")

    ask()
    ask(timeout=7, max_retries=1, default_headers={"x": "y"}, tags=["t"], metadata={"m": 1})
    assert len(provider.requests) == 1
    ask(base_url=f"{provider.base_url}/")
    ask(temperature=0)
    ask(seed=1)
    ask(max_tokens=201)
    ask(extra_body={"top_k": 3})
    assert len(provider.requests) >= 5


# Older versions of langchain-openai warn so about the answers of their own client.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
def test_two_schemas_of_one_name_do_not_share_an_answer(
    router: FallbackRouter, provider: SimulatedProvider
) -> None:
    def schema(**fields: Any) -> type[BaseModel]:
        return type("Answer", (BaseModel,), {"__annotations__": fields})

    router.with_structured_output(schema(city=str), method="json_schema").invoke("hello")
    router.with_structured_output(schema(city=str), method="json_schema").invoke("hello")
    assert len(provider.requests) == 1
    router.with_structured_output(schema(city=str, area=int), method="json_schema").invoke("hello")
    assert len(provider.requests) == 2


def test_labels_in_the_namespace_keep_teams_apart(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider, tmp_path: Path
) -> None:
    core = CoreCache(tmp_path / "cache", ttl=timedelta(days=1), namespace="acme/{team}")
    router = FallbackRouter(models=[make_model()], tracker=tracker, cache=CompletionCache(core))
    for team in ("a", "b", "a"):
        with attribute(team=team):
            router.invoke("hello")
    core.close()
    assert len(provider.requests) == 2


def test_a_rule_keeps_calls_out_of_the_cache(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider, tmp_path: Path
) -> None:
    core = CoreCache(tmp_path / "cache", ttl=timedelta(days=1), skip=["feature:legal"])
    router = FallbackRouter(models=[make_model()], tracker=tracker, cache=CompletionCache(core))
    with attribute(feature="legal"):
        router.invoke("hello")
        router.invoke("hello")
    router.invoke("hello")
    router.invoke("hello")
    assert core.counts.skipped == {"a rule says so": 2}
    core.close()
    assert len(provider.requests) == 3


def test_the_environment_turns_the_cache_on(
    make_model: MakeModel,
    tracker: CostTracker,
    provider: SimulatedProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLMCOST_CACHE_DIR", str(tmp_path / "cache"))
    router = FallbackRouter(models=[make_model()], tracker=tracker)
    forget_shared_cache()
    try:
        for _ in range(2):
            router.invoke("hello")
        assert len(provider.requests) == 2
        assert not (tmp_path / "cache").exists()
        for _ in range(2):
            router.invoke("hi", cache=True)
        assert len(provider.requests) == 3
        monkeypatch.setenv("LLMCOST_CACHE", "true")
        forget_shared_cache()
        for _ in range(2):
            router.invoke("hello")
        assert len(provider.requests) == 4
    finally:
        forget_shared_cache()


def test_another_cache_belongs_to_the_models(make_model: MakeModel) -> None:
    with pytest.raises(ConfigurationError, match="InMemoryCache"):
        FallbackRouter(models=[make_model()], cache=InMemoryCache())


def test_identical_requests_of_threads_make_one_call(
    router: FallbackRouter, tracker: CostTracker, provider: SimulatedProvider, core: CoreCache
) -> None:
    provider.behave("*", Behavior(delay=0.3))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: router.invoke("hello").content, range(8)))
    assert len(set(answers)) == 1
    assert len(provider.requests) == 1
    assert sorted(statuses(tracker)) == ["cached"] * 7 + ["ok"]
    assert core.counts.hits == 7


async def test_identical_requests_of_tasks_make_one_call_and_the_loop_goes_on(
    router: FallbackRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(delay=0.3))
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    turning = asyncio.create_task(turn())
    answers = await asyncio.gather(*(router.ainvoke("hello") for _ in range(8)))
    turning.cancel()
    assert len({answer.content for answer in answers}) == 1
    assert len(provider.requests) == 1
    assert sorted(statuses(tracker)) == ["cached"] * 7 + ["ok"]
    assert turns > 10


def test_a_leader_that_fails_hands_over(
    router: FallbackRouter, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(status=400, delay=0.2), times=1)

    def ask(_: int) -> bool:
        try:
            router.invoke("hello")
        except BadRequestError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        answered = list(pool.map(ask, range(8)))
    assert answered.count(False) == 1
    assert len(provider.requests) == 2


def test_those_who_wait_for_an_answer_that_cannot_be_shared_do_not_queue(
    make_model: MakeModel,
    tracker: CostTracker,
    provider: SimulatedProvider,
    cache: CompletionCache,
) -> None:
    provider.behave("*", Behavior(completion_tokens=50, delay=0.1))
    router = FallbackRouter(models=[make_model(max_tokens=2)], tracker=tracker, cache=cache)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: router.invoke("hello"), range(6)))
    assert len(provider.requests) == 6
    assert cache.core.counts.joined == 0


def test_a_stream_does_not_wait_for_itself(
    router: FallbackRouter, provider: SimulatedProvider
) -> None:
    stream = router.stream("hello")
    next(stream)
    assert router.invoke("hello").content  # while this thread reads the same answer
    assert list(stream)
    assert len(provider.requests) == 2


def test_a_stream_that_nobody_closes_lets_others_go_on(
    router: FallbackRouter, provider: SimulatedProvider
) -> None:
    stream = router.stream("hello")
    next(stream)
    del stream
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: router.invoke("hello")).result(timeout=30).content
    assert len(provider.requests) == 2


def test_identical_requests_of_one_batch_make_one_call(
    router: FallbackRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    router.batch(["hello"] * 4)
    assert len(provider.requests) == 1
    assert sorted(statuses(tracker)) == ["cached"] * 3 + ["ok"]


def test_a_cheaper_model_is_looked_up_when_its_turn_comes(
    make_model: MakeModel,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    cache: CompletionCache,
) -> None:
    poor = make_tracker("model:gpt-4o=0.0000001/day; model:gpt-4o-mini=0.0000001/day")
    paid = make_tracker("", ledger="memory://")
    cheap = make_model("gpt-4o-mini")
    FallbackRouter(models=[cheap], tracker=paid, cache=cache).invoke("hello")
    router = FallbackRouter(models=[make_model(), cheap], tracker=poor, cache=cache)
    answer = router.invoke("hello")
    assert answer.response_metadata["llmcost"]["candidate"] == 1
    assert len(provider.requests) == 1
    assert statuses(poor) == ["cached"]


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize("in_async", [False, True])
async def test_a_stream_of_events_is_replayed_as_it_came(
    router: FallbackRouter, tracker: CostTracker, provider: SimulatedProvider, in_async: bool
) -> None:
    provider.behave("*", BILLED)

    async def read() -> tuple[list[Any], Any]:
        if in_async:
            running = await router.astream_events("hello", version="v3")
            return [event async for event in running], await running.output
        stream = router.stream_events("hello", version="v3")
        return list(stream), stream.output

    (events, first), (replayed, again) = await read(), await read()
    assert len(provider.requests) == 1
    assert statuses(tracker) == ["ok", "cached"]
    assert replayed[1:-1] == events[1:-1]
    assert replayed[0]["id"] != events[0]["id"]
    assert (again.content, again.usage_metadata) == (first.content, first.usage_metadata)
    assert without_marks(again.response_metadata) == without_marks(first.response_metadata)
    assert again.response_metadata["llmcost"]["cost_usd"] == "0"


def test_events_that_were_cut_short_are_not_stored(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider, cache: CompletionCache
) -> None:
    provider.behave("*", Behavior(completion_tokens=50))
    router = FallbackRouter(models=[make_model(max_tokens=2)], tracker=tracker, cache=cache)
    for _ in range(2):
        list(router.stream_events("hello", version="v3"))
    assert len(provider.requests) == 2
    assert cache.core.counts.skipped == {"truncated": 2}
