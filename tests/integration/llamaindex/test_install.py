"""`install` and `uninstall`, who is charged, and that each call is counted once."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Document, MockEmbedding, SummaryIndex
from llama_index.core.llms import (
    ChatMessage,
    CompletionResponse,
    CompletionResponseGen,
    CustomLLM,
    LLMMetadata,
)
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.rate_limiter import TokenBucketRateLimiter
from llama_index.llms.openai import OpenAI
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import instrument_tags
from pydantic import BaseModel

import llmcost_llamaindex
from llmcost_llamaindex import BudgetGate, install, uninstall
from llmcost_plugins import BudgetExceeded, CostTracker, attribute, set_default_tracker
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.testing import SimulatedProvider
from tests.support import entries, held_nano, only, recorded_nano, statuses

Install = Callable[..., CostTracker]
MakeLLM = Callable[..., OpenAI]

ASKED = [ChatMessage("hello")]


class Wrapper(CustomLLM):
    """A model of the user's own, that asks another one."""

    inner: OpenAI
    max_tokens: int = 200  # its own hold is no larger than that of the call it makes

    @property
    def metadata(self) -> LLMMetadata:
        return self.inner.metadata

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        answer: CompletionResponse = self.inner.complete(prompt, formatted=formatted, **kwargs)
        return answer

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        stream: CompletionResponseGen = self.inner.stream_complete(prompt, formatted, **kwargs)
        return stream


class Answer(BaseModel):
    text: str


def check_once(tracker: CostTracker, provider: SimulatedProvider) -> None:
    assert statuses(tracker) == ["ok"] * len(provider.requests)
    assert recorded_nano(tracker) == provider.billed_nano > 0
    assert held_nano(tracker) == 0
    assert tracker.failures == 0


def test_uninstall_leaves_the_dispatcher_and_the_models_as_they_were(
    make_llm: MakeLLM, make_tracker: Install
) -> None:
    root = get_dispatcher()
    before = [*root.event_handlers], [*root.span_handlers]
    limiter = TokenBucketRateLimiter(requests_per_minute=600)
    plain, limited = make_llm(), make_llm(rate_limiter=limiter)
    shown = plain.to_dict(), plain.to_payload()
    install(make_tracker())
    plain.chat(ASKED)
    limited.chat(ASKED)
    assert plain.rate_limiter == BudgetGate()
    assert limited.rate_limiter == BudgetGate(limiter)
    assert (plain.to_dict(), plain.to_payload()) == shown
    uninstall()
    after = [*root.event_handlers], [*root.span_handlers]
    assert [[*map(id, one)] for one in after] == [[*map(id, one)] for one in before]
    assert plain.rate_limiter is None
    assert limited.rate_limiter is limiter
    uninstall()


