"""Every way of calling a chain: one entry a call, and the ledger equals the provider's bill."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig

from llmcost_langchain import CostCallbackHandler, FallbackRouter
from llmcost_plugins import CostTracker
from llmcost_plugins.money import nano_to_usd
from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.usage import Trust
from tests.support import MakeModel, MakeTracker, entries, recorded_nano, statuses

Chain = Runnable[Any, str]
Call = Callable[[Chain, RunnableConfig], Awaitable[int]]
BUDGETS = "global=10/month; feature:*=5/day; model:gpt-4o=3/day; run=1"


async def invoke(chain: Chain, config: RunnableConfig) -> int:
    await asyncio.to_thread(chain.invoke, {"q": "a"}, config)
    return 1


async def ainvoke(chain: Chain, config: RunnableConfig) -> int:
    await chain.ainvoke({"q": "a"}, config)
    return 1


async def stream(chain: Chain, config: RunnableConfig) -> int:
    await asyncio.to_thread(lambda: list(chain.stream({"q": "a"}, config)))
    return 1


async def astream(chain: Chain, config: RunnableConfig) -> int:
    _ = [chunk async for chunk in chain.astream({"q": "a"}, config)]
    return 1


async def batch(chain: Chain, config: RunnableConfig) -> int:
    await asyncio.to_thread(chain.batch, [{"q": "a"}, {"q": "b"}, {"q": "c"}], config)
    return 3


async def abatch(chain: Chain, config: RunnableConfig) -> int:
    await chain.abatch([{"q": "a"}, {"q": "b"}, {"q": "c"}], config)
    return 3


async def astream_events(chain: Chain, config: RunnableConfig) -> int:
    _ = [event async for event in chain.astream_events({"q": "a"}, config, version="v2")]
    return 1


async def stream_of_events(chain: Chain, config: RunnableConfig) -> int:
    steps: Any = chain
    prompt = steps.steps[0].invoke({"q": "a"})
    # Event streams of version 3 are a model's own.
    stream = steps.steps[1].stream_events(prompt, config, version="v3")
    await asyncio.to_thread(lambda: stream.output)
    return 1


async def astream_of_events(chain: Chain, config: RunnableConfig) -> int:
    steps: Any = chain
    prompt = steps.steps[0].invoke({"q": "a"})
    await (await steps.steps[1].astream_events(prompt, config, version="v3"))
    return 1


async def generate(chain: Chain, config: RunnableConfig) -> int:
    steps: Any = chain
    prompts = [steps.steps[0].invoke({"q": text}).to_messages() for text in "ab"]
    await asyncio.to_thread(lambda: steps.steps[1].generate(prompts, **config))
    return 2


async def agenerate(chain: Chain, config: RunnableConfig) -> int:
    steps: Any = chain
    prompts = [steps.steps[0].invoke({"q": text}).to_messages() for text in "ab"]
    await steps.steps[1].agenerate(prompts, **config)
    return 2


FORMS = [
    invoke,
    ainvoke,
    stream,
    astream,
    batch,
    abatch,
    generate,
    agenerate,
    astream_events,
    stream_of_events,
    astream_of_events,
]
SETUPS = ["handler", "router", "both"]


def build(
    setup: str, tracker: CostTracker, make_model: MakeModel, handler: CostCallbackHandler
) -> tuple[Chain, RunnableConfig]:
    model: Any = make_model()
    if setup != "handler":
        model = FallbackRouter(models=[model, make_model("gpt-4o-mini")], tracker=tracker)
    chain = ChatPromptTemplate.from_template("Answer: {q}") | model | StrOutputParser()
    config: RunnableConfig = {"metadata": {"user": "u1"}}
    if setup != "router":
        config["callbacks"] = [handler]
    return chain, config


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
# langchain-openai warns about details that a provider leaves out when it sums several usages.
@pytest.mark.filterwarnings("ignore:Unexpected type for token usage:UserWarning")
@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("form", FORMS)
async def test_the_ledger_equals_the_bill_in_every_form_and_setup(
    form: Call,
    setup: str,
    make_model: MakeModel,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
) -> None:
    provider.behave(
        "gpt-4o",
        Behavior(prompt_tokens=321, cached_tokens=128, completion_tokens=45, reasoning_tokens=7),
    )
    tracker = make_tracker(BUDGETS)
    handler = CostCallbackHandler(tracker, feature="chat")
    chain, config = build(setup, tracker, make_model, handler)

    calls = await form(chain, config)

    assert len(provider.requests) == calls
    assert provider.billed_nano > 0
    assert recorded_nano(tracker) == provider.billed_nano
    assert statuses(tracker) == ["ok"] * calls
    assert {entry.outcome.usage.trust for entry in entries(tracker)} == {Trust.PROVIDER}
    assert {entry.call.labels.values["user"] for entry in entries(tracker)} == {"u1"}
    if setup != "router":
        assert handler.total == nano_to_usd(provider.billed_nano)
        assert handler.calls == calls
        assert {e.call.labels.values["feature"] for e in entries(tracker)} == {"chat"}


@pytest.mark.parametrize("setup", SETUPS)
async def test_a_call_of_one_run_is_in_the_bucket_of_the_outermost_run(
    setup: str, make_model: MakeModel, make_tracker: MakeTracker
) -> None:
    tracker = make_tracker("run=1")
    chain, config = build(setup, tracker, make_model, CostCallbackHandler(tracker))
    outer = chain | (lambda text: {"q": text}) | chain

    await outer.ainvoke({"q": "a"}, config)
    await outer.ainvoke({"q": "a"}, config)

    runs = [entry.call.run for entry in entries(tracker)]
    assert len(runs) == 4
    assert len(set(runs)) == 2


def test_two_handlers_on_one_call_record_it_once_and_both_know_its_cost(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    first, second = CostCallbackHandler(tracker), CostCallbackHandler(tracker)
    make_model().invoke("hello", {"callbacks": [first, second]})
    assert statuses(tracker) == ["ok"]
    assert first.total == second.total == nano_to_usd(provider.billed_nano)


def test_n_choices_are_billed_once_with_their_whole_usage(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    handler = CostCallbackHandler(tracker)
    make_model(n=3).invoke("hello", {"callbacks": [handler]})
    assert recorded_nano(tracker) == provider.billed_nano > 0


# langchain-openai warns about details that a provider leaves out when it sums several usages.
@pytest.mark.filterwarnings("ignore:Unexpected type for token usage:UserWarning")
def test_generate_with_several_prompts_records_each(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    model = make_model()
    prompts = [model._convert_input(text).to_messages() for text in ("a", "bb", "ccc")]
    model.generate(prompts, callbacks=[CostCallbackHandler(tracker)])
    assert statuses(tracker) == ["ok"] * 3
    assert recorded_nano(tracker) == provider.billed_nano
