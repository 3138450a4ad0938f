"""The router's own cache: it looks before it holds, and serves streams."""

import asyncio
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI

from llmcost_llamaindex import CachedLLM, CompletionCache, FallbackRouter
from llmcost_plugins import CostTracker, attribute
from llmcost_plugins.cache.shared import forget_shared_cache
from llmcost_plugins.errors import BudgetExceeded, ConfigurationError
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.integration.llamaindex.cached_forms import ASKED, FORMS, TEMPLATE, TOOLS, City, drain
from tests.support import entries, held_nano, recorded_nano, statuses

MakeLLM = Callable[..., OpenAI]
Install = Callable[..., CostTracker]
MakeRouter = Callable[..., FallbackRouter]


@pytest.fixture
def core(tmp_path: Path) -> Iterator[CompletionCache]:
    made = CompletionCache(tmp_path / "cache", ttl=timedelta(days=1), after_tools=True)
    yield made
    made.close()


@pytest.fixture
def router(make_llm: MakeLLM, tracker: CostTracker, core: CompletionCache) -> MakeRouter:
    def make(*models: str, **options: Any) -> FallbackRouter:
        named = [make_llm(model) for model in models or ("gpt-4o", "gpt-4o-mini")]
        return FallbackRouter(named, **{"tracker": tracker, "cache": core, **options})

    return make


def text_of(answer: Any) -> str:
    if isinstance(answer, list):
        return "".join(answer) if isinstance(answer[-1], str) else text_of(answer[-1])
    message = getattr(answer, "message", None)
    return str(message.content if message else getattr(answer, "text", answer))


