"""A budget per run: what belongs to one run, wherever its calls are made."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict

import pytest
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph

from llmcost_langchain import BudgetExceeded, CostCallbackHandler
from llmcost_plugins import CostTracker, attribute, in_context
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.support import MakeModel, MakeTracker, entries, statuses


class State(TypedDict):
    question: str


def runs(tracker: CostTracker) -> list[str | None]:
    return [entry.call.run for entry in entries(tracker)]


def assert_one_run(tracker: CostTracker, calls: int) -> None:
    assert len(runs(tracker)) == calls
    assert len(set(runs(tracker))) == 1


@pytest.fixture
def config(tracker: CostTracker) -> RunnableConfig:
    return {"callbacks": [CostCallbackHandler(tracker)]}


def test_a_model_with_fallbacks_belongs_to_its_run_although_langchain_loses_the_parent(
    make_model: MakeModel,
    tracker: CostTracker,
    provider: SimulatedProvider,
    config: RunnableConfig,
) -> None:
    provider.behave("gpt-4o", Behavior(status=500))
    model = make_model().with_fallbacks([make_model("gpt-4o-mini")])
    model.invoke("a", config)
    assert statuses(tracker) == ["error", "ok"]
    assert_one_run(tracker, 2)
    model.invoke("a", config)
    assert len(set(runs(tracker))) == 2


async def test_a_model_with_fallbacks_in_async_code_belongs_to_its_run(
    make_model: MakeModel,
    tracker: CostTracker,
    provider: SimulatedProvider,
    config: RunnableConfig,
) -> None:
    provider.behave("gpt-4o", Behavior(status=500))
    await make_model().with_fallbacks([make_model("gpt-4o-mini")]).ainvoke("a", config)
    assert_one_run(tracker, 2)


def test_a_call_with_callbacks_of_its_own_belongs_to_the_run_that_makes_it(
    make_model: MakeModel, tracker: CostTracker, config: RunnableConfig
) -> None:
    model = make_model()

    def work(_: str) -> str:
        return model.invoke("b", {"callbacks": [CostCallbackHandler(tracker)]}).text

    (model | (lambda message: message.text) | RunnableLambda(work)).invoke("a", config)
    assert_one_run(tracker, 2)


def test_branches_and_tools_belong_to_the_run(
    make_model: MakeModel, tracker: CostTracker, config: RunnableConfig
) -> None:
    model = make_model()

    @tool
    def look_up(question: str) -> str:
        """Look something up."""
        return model.invoke(question).text

    branches = RunnableParallel(one=model, two=model, three=look_up)
    (RunnableLambda(lambda text: text) | branches).invoke("a", config)
    assert_one_run(tracker, 3)


def test_a_retriever_that_asks_a_model_belongs_to_the_run(
    make_model: MakeModel, tracker: CostTracker, config: RunnableConfig
) -> None:
    model = make_model()

    class Rewriting(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            text = model.invoke(query, {"callbacks": run_manager.get_child()}).text
            return [Document(text)]

    (RunnableLambda(lambda text: text) | Rewriting() | str | model).invoke("a", config)
    assert_one_run(tracker, 2)
    Rewriting().invoke("a", config)
    assert len(set(runs(tracker))) == 2


@pytest.mark.parametrize("form", ["invoke", "ainvoke"])
async def test_a_graph_and_the_graphs_inside_it_are_one_run(
    form: str, make_model: MakeModel, tracker: CostTracker, config: RunnableConfig
) -> None:
    model = make_model()

    def ask(state: State) -> State:
        return {"question": model.invoke(state["question"]).text}

    inner: Any = StateGraph(State)
    inner.add_node("ask", ask)
    inner.add_edge(START, "ask")
    inner.add_edge("ask", END)
    outer: Any = StateGraph(State)
    outer.add_node("ask", ask)
    outer.add_node("inner", inner.compile())
    outer.add_edge(START, "ask")
    outer.add_edge("ask", "inner")
    outer.add_edge("inner", END)
    graph = outer.compile()
    if form == "invoke":
        await asyncio.to_thread(graph.invoke, {"question": "a"}, config)
    else:
        await graph.ainvoke({"question": "a"}, config)
    assert_one_run(tracker, 2)


def test_langchains_own_thread_pool_keeps_the_run(
    make_model: MakeModel, tracker: CostTracker, config: RunnableConfig
) -> None:
    model = make_model()

    def work(_: str) -> list[str]:
        with ContextThreadPoolExecutor(2) as pool:
            return [answer.text for answer in pool.map(model.invoke, ["a", "b"])]

    RunnableLambda(work).invoke("x", config)
    assert_one_run(tracker, 2)


def test_a_plain_thread_pool_loses_the_run_and_in_context_keeps_it(
    make_model: MakeModel, tracker: CostTracker, config: RunnableConfig
) -> None:
    model = make_model()

    def ask(text: str) -> str:
        return model.invoke(text).text

    def work(keep: bool) -> list[str]:
        with attribute(user="u1"), ThreadPoolExecutor(2) as pool:
            return list(pool.map(in_context(ask) if keep else ask, ["a", "b"]))

    RunnableLambda(work).invoke(False, config)
    assert entries(tracker) == [], "LangChain's callbacks are lost with the context"
    RunnableLambda(work).invoke(True, config)
    assert_one_run(tracker, 2)
    assert {entry.call.labels.values["user"] for entry in entries(tracker)} == {"u1"}


def test_a_run_that_is_over_has_no_more_calls(
    make_model: MakeModel, tracker: CostTracker, config: RunnableConfig
) -> None:
    chain = ChatPromptTemplate.from_template("{q}") | make_model()
    chain.invoke({"q": "a"}, config)
    chain.invoke({"q": "b"}, config)
    assert len(set(runs(tracker))) == 2


def test_a_budget_per_run_holds_through_fallbacks(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(prompt_tokens=20, completion_tokens=200))
    tracker = make_tracker("run=0.004:raise")
    model = make_model().with_fallbacks([make_model("gpt-4o")])

    def work(_: str) -> None:
        for text in ("a", "b", "c"):
            model.invoke(text)

    with pytest.raises(BudgetExceeded, match="run"):
        RunnableLambda(work).invoke("x", {"callbacks": [CostCallbackHandler(tracker)]})
    assert provider.billed_nano <= 4_000_000
    assert_one_run(tracker, len(entries(tracker)))
