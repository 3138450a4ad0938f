"""Embeddings, reranks and worker processes: what is recorded, refused, and who is charged."""

import asyncio
import copy
import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.llms import MockLLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.rate_limiter import BaseRateLimiter, TokenBucketRateLimiter
from llama_index.core.schema import Document, NodeWithScore, QueryBundle, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.postprocessor.cohere_rerank import CohereRerank
from llama_index_instrumentation import get_dispatcher

from llmcost_llamaindex import guard, install, uninstall
from llmcost_plugins import BudgetExceeded, CostTracker, attribute
from llmcost_plugins.errors import ConfigurationError, PriceUnknown
from llmcost_plugins.taps import tapped_by
from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.texts import TEXT_OVERHEAD, Texts
from llmcost_plugins.usage import Trust
from tests.integration.llamaindex.plain import SMALL, PlainHTTP, Splitter, embed_pickled, plain_to
from tests.support import entries, held_nano, only, recorded_nano, statuses

TEXTS = [f"text number {number} " * (number + 1) for number in range(7)]
NANO_PER_TOKEN = 20
"""What `SMALL` costs."""

Install = Callable[..., CostTracker]
MakeModel = Callable[..., OpenAIEmbedding]


@pytest.fixture
def make_model(provider: SimulatedProvider) -> Iterator[MakeModel]:
    clients: list[httpx.Client] = []

    def make(**options: Any) -> OpenAIEmbedding:
        clients.append(httpx.Client())
        defaults: dict[str, Any] = {
            "model": SMALL,
            "api_base": provider.base_url,
            "api_key": "none",
            "max_retries": 0,
            "http_client": clients[-1],
            "async_http_client": httpx.AsyncClient(
                limits=httpx.Limits(max_keepalive_connections=0)
            ),
        }
        return OpenAIEmbedding(**{**defaults, **options})

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def plain(provider: SimulatedProvider) -> PlainHTTP:
    return plain_to(provider)


def budget(nano: int) -> str:
    return f"global={Decimal(nano).scaleb(-9):f}/month"


def estimated_nano(texts: Sequence[str]) -> int:
    """Return what texts cost by the tokenizer of `SMALL`."""
    return (Texts(texts).counted(SMALL) or 0) * NANO_PER_TOKEN


def trusts(tracker: CostTracker) -> set[Trust]:
    return {entry.outcome.usage.trust for entry in entries(tracker)}


async def _all_forms(model: BaseEmbedding) -> None:
    await model.aget_query_embedding("what is it?")
    await model.aget_text_embedding("it is this")
    await model.aget_text_embedding_batch(TEXTS)


@pytest.mark.parametrize("reused", [True, False])
def test_every_form_is_recorded_as_billed(
    installed: Install, make_model: MakeModel, provider: SimulatedProvider, reused: bool
) -> None:
    tracker = installed()
    model = make_model(embed_batch_size=3, reuse_client=reused)
    model.get_query_embedding("what is it?")
    model.get_text_embedding("it is this")
    model.get_text_embedding_batch(TEXTS)
    asyncio.run(_all_forms(model))
    forms = estimated_nano([*TEXTS, "what is it?", "it is this"])
    assert recorded_nano(tracker) == (provider.billed_nano if reused else 2 * forms)
    assert len(entries(tracker)) == len(provider.requests) == 10
    assert trusts(tracker) == {Trust.PROVIDER if reused else Trust.ESTIMATED}
    assert tracker.failures == held_nano(tracker) == 0


def test_a_class_without_a_known_client_is_counted_by_batch(
    installed: Install, plain: PlainHTTP, provider: SimulatedProvider
) -> None:
    tracker = installed()
    plain.get_text_embedding_batch(TEXTS)
    asyncio.run(plain.aget_text_embedding_batch(TEXTS))
    assert recorded_nano(tracker) == 2 * estimated_nano(TEXTS)
    assert len(entries(tracker)) == len(provider.requests) == 6
    assert trusts(tracker) == {Trust.ESTIMATED}


def test_ingestion_and_queries_are_recorded(
    installed: Install, make_model: MakeModel, provider: SimulatedProvider
) -> None:
    tracker = installed("")
    model = make_model()
    with attribute(feature="docs"):
        nodes = IngestionPipeline(transformations=[Splitter(), model]).run(
            documents=[Document(text=text) for text in TEXTS]
        )
        index = VectorStoreIndex(nodes, embed_model=model)
        index.as_query_engine(llm=MockLLM()).query("what?")
    priced = [entry for entry in entries(tracker) if entry.call.model == SMALL]
    assert sum(entry.outcome.cost for entry in priced) == provider.billed_nano
    assert {entry.call.labels.values["feature"] for entry in priced} == {"docs"}
    assert len(priced) == 2


