"""Embeddings as parts of something larger: runs, wrappers, pipelines, reranks by an LLM."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.postprocessor import LLMRerank, StructuredLLMRerank
from llama_index.core.postprocessor.rankGPT_rerank import RankGPTRerank
from llama_index.core.schema import Document, NodeWithScore, QueryBundle, TextNode
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index_instrumentation.dispatcher import instrument_tags

from llmcost_plugins import BudgetExceeded, CostTracker
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.integration.llamaindex.plain import SMALL, PlainHTTP, plain_to
from tests.support import entries, held_nano, only, recorded_nano, statuses

TEXTS = [f"text number {number}" for number in range(4)]

Install = Callable[..., CostTracker]


@pytest.fixture
def plain(provider: SimulatedProvider) -> PlainHTTP:
    return plain_to(provider)


class Around(BaseEmbedding):
    """An embedding model that has another one do its work."""

    inner: BaseEmbedding

    def _get_query_embedding(self, query: str) -> list[float]:
        return self.inner.get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self.inner.get_text_embedding(text)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self.inner.get_text_embedding_batch(texts)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await self.inner.aget_query_embedding(query)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await self.inner.aget_text_embedding_batch(texts)


def scored(texts: Sequence[str] = TEXTS) -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text)) for text in texts]


def test_the_embeddings_of_one_workflow_run_share_its_budget(
    installed: Install, plain: PlainHTTP, provider: SimulatedProvider
) -> None:
    tracker = installed("run=1requests")
    with instrument_tags({"llamaindex.run_id": "run-1"}):
        plain.get_query_embedding("one")
        with pytest.raises(BudgetExceeded, match="run:run-1"):
            plain.get_query_embedding("two")
    plain.get_query_embedding("a run of its own")
    assert len(provider.requests) == len({entry.call.run for entry in entries(tracker)}) == 2


def test_the_embedding_and_the_answer_of_one_query_are_one_run(
    installed: Install, plain: PlainHTTP, make_llm: Callable[..., Any]
) -> None:
    index = VectorStoreIndex([TextNode(text=text) for text in TEXTS], embed_model=plain)
    tracker = installed("run=2requests")
    engine = index.as_query_engine(llm=make_llm())
    for _ in range(2):
        assert str(engine.query("What?"))
    assert len(entries(tracker)) == 4
    assert len({entry.call.run for entry in entries(tracker)}) == 2


def test_a_run_budget_that_the_embedding_used_up_stops_the_answer(
    installed: Install,
    plain: PlainHTTP,
    make_llm: Callable[..., Any],
    provider: SimulatedProvider,
) -> None:
    index = VectorStoreIndex([TextNode(text=text) for text in TEXTS], embed_model=plain)
    installed("run=1requests")
    before = len(provider.requests)
    with pytest.raises(BudgetExceeded):
        index.as_query_engine(llm=make_llm()).query("What?")
    assert len(provider.requests) == before + 1


@pytest.mark.parametrize("form", ["query", "batch", "aquery", "abatch"])
def test_a_model_that_wraps_another_is_counted_once(
    installed: Install, plain: PlainHTTP, provider: SimulatedProvider, form: str
) -> None:
    tracker = installed()
    model = Around(inner=plain, model_name=plain.model_name)
    calls: dict[str, Callable[[], object]] = {
        "query": lambda: model.get_query_embedding("what?"),
        "batch": lambda: model.get_text_embedding_batch(TEXTS),
        "aquery": lambda: asyncio.run(model.aget_query_embedding("what?")),
        "abatch": lambda: asyncio.run(model.aget_text_embedding_batch(TEXTS)),
    }
    calls[form]()
    assert len(entries(tracker)) == len(provider.requests) > 0
    assert recorded_nano(tracker) > 0
    assert tracker.failures == held_nano(tracker) == 0


def test_a_wrapper_without_a_name_has_the_price_of_what_it_wraps(
    installed: Install, plain: PlainHTTP
) -> None:
    tracker = installed()
    Around(inner=plain).get_query_embedding("what?")
    assert only(entries(tracker)).call.model == plain.model_name


def test_an_asynchronous_pipeline_is_recorded(
    installed: Install, plain: PlainHTTP, provider: SimulatedProvider
) -> None:
    tracker = installed()
    pipeline = IngestionPipeline(transformations=[plain], disable_cache=True)
    nodes = asyncio.run(pipeline.arun(documents=[Document(text=text) for text in TEXTS]))
    assert all(node.embedding for node in nodes)
    assert len(entries(tracker)) == len(provider.requests) > 0
    assert len({entry.call.run for entry in entries(tracker)}) == 1
    assert recorded_nano(tracker) > held_nano(tracker) == 0


def test_a_request_that_is_never_answered_counts_as_billed(
    installed: Install, plain: PlainHTTP, provider: SimulatedProvider
) -> None:
    tracker = installed()
    provider.behave("*", Behavior(hang=True))
    plain.patience = 0.2
    with pytest.raises(httpx.ReadTimeout):
        plain.get_query_embedding("what?")
    only(entries(tracker))
    assert statuses(tracker) != ["ok"]
    assert recorded_nano(tracker) > held_nano(tracker) == 0


@pytest.mark.parametrize("kind", ["client", "gate"])
def test_a_request_whose_connection_is_cut_counts_as_billed(
    installed: Install, plain: PlainHTTP, kind: str
) -> None:
    tracker = installed()
    with cutting() as url, httpx.Client() as client:
        plain.url = url
        model: BaseEmbedding = plain
        if kind == "client":
            model = OpenAIEmbedding(
                model=SMALL, api_base=url, api_key="none", max_retries=0, http_client=client
            )
        with pytest.raises((httpx.RemoteProtocolError, openai.APIConnectionError)):
            model.get_query_embedding("what?")
    only(entries(tracker))
    assert statuses(tracker) != ["ok"]
    assert recorded_nano(tracker) > held_nano(tracker) == 0


@contextmanager
def cutting() -> Iterator[str]:
    """Run a server that reads one request and hangs up."""

    def hang_up() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hang_up)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("kind", ["choice", "rankgpt", "structured"])
def test_a_reranker_that_asks_an_llm_is_counted_by_that(
    installed: Install, provider: SimulatedProvider, make_llm: Callable[..., Any], kind: str
) -> None:
    tracker = installed()
    llm = make_llm()
    if kind == "choice":
        LLMRerank(llm=llm, parse_choice_select_answer_fn=_picks).postprocess_nodes(
            scored(), QueryBundle("what?")
        )
    elif kind == "rankgpt":
        provider.behave("*", Behavior(content="[2] > [1] > [3] > [4]"))
        RankGPTRerank(llm=llm, top_n=2).postprocess_nodes(scored(), QueryBundle("what?"))
    else:
        StructuredLLMRerank(llm=llm).postprocess_nodes(scored(), QueryBundle("what?"))
    assert len(entries(tracker)) == len(provider.requests) == 1
    assert recorded_nano(tracker) == provider.billed_nano > 0


def _picks(answer: str, count: int) -> tuple[list[int], list[float]]:  # noqa: ARG001 - the hook's
    return [1], [1.0]
