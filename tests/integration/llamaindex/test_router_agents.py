"""The router as the LLM of agents, query engines and chat engines."""

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import LLM
from llama_index.llms.openai import OpenAI

from llmcost_llamaindex import FallbackRouter
from llmcost_plugins import BudgetExceeded, CostTracker
from llmcost_plugins.ledger import Status
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.integration.llamaindex.router_forms import City, weather
from tests.support import MakeTracker, entries, held_nano, recorded_nano

MakeLLM = Callable[..., OpenAI]
# What LlamaIndex's workflows do by themselves.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
]
ASKED = "what is the weather in Paris?"


def two(make_llm: MakeLLM, tracker: CostTracker) -> FallbackRouter:
    models = [make_llm("gpt-4o", usage=False), make_llm("gpt-4o-mini", usage=False)]
    return FallbackRouter(models, tracker=tracker)


def served(tracker: CostTracker) -> list[str]:
    return [entry.call.model for entry in entries(tracker) if entry.outcome.status is Status.OK]


def function_agent(llm: LLM, **options: Any) -> FunctionAgent:
    return FunctionAgent(tools=[weather], llm=llm, **options)


AGENTS: dict[str, Callable[[LLM], Any]] = {
    "function": function_agent,
    "function, not streaming": lambda llm: function_agent(llm, streaming=False),
    "workflow": lambda llm: AgentWorkflow(agents=[function_agent(llm)]),
    "react": lambda llm: ReActAgent(tools=[weather], llm=llm),
}


@pytest.fixture(params=["alone", "installed"])
def either_tracker(
    request: pytest.FixtureRequest,
    make_tracker: MakeTracker,
    installed: Callable[..., CostTracker],
) -> CostTracker:
    """A tracker for the router, with and without `install`."""
    return installed() if request.param == "installed" else make_tracker("global=1000")


@pytest.mark.parametrize("kind", AGENTS)
async def test_an_agent_records_each_step_once_at_what_it_costs(
    kind: str, make_llm: MakeLLM, either_tracker: CostTracker, provider: SimulatedProvider
) -> None:
    tracker = either_tracker
    if kind == "react":
        provider.behave("*", Behavior(content="Thought: I know.\nAnswer: sunny"))
    await AGENTS[kind](two(make_llm, tracker)).run(user_msg=ASKED)
    assert len(entries(tracker)) == len(provider.requests) == (1 if kind == "react" else 2)
    assert recorded_nano(tracker) == provider.billed_nano
    assert tracker.failures == 0


@pytest.mark.parametrize("kind", ["function", "function, not streaming", "workflow"])
async def test_an_agent_goes_on_with_a_cheaper_model_in_mid_run(
    kind: str, make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(prompt_tokens=100, completion_tokens=150))
    tracker = make_tracker("global=0.006/day")
    result = await AGENTS[kind](two(make_llm, tracker)).run(user_msg=ASKED)
    assert served(tracker) == ["gpt-4o", "gpt-4o-mini"]
    assert str(result)
    assert "sunny in" in str(provider.requests[-1].body)
    assert recorded_nano(tracker) == provider.billed_nano <= 6_000_000


@pytest.mark.parametrize("kind", AGENTS)
async def test_with_nothing_left_an_agent_makes_no_request_and_raises(
    kind: str, make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=0.00001/day")
    with pytest.raises(BudgetExceeded):
        await AGENTS[kind](two(make_llm, tracker)).run(user_msg=ASKED)
    assert provider.requests == []
    assert held_nano(tracker) == 0


async def test_an_agents_structure_is_recorded_too(
    make_llm: MakeLLM, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    agent: Any = function_agent(two(make_llm, tracker), output_cls=City)
    result = await agent.run(user_msg=ASKED)
    assert result.structured_response is not None
    assert len(entries(tracker)) == len(provider.requests) == 3
    assert recorded_nano(tracker) == provider.billed_nano


@pytest.mark.parametrize("direction", [("openai", "anthropic"), ("anthropic", "openai")])
async def test_an_agent_goes_on_with_another_provider_in_mid_run(
    direction: tuple[str, str],
    make_llm: MakeLLM,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
) -> None:
    anthropic = pytest.importorskip("llama_index.llms.anthropic")
    claude = anthropic.Anthropic(
        model="claude-sonnet-4-5", api_key="x", base_url=provider.root_url, max_retries=0
    )
    by_name = {"openai": make_llm("gpt-4o", usage=False), "anthropic": claude}
    models = [by_name[name] for name in direction]
    tracker = make_tracker("global=1/day")
    # The first answers once, and is down from then on.
    name = models[0].metadata.model_name
    provider.behave(name, Behavior(), times=1)
    provider.behave(name, Behavior(status=500))
    agent: Any = function_agent(FallbackRouter(models, tracker=tracker))
    result = await agent.run(user_msg=ASKED)
    await claude._aclient.close()
    assert str(result)
    assert "sunny in" in str(provider.requests[-1].body)
    assert served(tracker) == [model.metadata.model_name for model in models]
    assert recorded_nano(tracker) == provider.billed_nano


@pytest.fixture
def index() -> VectorStoreIndex:
    return VectorStoreIndex.from_documents(
        [Document(text="The capybara is a rodent.")], embed_model=MockEmbedding(embed_dim=4)
    )


async def test_query_engines_use_it_in_each_manner(
    index: VectorStoreIndex,
    make_llm: MakeLLM,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
) -> None:
    tracker = make_tracker("model:gpt-4o=0/day; global=1/day")
    router = two(make_llm, tracker)
    engine = index.as_query_engine(llm=router)
    assert "capybara" in str(engine.query("What is it?"))
    assert "capybara" in str(await engine.aquery("What is it?"))
    streaming = index.as_query_engine(llm=router, streaming=True)
    answer: Any = streaming.query("What is it?")
    assert "capybara" in "".join(answer.response_gen)
    structured = index.as_query_engine(llm=router, output_cls=City)
    assert structured.query("What is it?") is not None
    assert served(tracker) == ["gpt-4o-mini"] * 4
    assert recorded_nano(tracker) == provider.billed_nano


def test_a_refusal_comes_out_of_a_query_engine(
    index: VectorStoreIndex, make_llm: MakeLLM, make_tracker: MakeTracker
) -> None:
    tracker = make_tracker("global=0/day")
    engine = index.as_query_engine(llm=two(make_llm, tracker))
    with pytest.raises(BudgetExceeded):
        engine.query("What is it?")


# LlamaIndex raises it again in the consumer, and lets the thread die of it, too.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("enough", [True, False])
def test_a_chat_engine_streams_in_its_thread(
    enough: bool, make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=1/day" if enough else "global=0/day")
    engine = SimpleChatEngine.from_defaults(llm=two(make_llm, tracker))
    answer = engine.stream_chat("hello")
    if enough:
        assert "".join(answer.response_gen) == "You said: hello"
    else:
        with pytest.raises(BudgetExceeded):
            list(answer.response_gen)
    assert len(provider.requests) == int(enough)
    assert recorded_nano(tracker) == provider.billed_nano