@pytest.mark.parametrize("kind", ["client", "gate"])
@pytest.mark.parametrize("driver", ["threads", "tasks"])
def test_of_ten_batches_at_once_those_are_sent_that_a_budget_pays_for(  # noqa: PLR0913, PLR0917 - fixtures
    installed: Install,
    make_model: MakeModel,
    plain: PlainHTTP,
    provider: SimulatedProvider,
    kind: str,
    driver: str,
) -> None:
    text = "word " * 20
    worth = (TEXT_OVERHEAD + len(text)) * NANO_PER_TOKEN
    tracker = installed(budget(3 * worth))
    model = make_model(embed_batch_size=1) if kind == "client" else plain
    provider.behave(SMALL, Behavior(delay=0.3, prompt_tokens=worth // NANO_PER_TOKEN))

    async def tasks() -> None:
        calls = [model.aget_text_embedding_batch([text]) for _ in range(10)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(one, BudgetExceeded) for one in found) == 7

    def one(_: int) -> None:
        with suppress(BudgetExceeded):
            model.get_text_embedding_batch([text])

    if driver == "tasks":
        asyncio.run(tasks())
    else:
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(one, range(10)))
    assert len(provider.requests) == 3
    assert held_nano(tracker) == 0
    if kind == "client":
        assert recorded_nano(tracker) == provider.billed_nano == 3 * worth


def test_batches_before_a_refused_one_are_paid_for(
    installed: Install, make_model: MakeModel, provider: SimulatedProvider
) -> None:
    worth = (TEXT_OVERHEAD + 50) * NANO_PER_TOKEN
    tracker = installed(budget(worth))
    with pytest.raises(BudgetExceeded):
        make_model(embed_batch_size=1).get_text_embedding_batch(["a" * 50] * 10)
    assert 1 <= len(provider.requests) < 10
    assert recorded_nano(tracker) == provider.billed_nano


@pytest.mark.parametrize("kind", ["client", "gate"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_of_the_provider_costs_nothing(  # noqa: PLR0913, PLR0917 - fixtures
    installed: Install,
    make_model: MakeModel,
    plain: PlainHTTP,
    provider: SimulatedProvider,
    kind: str,
    status: int,
) -> None:
    tracker = installed()
    provider.behave(SMALL, Behavior(status=status))
    model = make_model() if kind == "client" else plain
    with pytest.raises((openai.APIStatusError, httpx.HTTPStatusError)):
        model.get_query_embedding("what?")
    assert statuses(tracker) == ["error"]
    assert recorded_nano(tracker) == held_nano(tracker) == 0


@pytest.mark.parametrize("cached", [False, True])
def test_of_batches_sent_at_once_all_count_when_one_fails(
    installed: Install, plain: PlainHTTP, provider: SimulatedProvider, cached: bool
) -> None:
    tracker = installed()
    if cached:
        plain.embeddings_cache = SimpleKVStore()
        plain.embeddings_cache.put("seed", {"x": [0.0]}, "other")
    provider.behave(SMALL, Behavior(status=503), times=1)
    with pytest.raises(httpx.HTTPStatusError):
        asyncio.run(plain.aget_text_embedding_batch(TEXTS))
    assert len(entries(tracker)) == len(provider.requests) == 3
    assert recorded_nano(tracker) >= estimated_nano(TEXTS) > provider.billed_nano
    assert held_nano(tracker) == 0


def test_batches_sent_at_once_count_when_a_budget_refuses_one(
    installed: Install, plain: PlainHTTP, provider: SimulatedProvider
) -> None:
    text = "word " * 20
    tracker = installed(budget(2 * (TEXT_OVERHEAD + len(text)) * NANO_PER_TOKEN))
    plain.embed_batch_size = 1
    provider.behave(SMALL, Behavior(delay=0.2))
    with pytest.raises(BudgetExceeded):
        asyncio.run(plain.aget_text_embedding_batch([text] * 5))
    assert recorded_nano(tracker) >= len(provider.requests) * estimated_nano([text])
    assert held_nano(tracker) == 0


def test_a_cancelled_task_counts_as_billed(
    installed: Install, make_model: MakeModel, provider: SimulatedProvider
) -> None:
    tracker = installed()
    provider.behave(SMALL, Behavior(delay=2))

    async def cancelled() -> None:
        task = asyncio.create_task(make_model().aget_query_embedding("what?"))
        while not provider.in_flight:  # noqa: ASYNC110 - it runs in a thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert statuses(tracker) == ["aborted"]
    assert recorded_nano(tracker) > 0
    assert held_nano(tracker) == 0


@pytest.mark.parametrize("kind", ["client", "gate"])
def test_what_comes_from_the_cache_costs_nothing(
    installed: Install,
    make_model: MakeModel,
    plain: PlainHTTP,
    provider: SimulatedProvider,
    kind: str,
) -> None:
    tracker = installed()
    model: BaseEmbedding = make_model(embed_batch_size=3) if kind == "client" else plain
    store = SimpleKVStore()
    store.put("seed", {"x": [0.0]}, "other")
    model.embeddings_cache = store
    for _ in range(2):
        model.get_text_embedding_batch(TEXTS)
        asyncio.run(model.aget_text_embedding_batch([*TEXTS, "one more"]))
        model.get_text_embedding(TEXTS[0])
    assert len(entries(tracker)) == len(provider.requests) == 4
    exact = provider.billed_nano
    assert recorded_nano(tracker) == (
        exact if kind == "client" else estimated_nano([*TEXTS, "one more"])
    )


def test_a_model_on_this_machine_is_left_alone(installed: Install) -> None:
    tracker = installed("global=0.001")
    MockEmbedding(embed_dim=3).get_text_embedding_batch(TEXTS)
    assert entries(tracker) == []


def test_a_model_without_a_price_is_refused_under_a_budget(
    installed: Install, plain: PlainHTTP, provider: SimulatedProvider
) -> None:
    installed()
    plain.model_name = "nobody-knows"
    with pytest.raises(PriceUnknown, match="nobody-knows"):
        plain.get_query_embedding("what?")
    assert provider.requests == []


def test_a_model_without_a_price_is_recorded_without_a_budget(
    installed: Install, plain: PlainHTTP
) -> None:
    tracker = installed("")
    plain.model_name = "nobody-knows"
    plain.get_query_embedding("what?")
    assert only(entries(tracker)).outcome.usage.trust is Trust.UNPRICED


def test_uninstall_gives_client_and_limiter_back(installed: Install, make_model: MakeModel) -> None:
    limiter = TokenBucketRateLimiter(requests_per_minute=1000)
    model = make_model(rate_limiter=limiter)
    installed()
    model.get_query_embedding("what?")
    assert tapped_by(model._client) is not model._client
    uninstall()
    assert tapped_by(model._client) is model._client
    assert model.rate_limiter is limiter


def test_a_limiter_that_was_there_is_asked_too(installed: Install, plain: PlainHTTP) -> None:
    class Counting(BaseRateLimiter):
        asked = 0

        def acquire(self, num_tokens: int = 0) -> None:  # noqa: ARG002 - the base's
            self.asked += 1

        async def async_acquire(self, num_tokens: int = 0) -> None:  # noqa: ARG002 - the base's
            self.asked += 1

    limiter = Counting()
    plain.rate_limiter = limiter
    tracker = installed()
    plain.get_text_embedding_batch(TEXTS)
    assert limiter.asked == len(entries(tracker)) == 3


def test_a_guarded_model_refuses_where_nothing_records(
    make_model: MakeModel, provider: SimulatedProvider
) -> None:
    model = guard(make_model())
    with pytest.raises(ConfigurationError, match="install"):
        model.get_query_embedding("what?")
    assert provider.requests == []


def test_a_model_can_be_copied_and_pickled(installed: Install, plain: PlainHTTP) -> None:
    tracker = installed()
    plain.get_query_embedding("what?")
    for other in (copy.deepcopy(plain), pickle.loads(pickle.dumps(plain))):
        other.get_query_embedding("what?")
    assert len(entries(tracker)) == 3


def test_a_copy_made_while_installed_follows_what_is_installed_later(
    installed: Install, make_model: MakeModel, make_tracker: Install
) -> None:
    first = installed()
    model = make_model()
    model.get_query_embedding("what?")
    other = model.model_copy()
    uninstall()
    other.get_query_embedding("what?")
    assert len(entries(first)) == 1
    second = make_tracker("global=1000", ledger="memory://")
    install(second)
    other.get_query_embedding("what?")
    assert (len(entries(first)), len(entries(second))) == (1, 1)


def _reranked(provider: SimulatedProvider, query: str = "what?") -> list[NodeWithScore]:
    reranker = CohereRerank(
        model="rerank-v3.5", api_key="none", base_url=provider.root_url, max_retries=1
    )
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    try:
        found: list[NodeWithScore] = reranker.postprocess_nodes(nodes, QueryBundle(query))
    finally:
        reranker._client._client_wrapper.httpx_client.httpx_client.close()
    return found


def test_a_rerank_is_recorded_as_billed(installed: Install, provider: SimulatedProvider) -> None:
    tracker = installed()
    _reranked(provider)
    assert recorded_nano(tracker) == provider.billed_nano > 0
    assert trusts(tracker) == {Trust.PROVIDER}


def test_a_rerank_that_no_budget_pays_for_is_not_sent(
    installed: Install, provider: SimulatedProvider
) -> None:
    installed("global=0.0001")
    with pytest.raises(BudgetExceeded):
        _reranked(provider)
    assert provider.requests == []


class TellingRerank(BaseNodePostprocessor):
    """A reranker that sends by a client nobody can listen to, and tells of it."""

    model: str = "rerank-v3.5"
    fails: bool = False

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        dispatcher = get_dispatcher(__name__)
        start = ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=2, model_name=self.model)
        dispatcher.event(start)
        if self.fails:
            msg = "silence"
            raise httpx.ReadTimeout(msg)
        dispatcher.event(ReRankEndEvent(nodes=nodes[:2]))
        return nodes[:2]


@pytest.mark.parametrize("fails", [False, True])
def test_a_reranker_that_tells_of_its_calls_is_recorded_as_an_estimate(
    installed: Install, fails: bool
) -> None:
    tracker = installed()
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    with suppress(httpx.ReadTimeout):
        TellingRerank(fails=fails).postprocess_nodes(nodes, QueryBundle("what?"))
    entry = only(entries(tracker))
    assert entry.outcome.usage.trust is Trust.ESTIMATED
    assert recorded_nano(tracker) == 2_000_000  # one search


class OpenVINORerank(TellingRerank):
    """Has the name of one that computes where it runs, and tells of its calls as that does."""


def test_a_reranker_on_this_machine_is_left_alone(installed: Install) -> None:
    tracker = installed("")
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    OpenVINORerank().postprocess_nodes(nodes, QueryBundle("what?"))
    assert entries(tracker) == []


def test_a_reranker_without_a_price_is_recorded_unpriced(installed: Install) -> None:
    tracker = installed("")
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    TellingRerank(model="nobody-knows").postprocess_nodes(nodes, QueryBundle("what?"))
    assert only(entries(tracker)).outcome.usage.trust is Trust.UNPRICED


def _ingest(model: BaseEmbedding) -> None:
    IngestionPipeline(transformations=[Splitter(), model], disable_cache=True).run(
        documents=[Document(text=text) for text in TEXTS], num_workers=2
    )


def test_worker_processes_record_in_the_same_ledger(
    installed: Install, plain: PlainHTTP, provider: SimulatedProvider
) -> None:
    tracker = installed()
    with attribute(team="alpha"):
        _ingest(plain)
    found = entries(tracker)
    assert recorded_nano(tracker) == estimated_nano(TEXTS) > 0
    assert len(found) == len(provider.requests)
    assert {entry.call.labels.values["team"] for entry in found} == {"alpha"}


def test_a_pickle_holds_no_secret(installed: Install, plain: PlainHTTP) -> None:
    installed(alert_webhook="https://alerts.example.com/a-path", alert_secret="hush-hush-hush-hush")
    plain.get_query_embedding("what?")
    pickled = pickle.dumps(plain)
    assert b"ledger.db" in pickled
    assert b"hush-hush" not in pickled
    assert b"alerts.example.com" not in pickled


def test_a_worker_process_refuses_what_cannot_be_recorded_or_paid_for(
    installed: Install, plain: PlainHTTP, provider: SimulatedProvider
) -> None:
    guard(plain)
    installed(ledger="memory://")
    without_ledger = pickle.dumps(plain)
    uninstall()
    installed().set_budget("global", "0.000000001", "month")
    without_money = pickle.dumps(plain)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(ConfigurationError, match="in memory"):
            pool.submit(embed_pickled, without_ledger).result()
        with pytest.raises(BudgetExceeded):
            pool.submit(embed_pickled, without_money).result()
    assert provider.requests == []
