"""Rerankers: what is recorded, what is refused, and who is charged."""

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun, Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import FakeListChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel, ConfigDict

from llmcost_langchain import BudgetExceeded, CostCallbackHandler, TrackedDocumentCompressor
from llmcost_plugins import CostTracker
from llmcost_plugins.errors import ConfigurationError, PriceUnknown
from llmcost_plugins.pricing.policy import parse_unknown_model
from llmcost_plugins.testing import Behavior, ModelPrice, SimulatedProvider
from llmcost_plugins.usage import Trust
from tests.support import MakeTracker, entries, held_nano, only, recorded_nano, statuses

MODEL = "rerank-v3.5"
UNIT = 2_000_000
"""Nano-dollars of a search unit of it."""
QUERY = "which animal swims"
DOCUMENTS = [Document("the moon is far"), Document("a capybara is an animal that swims")]


def budget(nano: int) -> str:
    return f"global={Decimal(nano).scaleb(-9):f}/month"


def trust(tracker: CostTracker) -> Trust:
    found: Trust = only(entries(tracker)).outcome.usage.trust
    return found


class Ranked(BaseModel):
    index: int
    relevance_score: float


class Reranked(BaseModel):
    """An answer as Cohere's SDK gives it."""

    model_config = ConfigDict(extra="allow")

    results: list[Ranked]


class RerankClient:
    """Sends to Cohere's endpoint, as its SDK does."""

    def __init__(self, provider: SimulatedProvider) -> None:
        self._url = provider.base_url.removesuffix("/v1") + "/v2/rerank"

    def rerank(self, **body: Any) -> Reranked:
        sent = {key: value for key, value in body.items() if value is not None}
        key = {"authorization": "Bearer none"}
        answer = httpx.post(self._url, json=sent, headers=key, timeout=60)
        answer.raise_for_status()
        return Reranked.model_validate(answer.json())


class AsyncRerankClient(RerankClient):
    async def rerank(self, **body: Any) -> Reranked:  # type: ignore[override]  # as SDKs do
        key = {"authorization": "Bearer none"}
        async with httpx.AsyncClient() as client:
            answer = await client.post(self._url, json=body, headers=key, timeout=60)
        answer.raise_for_status()
        return Reranked.model_validate(answer.json())


class Reranker(BaseDocumentCompressor):
    """A compressor as `CohereRerank` is."""

    client: Any
    async_client: Any = None
    model: str = MODEL
    top_n: int | None = 1

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - LangChain's signature
    ) -> Sequence[Document]:
        if not documents:
            return []
        answer = self.client.rerank(**self._body(documents, query))
        return [documents[one.index] for one in answer.results]

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        if self.async_client is None:
            return await super().acompress_documents(documents, query, callbacks)
        answer = await self.async_client.rerank(**self._body(documents, query))
        return [documents[one.index] for one in answer.results]

    def _body(self, documents: Sequence[Document], query: str) -> dict[str, Any]:
        texts = [document.page_content for document in documents]
        return {"model": self.model, "query": query, "documents": texts, "top_n": self.top_n}


