"""`CachedLLM`: what was asked before costs nothing, and everything else is as without it."""

import asyncio
import pickle
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.llms import LLM, ChatMessage, ChatResponse, MockLLM
from llama_index.llms.openai import OpenAI
from llama_index_instrumentation import get_dispatcher
from openai import InternalServerError

from llmcost_llamaindex import CachedLLM, CacheHitEvent, CompletionCache
from llmcost_plugins import CostTracker, attribute
from llmcost_plugins.cache import CachedAnswer
from llmcost_plugins.cache.shared import forget_shared_cache
from llmcost_plugins.cache.upkeep import rows
from llmcost_plugins.errors import BudgetExceeded, ConfigurationError
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.integration.llamaindex.cached_forms import (
    ASKED,
    ASYNC_FORMS,
    FORMS,
    TEMPLATE,
    TOOLS,
    City,
    drain,
)
from tests.support import entries, recorded_nano, statuses

Install = Callable[..., CostTracker]
MakeLLM = Callable[..., OpenAI]
MakeCached = Callable[..., CachedLLM]

BILLED = Behavior(prompt_tokens=900, cached_tokens=512, completion_tokens=60)


def text_of(answer: Any) -> str:
    if isinstance(answer, list):
        return "".join(answer) if isinstance(answer[-1], str) else text_of(answer[-1])
    if isinstance(answer, ChatResponse):
        return str(answer.message.content)
    return str(getattr(answer, "text", answer))


@pytest.fixture
def core(tmp_path: Path) -> Iterator[CompletionCache]:
    made = CompletionCache(tmp_path / "cache", ttl=timedelta(days=1))
    yield made
    made.close()


@pytest.fixture
def cached(make_llm: MakeLLM, core: CompletionCache) -> MakeCached:
    def make(llm: LLM | None = None, **options: Any) -> CachedLLM:
        return CachedLLM(llm or make_llm(), **{"cache": core, **options})

    return make


@pytest.fixture
def heard() -> Iterator[list[BaseEvent]]:
    events: list[BaseEvent] = []

    class Listener(BaseEventHandler):
        def handle(self, event: BaseEvent, **_: Any) -> None:
            events.append(event)

    root, listener = get_dispatcher(), Listener()
    root.add_event_handler(listener)
    yield events
    root.event_handlers = [one for one in root.event_handlers if one is not listener]


@pytest.mark.parametrize("form", FORMS)
def test_the_second_time_whole_or_streamed_nobody_is_asked(
    form: str, cached: MakeCached, installed: Install, provider: SimulatedProvider
) -> None:
    tracker, llm = installed(), cached()
    whole, streamed = FORMS[form]
    first = whole(llm)
    assert text_of(whole(llm)) == text_of(streamed(llm)) == text_of(first)
    assert len(provider.requests) == 1
    assert statuses(tracker) == ["ok", "cached", "cached"]
    bought, *hits = (entry.outcome for entry in entries(tracker))
    assert bought.cost == provider.billed_nano == recorded_nano(tracker) > 0
    assert [(hit.cost, hit.saved) for hit in hits] == [(0, bought.cost)] * 2
    assert tracker.failures == 0


@pytest.mark.parametrize("form", FORMS)
def test_what_was_streamed_is_there_for_whoever_asks_for_all(
    form: str, cached: MakeCached, installed: Install, provider: SimulatedProvider
) -> None:
    tracker, llm = installed(), cached()
    whole, streamed = FORMS[form]
    assert text_of(streamed(llm)) == text_of(whole(llm))
    assert len(provider.requests) == 1
    assert statuses(tracker) == ["ok", "cached"]
    bought, hit = (entry.outcome for entry in entries(tracker))
    assert hit.saved == bought.cost == provider.billed_nano > 0