@pytest.mark.parametrize("form", FORMS)
def test_the_second_time_whole_or_streamed_nobody_is_asked(
    form: str, router: MakeRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    llm = router()
    whole, streamed = FORMS[form]
    first = whole(llm)
    assert text_of(whole(llm)) == text_of(streamed(llm)) == text_of(first)
    assert len(provider.requests) == 1
    assert statuses(tracker) == ["ok", "cached", "cached"]
    bought, *hits = (entry.outcome for entry in entries(tracker))
    assert [(hit.cost, hit.saved) for hit in hits] == [(0, bought.cost)] * 2
    assert bought.cost == recorded_nano(tracker) == provider.billed_nano > 0
    assert (held_nano(tracker), tracker.failures) == (0, 0)


async def test_asynchronous_calls_are_answered_likewise(
    router: MakeRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    llm = router()
    first = await drain(llm.astream_chat(ASKED))
    again = await llm.achat(ASKED)
    replayed = await drain(llm.astream_chat(ASKED))
    assert text_of(first) == text_of(again) == text_of(replayed)
    assert len(provider.requests) == 1
    assert statuses(tracker) == ["ok", "cached", "cached"]


def test_a_hit_says_so_and_keeps_who_answered(router: MakeRouter) -> None:
    llm = router()
    llm.chat_with_tools(TOOLS, "What is the weather?")
    again = llm.chat_with_tools(TOOLS, "What is the weather?")
    note = again.additional_kwargs["llmcost"]
    assert (note["cache"], note["model"], note["candidate"]) == ("hit", "gpt-4o", 0)
    assert note["cost_usd"] == "0"
    assert again.raw is None
    assert [call.tool_name for call in llm.get_tool_calls_from_response(again)] == ["weather"]


def test_a_hit_needs_no_budget(
    make_tracker: Callable[..., CostTracker], router: MakeRouter, provider: SimulatedProvider
) -> None:
    poor = make_tracker("global=0.0000001/day:raise")
    router().chat(ASKED)
    llm = router(tracker=poor)
    assert llm.chat(ASKED).additional_kwargs["llmcost"]["cache"] == "hit"
    with pytest.raises(BudgetExceeded):
        llm.chat([ChatMessage("other")])
    assert len(provider.requests) == 1


def test_what_a_fallback_answered_is_found_for_that_model_only(
    router: MakeRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", Behavior(status=503), times=1)
    llm = router()
    assert llm.chat(ASKED).additional_kwargs["llmcost"]["model"] == "gpt-4o-mini"
    fresh = router()
    assert fresh.chat(ASKED).additional_kwargs["llmcost"]["model"] == "gpt-4o"
    sent = len(provider.requests)
    assert router("gpt-4o-mini").chat(ASKED).additional_kwargs["llmcost"]["cache"] == "hit"
    assert len(provider.requests) == sent
    assert tracker.failures == 0


def test_one_call_says_itself_whether_it_is_cached(
    router: MakeRouter, core: CompletionCache, provider: SimulatedProvider
) -> None:
    llm = router()
    llm.chat(ASKED)
    llm.chat(ASKED, cache=False)
    llm.complete("x", temperature=0.9)
    llm.complete("x", temperature=0.9, cache=True)
    llm.complete("x", temperature=0.9, cache=True)
    assert len(provider.requests) == 4
    assert core.counts.skipped == {"temperature above 0": 1}
    llm.structured_predict(City, TEMPLATE, {"cache": False}, word="x")
    llm.predict(TEMPLATE, word="x", cache=False)
    assert len(provider.requests) == 6


def test_by_default_the_environment_says_whether_it_caches(
    router: MakeRouter, provider: SimulatedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        router(cache=None).chat(ASKED)
        router(cache=False).chat(ASKED)
    assert len(provider.requests) == 4
    forget_shared_cache()
    monkeypatch.setenv("LLMCOST_CACHE", "true")
    for _ in range(2):
        router(cache=None).chat(ASKED)
    assert len(provider.requests) == 5
    forget_shared_cache()


def test_its_answers_are_those_of_a_cached_model(
    router: MakeRouter,
    make_llm: MakeLLM,
    core: CompletionCache,
    tracker: CostTracker,
    provider: SimulatedProvider,
) -> None:
    router().chat(ASKED)
    CachedLLM(make_llm(), cache=core, tracker=tracker).chat(ASKED)
    assert len(provider.requests) == 1


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
@pytest.mark.parametrize("with_recorder", [False, True])
def test_the_second_run_of_an_agent_asks_nothing(  # noqa: PLR0913, PLR0917 - fixtures
    with_recorder: bool,
    make_llm: MakeLLM,
    core: CompletionCache,
    installed: Install,
    tracker: CostTracker,
    provider: SimulatedProvider,
) -> None:
    if with_recorder:
        tracker = installed()

    async def run_once() -> str:
        llm = FallbackRouter([make_llm()], tracker=tracker, cache=core)
        return str(
            await FunctionAgent(tools=[*TOOLS], llm=llm).run(
                user_msg="What is the weather in Rome?"
            )
        )

    first = asyncio.run(run_once())
    sent = len(provider.requests)
    assert sent >= 2
    assert asyncio.run(run_once()) == first
    assert len(provider.requests) == sent
    assert statuses(tracker) == ["ok"] * sent + ["cached"] * sent
    assert recorded_nano(tracker) == provider.billed_nano
    assert tracker.failures == 0


def test_the_second_question_to_a_query_engine_asks_no_model(
    router: MakeRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    index = VectorStoreIndex.from_documents(
        [Document(text="Rome is sunny", id_="fixed")], embed_model=MockEmbedding(embed_dim=3)
    )
    engine = index.as_query_engine(llm=router())
    first = str(engine.query("Is it sunny?"))
    assert str(engine.query("Is it sunny?")) == first
    assert len(provider.requests) == 1
    assert statuses(tracker) == ["ok", "cached"]


def test_sixteen_threads_that_ask_the_same_make_one_call_each_prompt(
    router: MakeRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(delay=0.2))
    llm = router()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: llm.complete(f"prompt {n % 4}").text, range(16)))
    assert len(provider.requests) == len(set(answers)) == 4
    assert sorted(statuses(tracker)) == ["cached"] * 12 + ["ok"] * 4


def test_a_stream_that_is_left_is_not_kept(
    router: MakeRouter, core: CompletionCache, provider: SimulatedProvider
) -> None:
    llm = router()
    stream = llm.stream_chat(ASKED)
    next(iter(stream))
    stream.close()
    assert core.counts.stored == 0
    provider.behave("*", Behavior(finish_reason="length"), times=1)
    list(llm.stream_chat(ASKED))
    assert core.counts.skipped == {"truncated": 1}


def test_tenants_do_not_see_each_others_answers(
    router: MakeRouter, tmp_path: Path, provider: SimulatedProvider
) -> None:
    core = CompletionCache(tmp_path / "teams", ttl=timedelta(days=1), namespace="{team}")
    llm = router(cache=core)
    for team in ("alpha", "beta", "alpha", "beta"):
        with attribute(team=team):
            llm.chat(ASKED)
    assert len(provider.requests) == 2
    core.close()


def test_a_pickled_router_uses_the_same_folder(router: MakeRouter, tracker: CostTracker) -> None:
    llm = router()
    llm.chat(ASKED)
    copy = pickle.loads(pickle.dumps(llm))
    copy.tracker = tracker
    assert copy.chat(ASKED).additional_kwargs["llmcost"]["cache"] == "hit"
    copy.cache.close()


def test_a_cache_of_another_kind_is_refused(router: MakeRouter) -> None:
    with pytest.raises(ConfigurationError, match="CompletionCache, not with"):
        router(cache={})


def test_a_model_that_caches_by_itself_is_refused(
    router: MakeRouter, make_llm: MakeLLM, core: CompletionCache
) -> None:
    with pytest.raises(ConfigurationError, match="cache="):
        FallbackRouter([CachedLLM(make_llm(), cache=core)])
    with pytest.raises(ConfigurationError, match="cache="):
        CachedLLM(router(), cache=core)