def test_installing_twice_counts_once(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    install(tracker, feature="ignored")
    make_llm().chat(ASKED)
    check_once(tracker, provider)
    assert dict(only(entries(tracker)).call.labels.values) == {}


def test_another_tracker_cannot_be_installed_beside_the_first(
    installed: Install, make_tracker: Install
) -> None:
    installed()
    with pytest.raises(ConfigurationError, match=r"uninstall\(\) first"):
        install(make_tracker())


def test_installing_again_repairs_handler_lists_that_were_replaced(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    root = get_dispatcher()
    root.event_handlers = []
    install(tracker)
    make_llm().chat(ASKED)
    check_once(tracker, provider)


def test_without_a_tracker_that_of_the_environment_is_installed(
    make_llm: MakeLLM, make_tracker: Install, provider: SimulatedProvider
) -> None:
    tracker = make_tracker()
    former = set_default_tracker(tracker)
    try:
        install()
        install(tracker)
        make_llm().chat(ASKED)
    finally:
        uninstall()
        set_default_tracker(former)
    check_once(tracker, provider)


def test_labels_come_from_installation_attribution_and_tags_in_rising_order(
    make_llm: MakeLLM, make_tracker: Install
) -> None:
    tracker = make_tracker()
    install(tracker, tags=["app"], team="alpha", feature="chat", user="nobody")
    try:
        with (
            attribute(feature="search", user="u1", tags=["exp"]),
            instrument_tags({"user": "u2", "prompt": "secret", "llmcost_tenant": "t1"}),
        ):
            stream = make_llm().stream_chat(ASKED)
        list(stream)  # read where none of them is in force any more
    finally:
        uninstall()
    labels = only(entries(tracker)).call.labels
    assert labels.values == {"team": "alpha", "feature": "search", "user": "u2", "tenant": "t1"}
    assert set(labels.tags) == {"app", "exp"}


def test_a_label_that_cannot_be_used_stops_the_installation(make_tracker: Install) -> None:
    with pytest.raises(ConfigurationError, match="is a string"):
        install(make_tracker(), tags="word")


def test_a_label_in_the_place_of_the_tracker_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"write install\(tracker, feature='chat'\)"):
        llmcost_llamaindex.install("chat")  # type: ignore[arg-type]  # what users get wrong


def test_a_run_budget_covers_all_calls_of_one_query(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    held = (64 + 5) * 2_500 + 200 * 10_000
    tracker = installed(f"run={held}E-9")
    llm = make_llm()
    llm.chat(ASKED)
    llm.chat(ASKED)  # a run of its own
    with instrument_tags({"llamaindex.run_id": "run-1"}):
        llm.chat(ASKED)
        with pytest.raises(BudgetExceeded, match="'run:run-1' per run"):
            llm.chat(ASKED)
    assert len(provider.requests) == 3
    assert len({entry.call.run for entry in entries(tracker)}) == 3


def test_the_calls_of_a_query_engine_are_one_run_and_counted_once_each(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    documents = [Document(text=f"{word} " * 300) for word in ("one", "two", "three")]
    index = SummaryIndex.from_documents(documents, embed_model=MockEmbedding(2))
    engine = index.as_query_engine(llm=make_llm(), response_mode="tree_summarize")
    assert str(engine.query("What is it?"))
    streaming = index.as_query_engine(llm=make_llm(), streaming=True)
    streamed: Any = streaming.query("What is it?")
    assert "".join(streamed.response_gen)
    check_once(tracker, provider)
    assert len({entry.call.run for entry in entries(tracker)}) == 2


def test_a_structured_prediction_is_counted_once(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    structured = make_llm().as_structured_llm(Answer)
    assert structured.complete("hello").text
    assert structured.chat(ASKED).raw
    check_once(tracker, provider)


@pytest.mark.parametrize("method", ["chat", "complete", "stream_chat", "stream_complete"])
def test_a_model_that_wraps_another_is_counted_once(
    method: str, make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    # Room for one hold and a bit: the wrapper must not hold besides what it wraps.
    tracker = installed("global=0.003")
    result = getattr(Wrapper(inner=make_llm()), method)(ASKED if "chat" in method else "hello")
    if "stream" in method:
        list(result)
    check_once(tracker, provider)


@pytest.mark.parametrize("method", ["achat", "acomplete", "astream_chat", "astream_complete"])
async def test_a_model_that_wraps_another_is_counted_once_when_asynchronous(
    method: str, make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    asked: Any = ASKED if "chat" in method else "hello"
    result = await getattr(Wrapper(inner=make_llm()), method)(asked)
    if "stream" in method:
        async for _ in result:
            pass
    check_once(tracker, provider)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_importing_loads_nothing_of_llamaindex() -> None:
    done = run_python(
        "import sys, llmcost_llamaindex; assert 'llama_index.core' not in sys.modules"
    )
    assert done.returncode == 0, done.stderr


def test_without_llamaindex_the_import_says_what_to_install() -> None:
    done = run_python("import sys; sys.modules['llama_index'] = None; import llmcost_llamaindex")
    assert "pip install 'llmcost-plugins[llamaindex]'" in done.stderr


def test_the_public_names_exist_and_no_other() -> None:
    assert dir(llmcost_llamaindex) == sorted(llmcost_llamaindex.__all__)
    for name in llmcost_llamaindex.__all__:
        assert getattr(llmcost_llamaindex, name)
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = llmcost_llamaindex.nothing
