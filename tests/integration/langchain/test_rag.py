"""A RAG chain as a whole: the ledger equals the bill, and a runaway is stopped."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from llmcost_langchain import (
    BudgetExceeded,
    CostCallbackHandler,
    FallbackRouter,
    TrackedEmbeddings,
)
from llmcost_plugins import CostTracker
from llmcost_plugins.testing import SimulatedProvider
from llmcost_plugins.usage import Trust
from tests.support import (
    MakeEmbeddings,
    MakeModel,
    MakeTracker,
    entries,
    held_nano,
    recorded_nano,
)

FACTS = [Document(f"fact {number}: the capybara swims") for number in range(20)]
MakeRag = Callable[[CostTracker], Runnable[Any, str]]


@pytest.fixture
def make_rag(make_model: MakeModel, make_embeddings: MakeEmbeddings) -> MakeRag:
    """RAG chains: 20 facts indexed in 4 requests, two of them looked up for each question."""

    def make(tracker: CostTracker) -> Runnable[Any, str]:
        embeddings = TrackedEmbeddings(
            make_embeddings(chunk_size=5), tracker=tracker, feature="search"
        )
        store = InMemoryVectorStore(embeddings)
        store.add_documents(FACTS)
        models = [make_model("gpt-4o"), make_model("gpt-4o-mini")]
        return (
            {
                "facts": store.as_retriever(search_kwargs={"k": 2}),
                "question": RunnablePassthrough(),
            }
            | ChatPromptTemplate.from_template("Facts: {facts}\nQuestion: {question}")
            | FallbackRouter(models=models, tracker=tracker)
            | StrOutputParser()
        )

    return make


def test_every_request_of_the_chain_is_recorded_and_its_total_is_the_bill(
    make_rag: MakeRag, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    rag, indexed = make_rag(tracker), provider.billed_usd
    handler = CostCallbackHandler(tracker, feature="rag")
    rag.invoke("does it swim?", {"callbacks": [handler], "metadata": {"user": "u1"}})
    assert len(provider.requests) == 4 + 2
    assert recorded_nano(tracker) == provider.billed_nano
    assert handler.total == provider.billed_usd - indexed > 0
    embedded, answered = entries(tracker)[-2:]
    assert [one.call.labels.values["feature"] for one in (embedded, answered)] == ["search", "rag"]
    assert {one.call.labels.values["user"] for one in (embedded, answered)} == {"u1"}
    assert embedded.call.run == answered.call.run
    assert {one.outcome.usage.trust for one in entries(tracker)} == {Trust.PROVIDER}


async def test_the_same_holds_async_in_batches_and_streamed(
    make_rag: MakeRag, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    rag, handler = make_rag(tracker), CostCallbackHandler(tracker)
    await rag.ainvoke("a?", {"callbacks": [handler]})
    await rag.abatch(["b?", "c?", "d?"], {"callbacks": [handler]})
    rag.batch(["e?", "f?"], {"callbacks": [handler]})
    list(rag.stream("g?", {"callbacks": [handler]}))
    async for _ in rag.astream("h?", {"callbacks": [handler]}):
        pass
    assert len(provider.requests) == 4 + 2 * 8
    assert recorded_nano(tracker) == provider.billed_nano
    runs = [one.call.run for one in entries(tracker)[4:]]
    assert sorted(runs.count(run) for run in set(runs)) == [2] * 8


def test_a_chain_that_runs_away_is_stopped_by_the_budget_of_its_run(
    make_rag: MakeRag, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("run=0.01:raise")
    rag, before = make_rag(tracker), provider.billed_nano

    def refine(question: str) -> str:
        while True:
            question = rag.invoke(f"Say it better: {question}")

    with pytest.raises(BudgetExceeded) as caught:
        RunnableLambda(refine).invoke("why?", {"callbacks": [CostCallbackHandler(tracker)]})
    assert re.fullmatch(
        r"budget 'run:[0-9a-f-]+' per run: this call to '[a-z0-9-]+' may cost up to \$0\.0\d+, but "
        r"\$0\.0\d+ is left of \$0\.0100 \(\$0\.0\d+ spent\)\. .*",
        str(caught.value),
    )
    assert len(provider.requests) > 4 + 4
    assert 0 < provider.billed_nano - before <= 10_000_000
    assert recorded_nano(tracker) == provider.billed_nano
    assert held_nano(tracker) == 0
    # The next run has a budget of its own.
    assert rag.invoke("does it swim?", {"callbacks": [CostCallbackHandler(tracker)]})


def test_the_embeddings_of_a_run_use_up_its_budget_too(
    make_model: MakeModel,
    make_embeddings: MakeEmbeddings,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
) -> None:
    tracker = make_tracker("run=0.0022")
    tracked = TrackedEmbeddings(make_embeddings(), tracker=tracker)
    model = make_model("gpt-4o", max_tokens=200)

    def embed(count: int) -> str:
        tracked.embed_documents(["x" * 1000] * count)
        return "hello"

    chain = RunnableLambda(embed) | model
    handler = CostCallbackHandler(tracker)
    chain.invoke(1, {"callbacks": [handler]})
    with pytest.raises(BudgetExceeded, match=r"'gpt-4o' may cost up to .* spent\)"):
        chain.invoke(10, {"callbacks": [handler]})
    assert [line.model for line in provider.requests].count("gpt-4o") == 1
    assert recorded_nano(tracker) == provider.billed_nano