@pytest.mark.parametrize("form", ASYNC_FORMS)
async def test_asynchronous_calls_are_answered_likewise(
    form: str, cached: MakeCached, installed: Install, provider: SimulatedProvider
) -> None:
    tracker, llm = installed(), cached()
    whole, streamed = ASYNC_FORMS[form]
    first = await streamed(llm)
    assert text_of(await whole(llm)) == text_of(await streamed(llm)) == text_of(first)
    assert len(provider.requests) == 1
    assert statuses(tracker) == ["ok", "cached", "cached"]
    assert recorded_nano(tracker) == provider.billed_nano > 0
    assert tracker.failures == 0


def test_a_hit_shows_no_usage_makes_no_event_of_llamaindex_and_one_of_ours(
    cached: MakeCached, installed: Install, provider: SimulatedProvider, heard: list[BaseEvent]
) -> None:
    provider.behave("*", BILLED)
    installed()
    llm = cached()
    llm.chat(ASKED)
    heard.clear()
    answer = llm.chat(ASKED)
    (event,) = heard
    assert isinstance(event, CacheHitEvent)
    assert (event.model, event.form) == ("gpt-4o", "chat")
    assert event.saved_usd is not None
    assert float(event.saved_usd) > 0
    assert answer.raw is None
    assert answer.additional_kwargs["llmcost"]["cache"] == "hit"
    assert set(answer.additional_kwargs) == {"llmcost"}
    assert "llmcost" not in answer.message.additional_kwargs


def test_a_streamed_hit_grows_in_pieces_to_the_whole_answer(
    cached: MakeCached, installed: Install, provider: SimulatedProvider
) -> None:
    installed()
    llm = cached()
    long = [ChatMessage("words " * 40)]
    whole = llm.chat(long)
    *chunks, last = llm.stream_chat(long)
    assert len(chunks) > 3
    assert "".join(chunk.delta or "" for chunk in [*chunks, last]) == whole.message.content
    so_far = ""
    for chunk in [*chunks, last]:
        so_far += chunk.delta or ""
        assert chunk.message.content == so_far
    assert last.message.blocks == whole.message.blocks
    assert len(provider.requests) == 1


