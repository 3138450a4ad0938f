"""The disk cache as LangChain's cache: hits cost nothing, are marked, and never break a chain."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite
from pydantic import create_model

from llmcost_langchain import CompletionCache, CostCallbackHandler, FallbackRouter
from llmcost_plugins import CostTracker
from llmcost_plugins.cache import CompletionCache as CoreCache
from llmcost_plugins.ledger import Status
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.support import MakeModel, entries, recorded_nano, statuses


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[CompletionCache]:
    made = CompletionCache(CoreCache(tmp_path / "cache", ttl=timedelta(days=1)))
    yield made
    made.close()


class TestSync(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, tmp_path: Path) -> Iterator[BaseCache]:
        made = CompletionCache(CoreCache(tmp_path / "cache", ttl=timedelta(days=1)))
        yield made
        made.close()


class TestAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, tmp_path: Path) -> Any:
        made = CompletionCache(CoreCache(tmp_path / "cache", ttl=timedelta(days=1)))
        yield made
        made.close()


@pytest.mark.parametrize("routed", [False, True])
def test_a_hit_costs_nothing_and_saves_what_the_answer_had_cost(
    make_model: MakeModel,
    tracker: CostTracker,
    provider: SimulatedProvider,
    cache: CompletionCache,
    routed: bool,
) -> None:
    provider.behave(
        "*",
        Behavior(prompt_tokens=900, cached_tokens=512, completion_tokens=60, reasoning_tokens=9),
    )
    model: Any = make_model(cache=cache)
    if routed:
        model = FallbackRouter(models=[model], tracker=tracker)
    handler = CostCallbackHandler(tracker)
    first = model.invoke("hello", {"callbacks": [handler]})
    again = model.invoke("hello", {"callbacks": [handler]})
    assert again.content == first.content
    assert len(provider.requests) == 1
    assert statuses(tracker) == ["ok", "cached"]
    bought, hit = (entry.outcome for entry in entries(tracker))
    assert (hit.cost, hit.saved) == (0, bought.cost)
    assert recorded_nano(tracker) == provider.billed_nano == bought.cost
    assert hit.served == "gpt-4o-2024-08-06"


async def test_a_hit_in_async_code_is_the_same(
    make_model: MakeModel,
    tracker: CostTracker,
    provider: SimulatedProvider,
    cache: CompletionCache,
) -> None:
    model, handler = make_model(cache=cache), CostCallbackHandler(tracker)
    await model.ainvoke("hello", {"callbacks": [handler]})
    await model.ainvoke("hello", {"callbacks": [handler]})
    assert statuses(tracker) == ["ok", "cached"]
    assert len(provider.requests) == 1


def test_a_hit_is_found_by_another_process_and_another_model_object(
    make_model: MakeModel, tmp_path: Path, provider: SimulatedProvider, cache: CompletionCache
) -> None:
    make_model(cache=cache).invoke("hello")
    cache.close()
    other = CompletionCache(CoreCache(tmp_path / "cache", ttl=timedelta(days=1)))
    answer = make_model(cache=other).invoke("hello")
    other.close()
    assert answer.response_metadata["llmcost_cache"]["hit"] is True
    assert len(provider.requests) == 1


def test_another_temperature_model_or_prompt_is_a_miss(
    make_model: MakeModel, provider: SimulatedProvider, cache: CompletionCache
) -> None:
    make_model(cache=cache).invoke("hello")
    make_model(cache=cache, temperature=0.5).invoke("hello")
    make_model("gpt-4o-mini", cache=cache).invoke("hello")
    make_model(cache=cache).invoke("hullo")
    assert len(provider.requests) == 4


def test_the_message_of_a_hit_does_not_repeat_the_stored_id(
    make_model: MakeModel, cache: CompletionCache
) -> None:
    model = make_model(cache=cache)
    first, *hits = (model.invoke("hello").id for _ in range(3))
    # LangGraph gives a message without an id a new one, and replaces one whose id it knows.
    assert first is not None
    assert hits == [None, None]


def test_a_truncated_answer_is_not_stored(
    make_model: MakeModel, provider: SimulatedProvider, cache: CompletionCache
) -> None:
    model = make_model(cache=cache, max_tokens=2)
    provider.behave("*", Behavior(completion_tokens=50))
    model.invoke("hello")
    model.invoke("hello")
    assert len(provider.requests) == 2


# langchain-openai 1.0 serialises the client's parsed answer against its own type.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
def test_two_schemas_of_one_name_do_not_share_an_answer(
    make_model: MakeModel, provider: SimulatedProvider, cache: CompletionCache
) -> None:
    # LangChain's key may show a schema's class only, not its fields.
    for fields in ({"value": (int, ...)}, {"name": (str, ...)}):
        schema: Any = create_model("Shape", __doc__="An answer.", **cast("Any", fields))
        model = make_model(cache=cache).with_structured_output(schema, method="json_schema")
        assert set(dict(cast("Any", model.invoke("hello")))) == set(fields)
    assert len(provider.requests) == 2


def test_tool_calls_and_reasoning_metadata_come_back_equal(cache: CompletionCache) -> None:
    message = AIMessage(
        content=[{"type": "text", "text": "hi"}, {"type": "reasoning", "summary": []}],
        tool_calls=[{"name": "f", "args": {"x": [1, None, "é"]}, "id": "1", "type": "tool_call"}],
        usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
        additional_kwargs={"refusal": None},
        response_metadata={"model_name": "m", "lc": {"lc": 1, "type": "secret", "id": ["X"]}},
    )
    stored: RETURN_VAL_TYPE = [ChatGeneration(message=message, generation_info={"a": 1})]
    cache.update("p", "m", stored)
    found = cache.lookup("p", "m")
    assert isinstance(found, list)
    generation = found[0]
    assert isinstance(generation, ChatGeneration)
    back = generation.message
    assert isinstance(back, AIMessage)
    mark = back.response_metadata.pop("llmcost_cache")
    assert mark["hit"] is True
    assert back == message
    assert generation.generation_info == {"a": 1}


def test_a_plain_completion_comes_back_equal(cache: CompletionCache) -> None:
    cache.update("p", "m", [Generation(text="hi", generation_info={"finish_reason": "stop"})])
    assert cache.lookup("p", "m") == [
        Generation(text="hi", generation_info={"finish_reason": "stop"})
    ]


def test_an_answer_that_json_cannot_hold_arrives_and_is_not_stored(
    cache: CompletionCache, caplog: pytest.LogCaptureFixture
) -> None:
    message = AIMessage(content="hi", additional_kwargs={"odd": object()})
    cache.update("p", "m", [ChatGeneration(message=message)])
    assert cache.lookup("p", "m") is None
    assert "could not be cached" in caplog.text


def test_a_folder_that_cannot_be_used_is_a_miss_and_the_chain_goes_on(
    make_model: MakeModel, tmp_path: Path, provider: SimulatedProvider
) -> None:
    (tmp_path / "file").write_text("in the way")
    broken = CompletionCache(CoreCache(tmp_path / "file" / "cache", ttl=timedelta(days=1)))
    model = make_model(cache=broken)
    model.invoke("hello")
    model.invoke("hello")
    assert len(provider.requests) == 2
    assert broken.core.counts.failed > 0


def test_a_hit_of_another_cache_is_recognised_by_langchains_mark(
    make_model: MakeModel, tracker: CostTracker
) -> None:
    from langchain_core.caches import InMemoryCache

    model, handler = make_model(cache=InMemoryCache()), CostCallbackHandler(tracker)
    model.invoke("hello", {"callbacks": [handler]})
    model.invoke("hello", {"callbacks": [handler]})
    assert [entry.outcome.status for entry in entries(tracker)] == [Status.OK, Status.CACHED]


def test_what_lies_on_disk_is_json_behind_a_checksum(
    tmp_path: Path, make_model: MakeModel, cache: CompletionCache
) -> None:
    import sqlite3

    make_model(cache=cache).invoke([HumanMessage("hello")])
    cache.close()
    connection = sqlite3.connect(tmp_path / "cache" / "cache.db")
    ((value,),) = connection.execute("SELECT value FROM Cache").fetchall()
    connection.close()
    envelope = json.loads(value[16:])
    assert envelope["v"] == 2
    assert "hello" in envelope["answer"][0]["message"]["content"]