class Unheard(BaseDocumentCompressor):
    """A compressor whose client cannot be listened to."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    sender: RerankClient
    model: str = MODEL

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - LangChain's signature
    ) -> Sequence[Document]:
        texts = [document.page_content for document in documents]
        answer = self.sender.rerank(model=self.model, query=query, documents=texts)
        return [documents[one.index] for one in answer.results]


class CompressionRetriever(BaseRetriever):
    """A retriever with a compressor, as `ContextualCompressionRetriever` is."""

    compressor: BaseDocumentCompressor

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        callbacks = run_manager.get_child()
        return list(self.compressor.compress_documents(DOCUMENTS, query, callbacks))


def test_the_ledger_equals_the_bill_in_search_units_and_the_best_document_is_returned(
    tracker: CostTracker, provider: SimulatedProvider
) -> None:
    tracked = TrackedDocumentCompressor(Reranker(client=RerankClient(provider)), tracker=tracker)
    assert tracked.compress_documents(DOCUMENTS, QUERY) == [DOCUMENTS[1]]
    assert recorded_nano(tracker) == provider.billed_nano == UNIT
    entry = only(entries(tracker))
    assert dict(entry.outcome.usage.other) == {"query": 1}
    assert entry.outcome.usage.trust is Trust.PROVIDER
    assert (entry.call.model, entry.call.provider) == (MODEL, "cohere")


@pytest.mark.parametrize("has_own_client", [False, True])
async def test_async_calls_equal_the_bill_too(
    tracker: CostTracker, provider: SimulatedProvider, has_own_client: bool
) -> None:
    inner = Reranker(
        client=RerankClient(provider),
        async_client=AsyncRerankClient(provider) if has_own_client else None,
    )
    tracked = TrackedDocumentCompressor(inner, tracker=tracker)
    assert await tracked.acompress_documents(DOCUMENTS, QUERY) == [DOCUMENTS[1]]
    assert recorded_nano(tracker) == provider.billed_nano == UNIT
    assert trust(tracker) is Trust.PROVIDER


def test_what_the_provider_reports_counts_not_what_was_expected(
    tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave(MODEL, Behavior(completion_tokens=3))
    tracked = TrackedDocumentCompressor(Reranker(client=RerankClient(provider)), tracker=tracker)
    tracked.compress_documents(DOCUMENTS, QUERY)
    assert recorded_nano(tracker) == provider.billed_nano == 3 * UNIT


def test_without_a_report_units_are_estimated_on_the_safe_side_and_flagged(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(budget(10**10))
    provider.behave(MODEL, Behavior(no_usage=True))
    tracked = TrackedDocumentCompressor(Reranker(client=RerankClient(provider)), tracker=tracker)
    tracked.compress_documents([Document("word " * 400)] * 60, QUERY)
    assert provider.billed_nano == 2 * UNIT
    assert provider.billed_nano <= recorded_nano(tracker) == 3 * UNIT
    assert trust(tracker) is Trust.ESTIMATED
    assert held_nano(tracker) == 0


def test_a_compressor_without_a_client_is_estimated_from_its_documents(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(budget(10**9))
    inner = Unheard(sender=RerankClient(provider))
    tracked = TrackedDocumentCompressor(inner, tracker=tracker)
    assert tracked.compress_documents(DOCUMENTS, QUERY)[0] == DOCUMENTS[1]
    assert recorded_nano(tracker) == provider.billed_nano == UNIT
    assert trust(tracker) is Trust.ESTIMATED


def test_a_rerank_that_does_not_fit_is_refused_before_it_is_sent(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(budget(UNIT - 1))
    for inner in (Reranker(client=RerankClient(provider)), Unheard(sender=RerankClient(provider))):
        tracked = TrackedDocumentCompressor(inner, tracker=tracker)
        with pytest.raises(BudgetExceeded, match=r"rerank-v3\.5.*may cost up to"):
            tracked.compress_documents(DOCUMENTS, QUERY)
    assert provider.requests == []


def test_32_threads_on_a_budget_of_10_searches_send_exactly_10(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(budget(10 * UNIT))
    tracked = TrackedDocumentCompressor(Reranker(client=RerankClient(provider)), tracker=tracker)
    ready = threading.Barrier(32)

    def call(_: int) -> bool:
        ready.wait()
        try:
            tracked.compress_documents(DOCUMENTS, QUERY)
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        answered = sum(pool.map(call, range(32)))
    assert answered == len(provider.requests) == 10
    assert recorded_nano(tracker) == provider.billed_nano == 10 * UNIT


@pytest.mark.parametrize("status", [429, 500])
def test_a_request_that_the_provider_refuses_costs_nothing(
    make_tracker: MakeTracker, provider: SimulatedProvider, status: int
) -> None:
    tracker = make_tracker(budget(10**9))
    provider.behave(MODEL, Behavior(status=status))
    for inner in (Reranker(client=RerankClient(provider)), Unheard(sender=RerankClient(provider))):
        tracked = TrackedDocumentCompressor(inner, tracker=tracker)
        with pytest.raises(httpx.HTTPStatusError):
            tracked.compress_documents(DOCUMENTS, QUERY)
    assert statuses(tracker) == ["error", "error"]
    assert recorded_nano(tracker) == provider.billed_nano == 0
    assert held_nano(tracker) == 0


def wait_for_request(provider: SimulatedProvider) -> None:
    while not provider.in_flight:
        time.sleep(0.01)


async def test_a_cancelled_rerank_is_settled_at_what_was_held(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(budget(10**9))
    provider.behave(MODEL, Behavior(delay=30))
    inner = Reranker(client=None, async_client=AsyncRerankClient(provider))
    tracked = TrackedDocumentCompressor(inner, tracker=tracker)
    task = asyncio.create_task(tracked.acompress_documents(DOCUMENTS, QUERY))
    await asyncio.to_thread(wait_for_request, provider)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(provider.settled)
    assert statuses(tracker) == ["aborted"]
    assert recorded_nano(tracker) == UNIT >= provider.billed_nano
    assert trust(tracker) is Trust.ESTIMATED


def test_a_model_without_a_price_is_refused_under_a_budget(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    inner = Reranker(client=RerankClient(provider), model="house-reranker")
    tracked = TrackedDocumentCompressor(inner, tracker=make_tracker(budget(10**9)))
    with pytest.raises(PriceUnknown, match="house-reranker"):
        tracked.compress_documents(DOCUMENTS, QUERY)
    assert provider.requests == []


def test_units_of_a_model_that_is_priced_by_tokens_are_never_taken_for_free(
    make_tracker: MakeTracker,
) -> None:
    tracker = make_tracker(budget(10**9), unknown_model=parse_unknown_model("ceiling:1,1"))
    prices = {name: ModelPrice(input="0") for name in ("rerank-v5.0-pro", "house-reranker")}
    with SimulatedProvider(prices=prices) as provider:
        for model in prices:
            inner = Reranker(client=RerankClient(provider), model=model)
            tracked = TrackedDocumentCompressor(inner, tracker=tracker)
            tracked.compress_documents(DOCUMENTS, QUERY)
    for entry in entries(tracker):
        assert entry.outcome.cost > 0
        assert entry.outcome.usage.trust is Trust.ESTIMATED


class Voyage:
    """A client that reports tokens."""

    @staticmethod
    def rerank(query: str, documents: list[str], model: str, **_: Any) -> Any:
        assert (query, len(documents), model) == (QUERY, 2, "rerank-2.5")
        results = [Ranked(index=1, relevance_score=1.0)]
        return Reranked.model_validate({"results": results, "total_tokens": 26})


def test_tokens_are_billed_where_the_model_is_priced_by_them(make_tracker: MakeTracker) -> None:
    tracker = make_tracker(budget(10**9))
    inner = Reranker(client=Voyage(), model="rerank-2.5")
    tracked = TrackedDocumentCompressor(inner, tracker=tracker, provider="voyageai")
    assert tracked.compress_documents(DOCUMENTS, QUERY) == [DOCUMENTS[1]]
    entry = only(entries(tracker))
    assert entry.call.model == "voyage/rerank-2.5"
    assert (entry.outcome.cost, entry.outcome.usage.input) == (26 * 50, 26)
    assert entry.outcome.usage.trust is Trust.PROVIDER


def test_no_documents_send_and_record_nothing(
    tracker: CostTracker, provider: SimulatedProvider
) -> None:
    tracked = TrackedDocumentCompressor(Reranker(client=RerankClient(provider)), tracker=tracker)
    assert tracked.compress_documents([], QUERY) == []
    assert entries(tracker) == []
    assert provider.requests == []


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_callbacks_of_a_retriever_and_the_chain_around_it_say_who_causes_a_rerank(
    tracker: CostTracker, provider: SimulatedProvider, is_async: bool
) -> None:
    handler = CostCallbackHandler(tracker, feature="chat", project="p")
    reranker = TrackedDocumentCompressor(Reranker(client=RerankClient(provider)), feature="search")
    retriever = CompressionRetriever(compressor=reranker)
    chain = RunnableLambda(str.lower) | retriever
    config: Any = {"callbacks": [handler], "metadata": {"user": "u1"}}
    for one in (retriever, chain):
        if is_async:
            await one.ainvoke(QUERY, config)
        else:
            one.invoke(QUERY, config)
    for entry in entries(tracker):
        assert dict(entry.call.labels.values) == {"feature": "search", "project": "p", "user": "u1"}
    assert len({entry.call.run for entry in entries(tracker)}) == 2
    assert handler.total == provider.billed_usd > 0


def test_a_budget_per_run_stops_a_chain_that_reranks_over_and_over(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("run=0.006")
    reranker = TrackedDocumentCompressor(Reranker(client=RerankClient(provider)), tracker=tracker)
    retriever = CompressionRetriever(compressor=reranker)

    def loop(query: str) -> None:
        while True:
            retriever.invoke(query)

    with pytest.raises(BudgetExceeded, match="per run"):
        RunnableLambda(loop).invoke(QUERY, {"callbacks": [CostCallbackHandler(tracker)]})
    assert len(provider.requests) == 3


class ByLLM(Unheard):
    """A compressor that works with something else."""

    worker: Any = None
    steps: Sequence[Any] = ()


def test_what_must_not_be_wrapped_is_refused_with_the_remedy(provider: SimulatedProvider) -> None:
    sender = RerankClient(provider)
    model, reranker = FakeListChatModel(responses=["x"]), Reranker(client=sender)
    refused: list[tuple[Any, str]] = [
        (TrackedDocumentCompressor(reranker), "tracked already"),
        ("rerank-v3.5", "'str' is no document compressor"),
        (ByLLM(sender=sender, worker=model), "'worker'.*attach a CostCallbackHandler"),
        (ByLLM(sender=sender, worker=model | RunnableLambda(str)), "CostCallbackHandler"),
        (
            ByLLM(sender=sender, worker=DeterministicFakeEmbedding(size=3)),
            "give it TrackedEmbeddings",
        ),
        (ByLLM(sender=sender, steps=[reranker]), "'steps'.*wrap those of its parts"),
    ]
    for given, why in refused:
        with pytest.raises(ConfigurationError, match=why):
            TrackedDocumentCompressor(given)
    with pytest.raises(ConfigurationError, match="run"):
        TrackedDocumentCompressor(reranker, run="r")