def test_without_install_hits_are_recorded_and_calls_are_not(
    cached: MakeCached, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", BILLED)
    llm = cached(tracker=tracker)
    llm.chat(ASKED)
    with attribute(user="u1", feature="chat"):
        llm.chat(ASKED)
    (hit,) = entries(tracker)
    assert hit.outcome.saved == provider.billed_nano > 0
    assert hit.call.labels.values == {"user": "u1", "feature": "chat"}
    assert hit.call.model == "gpt-4o"


def test_a_hit_needs_no_budget(
    cached: MakeCached, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed("global=0.005/day:raise")
    llm = cached()
    llm.chat(ASKED)
    provider.behave("*", Behavior(prompt_tokens=1, completion_tokens=2000))
    with pytest.raises(BudgetExceeded):
        list(map(llm.complete, ["1", "2", "3", "4", "5", "6", "7", "8", "9"]))
    sent = len(provider.requests)
    assert llm.chat(ASKED).additional_kwargs["llmcost"]["cache"] == "hit"
    assert len(provider.requests) == sent
    assert tracker.failures == 0


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
def test_the_second_run_of_an_agent_asks_nothing(
    make_llm: MakeLLM, tmp_path: Path, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    core = CompletionCache(tmp_path / "agents", ttl=timedelta(days=1), after_tools=True)

    async def run_once() -> str:
        agent = FunctionAgent(tools=[*TOOLS], llm=CachedLLM(make_llm(), cache=core))
        return str(await agent.run(user_msg="What is the weather in Rome?"))

    provider.behave("*", Behavior())
    first = asyncio.run(run_once())
    sent = len(provider.requests)
    assert sent >= 2
    assert asyncio.run(run_once()) == first
    assert len(provider.requests) == sent
    assert statuses(tracker) == ["ok"] * sent + ["cached"] * sent
    assert recorded_nano(tracker) == provider.billed_nano
    core.close()


def test_answers_to_tools_are_not_kept_unless_asked_for(
    cached: MakeCached, core: CompletionCache, installed: Install, provider: SimulatedProvider
) -> None:
    installed()
    llm = cached()
    called = llm.chat_with_tools(TOOLS, "What is the weather?")
    (call,) = llm.get_tool_calls_from_response(called)
    result = ChatMessage("sunny", role="tool", additional_kwargs={"tool_call_id": call.tool_id})
    history = [*ASKED, called.message, result]
    llm.chat(history)
    llm.chat(history)
    assert len(provider.requests) == 3
    assert core.counts.skipped == {"results of tools": 2}
    llm.chat(history, cache=True)
    llm.chat(history, cache=True)
    assert len(provider.requests) == 4


def test_a_structured_model_over_it_is_not_counted_on_a_hit(
    cached: MakeCached, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    structured = cached().as_structured_llm(City)
    first = structured.chat(ASKED)
    assert structured.chat(ASKED).raw == first.raw
    assert len(provider.requests) == 1
    assert statuses(tracker) == ["ok", "cached"]
    assert recorded_nano(tracker) == provider.billed_nano
    assert tracker.failures == 0


@pytest.mark.parametrize(
    ("change", "requests"),
    [
        ({"api_key": "another"}, 1),
        ({"max_retries": 5}, 1),
        ({"timeout": 9.0}, 1),
        ({"additional_kwargs": {}}, 1),
        ({"default_headers": {"x-trace": "1"}}, 1),
        ({"model": "gpt-4o-mini"}, 2),
        ({"max_tokens": 7}, 2),
        ({"temperature": 0.0}, 2),
        ({"system_prompt": "Be brief"}, 2),
        ({"additional_kwargs": {"seed": 4}}, 2),
        ({"reasoning_effort": "low"}, 2),
    ],
)
def test_what_changes_the_answer_is_asked_anew_and_nothing_else(  # noqa: PLR0913, PLR0917 - fixtures
    change: dict[str, Any],
    requests: int,
    make_llm: MakeLLM,
    cached: MakeCached,
    installed: Install,
    provider: SimulatedProvider,
) -> None:
    installed()
    cached(make_llm()).chat(ASKED)
    other = make_llm()
    for name, value in change.items():
        setattr(other, name, value)
    cached(other).chat(ASKED)
    assert len(provider.requests) == requests


def test_a_temperature_that_the_user_has_set_is_not_cached_and_the_packages_own_is(
    make_llm: MakeLLM, cached: MakeCached, core: CompletionCache, provider: SimulatedProvider
) -> None:
    for _ in range(2):
        cached(make_llm(temperature=0.7)).chat(ASKED)
    assert core.counts.skipped == {"temperature above 0": 2}
    for _ in range(2):
        cached(make_llm(model="o4-mini")).chat(ASKED)  # the class itself sends 1.0
        cached().chat(ASKED, temperature=0)
    assert len(provider.requests) == 4


@pytest.mark.parametrize(
    ("behavior", "reason"),
    [
        (Behavior(finish_reason="length"), "truncated"),
        (Behavior(finish_reason="content_filter"), "filtered"),
    ],
)
def test_answers_cut_off_or_filtered_are_not_kept(  # noqa: PLR0913, PLR0917 - fixtures
    behavior: Behavior,
    reason: str,
    cached: MakeCached,
    core: CompletionCache,
    provider: SimulatedProvider,
    tracker: CostTracker,
) -> None:
    provider.behave("*", behavior)
    llm = cached(tracker=tracker)
    llm.chat(ASKED)
    list(llm.stream_chat(ASKED))
    llm.predict(TEMPLATE, word="x")
    assert len(provider.requests) == 3
    assert core.counts.skipped == {reason: 3}


def test_a_stream_that_is_left_is_not_kept_and_frees_the_request(
    cached: MakeCached, core: CompletionCache, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    llm = cached(tracker=tracker)
    stream = llm.stream_chat(ASKED)
    next(iter(stream))
    stream.close()
    assert core.counts.stored == 0
    list(llm.stream_chat(ASKED))
    assert core.counts.stored == 1
    unread = llm.stream_chat([ChatMessage("other")])
    assert len(provider.requests) == 2
    llm.chat([ChatMessage("other")])
    assert len(provider.requests) == 3
    assert [chunk.delta for chunk in unread]  # asked for now, and answered from the cache
    assert len(provider.requests) == 3


def test_an_error_is_not_kept(
    cached: MakeCached, core: CompletionCache, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(status=500), times=1)
    llm = cached(tracker=tracker)
    with pytest.raises(InternalServerError):
        llm.chat(ASKED)
    llm.chat(ASKED)
    assert core.counts.stored == 1


def test_sixteen_threads_that_ask_the_same_make_one_call_each_prompt(
    cached: MakeCached, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(delay=0.2))
    tracker, llm = installed(), cached()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: llm.complete(f"prompt {n % 4}").text, range(16)))
    assert len(provider.requests) == len(set(answers)) == 4
    assert sorted(statuses(tracker)) == ["cached"] * 12 + ["ok"] * 4
    assert recorded_nano(tracker) == provider.billed_nano


async def test_tasks_that_ask_the_same_make_one_call(
    cached: MakeCached, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(delay=0.2))
    tracker, llm = installed(), cached()
    await asyncio.gather(*(drain(llm.astream_chat(ASKED)) for _ in range(6)))
    assert len(provider.requests) == 1
    assert sorted(statuses(tracker)) == ["cached"] * 5 + ["ok"]


def test_a_stream_has_the_labels_of_where_it_was_asked_for(
    make_llm: MakeLLM, tmp_path: Path, installed: Install
) -> None:
    tracker = installed()
    core = CompletionCache(tmp_path / "teams", ttl=timedelta(days=1), namespace="{team}")
    llm = CachedLLM(make_llm(), cache=core)
    with attribute(team="alpha"):
        streams = [llm.stream_chat(ASKED), llm.stream_chat(ASKED)]
    for stream in streams:
        with attribute(team="beta"):
            list(stream)
    assert [entry.call.labels.values["team"] for entry in entries(tracker)] == ["alpha"] * 2
    assert statuses(tracker) == ["ok", "cached"]
    core.close()


async def test_an_asynchronous_stream_has_the_labels_of_where_it_was_asked_for(
    cached: MakeCached, installed: Install
) -> None:
    tracker, llm = installed(), cached()
    with attribute(team="alpha"):
        streams = [await llm.astream_chat(ASKED), await llm.astream_chat(ASKED)]
    for stream in streams:
        with attribute(team="beta"):
            assert [chunk async for chunk in stream]
    assert [entry.call.labels.values["team"] for entry in entries(tracker)] == ["alpha"] * 2
    assert statuses(tracker) == ["ok", "cached"]


def test_tenants_do_not_see_each_others_answers(
    make_llm: MakeLLM, tmp_path: Path, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    core = CompletionCache(tmp_path / "teams", ttl=timedelta(days=1), namespace="{team}")
    llm = CachedLLM(make_llm(), cache=core, tracker=tracker)
    for team in ("alpha", "beta", "alpha", "beta"):
        with attribute(team=team):
            llm.chat(ASKED)
    assert len(provider.requests) == 2
    core.close()


def test_a_damaged_or_foreign_row_is_a_miss(
    cached: MakeCached, core: CompletionCache, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    llm = cached(tracker=tracker)
    llm.chat(ASKED)
    core.close()
    with sqlite3.connect(core.folder / "cache.db") as files:
        files.execute("UPDATE Cache SET value = ?", (b"nonsense",))
    files.close()
    llm.chat(ASKED)
    assert len(provider.requests) == 2
    assert core.counts.rejected == 1
    assert llm.chat(ASKED).additional_kwargs["llmcost"]["cache"] == "hit"


def test_an_answer_in_a_form_that_is_no_answer_is_a_miss_and_written_over(
    cached: MakeCached, core: CompletionCache, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    llm = cached(tracker=tracker)
    llm.chat(ASKED)
    (row,) = rows(core.folder, 2**30)
    assert core.put(row.key, CachedAnswer(answer={"from": "elsewhere"}, at=tracker.now()))
    llm.chat(ASKED)
    assert len(provider.requests) == 2
    assert core.counts.rejected == 1
    assert llm.chat(ASKED).additional_kwargs["llmcost"]["cache"] == "hit"
    assert statuses(tracker) == ["cached"]


def test_what_has_no_plain_form_arrives_and_is_not_kept(
    cached: MakeCached, core: CompletionCache, tracker: CostTracker
) -> None:
    class Strange(MockLLM):
        max_tokens: int | None = None

        def chat(self, messages: Any, **_: Any) -> ChatResponse:  # noqa: ARG002
            return ChatResponse(
                message=ChatMessage("hi", role="assistant", additional_kwargs={"x": object()})
            )

    llm = cached(Strange(), tracker=tracker)
    assert llm.chat(ASKED).message.content == "hi"
    assert core.counts.skipped == {"no plain form": 1}


def test_a_model_that_calls_no_tools_is_cached_too(
    cached: MakeCached, core: CompletionCache, tracker: CostTracker
) -> None:
    llm = cached(MockLLM(max_tokens=5), tracker=tracker)
    assert not llm.metadata.is_function_calling_model
    first = llm.complete("a b c d e f")
    assert llm.complete("a b c d e f").text == first.text
    assert (core.counts.hits, core.counts.stored) == (1, 1)


def test_a_function_that_writes_prompts_has_no_key(
    cached: MakeCached, core: CompletionCache, tracker: CostTracker
) -> None:
    llm = cached(MockLLM(completion_to_prompt=lambda text: text.upper()), tracker=tracker)
    llm.complete("x")
    (reason,) = core.counts.skipped
    assert reason.startswith("no key")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gpt-4o",), "takes a model"),
        ((None,), "takes a model"),
    ],
)
def test_what_is_no_model_is_refused(arguments: tuple[Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        CachedLLM(*arguments)


def test_a_model_that_caches_already_is_refused(cached: MakeCached) -> None:
    with pytest.raises(ConfigurationError, match="caches already"):
        CachedLLM(cached())


def test_a_cache_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="CompletionCache, not with"):
        CachedLLM(MockLLM(), cache={})  # type: ignore[arg-type]


def test_it_is_the_model_in_all_else(make_llm: MakeLLM, cached: MakeCached) -> None:
    inner = make_llm(temperature=0.0, system_prompt="Be brief")
    llm = cached(inner)
    assert llm.metadata == inner.metadata
    assert (llm.model, llm.system_prompt) == ("gpt-4o", "Be brief")
    assert not hasattr(llm, "no_such_thing")
    llm.callback_manager = manager = type(inner.callback_manager)([])
    assert inner.callback_manager is manager


def test_no_key_leaks_and_a_pickle_uses_the_environments_cache(
    own_home: Path, provider: SimulatedProvider, tracker: CostTracker
) -> None:
    forget_shared_cache()  # of another test
    inner = OpenAI(model="gpt-4o", api_key="sk-secret", api_base=provider.base_url)
    llm = CachedLLM(inner)
    assert "sk-secret" not in llm.to_json()
    assert "sk-secret" not in repr(llm.to_payload())
    copy = pickle.loads(pickle.dumps(llm))
    copy.tracker = tracker
    for _ in range(2):
        copy.chat(ASKED)
    assert len(provider.requests) == 1
    assert list(own_home.rglob("cache.db"))
    copy.llm._client.close()
    forget_shared_cache()
