"""`EmbeddingsCache`: each vector is bought once, and no model is given that of another."""

import asyncio
import pickle
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from llama_index.core import Document
from llama_index.core.embeddings import BaseEmbedding, MockEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.embeddings.openai import OpenAIEmbedding

from llmcost_llamaindex import CompletionCache, EmbeddingsCache
from llmcost_plugins import attribute
from llmcost_plugins.cache import CachedAnswer
from llmcost_plugins.cache.upkeep import rows
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.testing import SimulatedProvider

MakeEmbedding = Callable[..., OpenAIEmbedding]
TEXTS = ["one", "two", "three"]


@pytest.fixture
def core(tmp_path: Path) -> Iterator[CompletionCache]:
    made = CompletionCache(tmp_path / "cache", ttl=timedelta(days=1))
    yield made
    made.close()


@pytest.fixture
def embedding(provider: SimulatedProvider, core: CompletionCache) -> Iterator[MakeEmbedding]:
    clients: list[httpx.Client] = []

    def make(model: str = "text-embedding-3-small", **options: Any) -> OpenAIEmbedding:
        clients.append(httpx.Client())
        made = OpenAIEmbedding(
            model=model,
            api_key="none",
            api_base=provider.base_url,
            max_retries=0,
            http_client=clients[-1],
            async_http_client=httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0)),
            **options,
        )
        made.embeddings_cache = EmbeddingsCache(made, cache=core)
        return made

    yield make
    for client in clients:
        client.close()


def test_a_second_model_of_the_same_fields_sends_only_what_is_new(
    embedding: MakeEmbedding, provider: SimulatedProvider
) -> None:
    first = embedding().get_text_embedding_batch(TEXTS)
    again = embedding(embed_batch_size=2)
    assert again.get_text_embedding_batch(TEXTS) == first
    assert len(provider.requests) == 1
    assert again.get_text_embedding("two") == first[1]
    again.get_text_embedding_batch([*TEXTS, "four"])
    assert len(provider.requests) == 2


def test_asynchronous_calls_share_them(
    embedding: MakeEmbedding, provider: SimulatedProvider
) -> None:
    model = embedding()
    first = model.get_text_embedding_batch(TEXTS)

    async def ask() -> None:
        assert await model.aget_text_embedding_batch(TEXTS) == first
        assert await model.aget_text_embedding("one") == first[0]
        await model.aget_query_embedding("one")
        await model.aget_query_embedding("one")

    asyncio.run(ask())
    assert len(provider.requests) == 2


@pytest.mark.parametrize("other", [{"model": "text-embedding-3-large"}, {"dimensions": 8}])
def test_another_model_is_not_given_its_vectors(
    other: dict[str, Any], embedding: MakeEmbedding, provider: SimulatedProvider
) -> None:
    embedding().get_text_embedding("one")
    embedding(**other).get_text_embedding("one")
    assert len(provider.requests) == 2


def test_a_query_is_not_given_the_vector_of_a_document(core: CompletionCache) -> None:
    class Instructed(MockEmbedding):
        def _get_query_embedding(self, query: str) -> list[float]:
            return [1.0, float(len(query))]

        def _get_text_embedding(self, text: str) -> list[float]:
            return [2.0, float(len(text))]

    model = Instructed(embed_dim=2)
    model.embeddings_cache = EmbeddingsCache(model, cache=core)
    for _ in range(2):
        assert model.get_text_embedding("one") == [2.0, 3.0]
        assert model.get_query_embedding("one") == [1.0, 3.0]
    assert core.counts.hits == core.counts.stored == 2


def test_an_ingestion_that_runs_again_sends_nothing(
    embedding: MakeEmbedding, provider: SimulatedProvider
) -> None:
    nodes = [Document(text=text) for text in TEXTS]
    first = IngestionPipeline(transformations=[embedding()]).run(documents=nodes)
    again = IngestionPipeline(transformations=[embedding()]).run(documents=nodes)
    assert [node.embedding for node in again] == [node.embedding for node in first]
    assert len(provider.requests) == 1


def test_another_process_finds_them(
    embedding: MakeEmbedding, core: CompletionCache, provider: SimulatedProvider
) -> None:
    model = embedding()
    vector = model.get_text_embedding("one")
    program = (
        "import pickle, sys; model = pickle.load(sys.stdin.buffer);"
        "print(repr(model.get_text_embedding('one')))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(model), capture_output=True, check=True
    )
    assert ran.stdout.decode().strip() == repr(vector)
    assert len(provider.requests) == 1
    assert stat.S_IMODE((core.folder / "cache.db").stat().st_mode) == 0o600
    assert stat.S_IMODE(core.folder.stat().st_mode) == 0o700


def test_tenants_do_not_share_them(
    embedding: MakeEmbedding, tmp_path: Path, provider: SimulatedProvider
) -> None:
    core = CompletionCache(tmp_path / "teams", ttl=timedelta(days=1), namespace="{team}")
    model = embedding()
    model.embeddings_cache = EmbeddingsCache(model, cache=core)
    for team in ("alpha", "beta", "alpha"):
        with attribute(team=team):
            model.get_text_embedding("one")
    assert len(provider.requests) == 2
    core.close()


@pytest.mark.parametrize("answer", [{"float64": "no base64"}, {"float64": "AAA="}, ["one"], None])
def test_a_row_that_is_no_vector_is_a_miss(
    answer: Any, embedding: MakeEmbedding, core: CompletionCache, provider: SimulatedProvider
) -> None:
    model = embedding()
    vector = model.get_text_embedding("one")
    (row,) = rows(core.folder, 2**30)
    assert row.entry is not None
    core.put(row.key, CachedAnswer(answer=answer, at=row.entry.at))
    assert model.get_text_embedding("one") == vector
    assert len(provider.requests) == 2
    assert model.get_text_embedding("one") == vector
    assert len(provider.requests) == 2


def test_a_folder_that_cannot_be_used_costs_no_embedding(
    embedding: MakeEmbedding, tmp_path: Path, provider: SimulatedProvider
) -> None:
    (tmp_path / "file").write_text("")
    model = embedding()
    broken = CompletionCache(tmp_path / "file" / "cache", ttl=timedelta(days=1))
    model.embeddings_cache = EmbeddingsCache(model, cache=broken)
    assert model.get_text_embedding("one")
    assert model.get_text_embedding("one")
    assert len(provider.requests) == 2
    assert broken.counts.failed > 0


def test_one_text_can_be_forgotten(embedding: MakeEmbedding, provider: SimulatedProvider) -> None:
    model = embedding()
    model.get_text_embedding("one")
    model.get_query_embedding("one")
    store = model.embeddings_cache
    assert store is not None
    assert store.delete("one", "embeddings")
    assert not asyncio.run(store.adelete("one", "embeddings"))
    model.get_text_embedding("one")
    assert len(provider.requests) == 3


def test_one_that_is_given_to_a_model_of_another_class_answers_nothing(
    core: CompletionCache,
) -> None:
    class Other(MockEmbedding):
        pass

    first, other = MockEmbedding(embed_dim=2), Other(embed_dim=3)
    first.embeddings_cache = other.embeddings_cache = EmbeddingsCache(first, cache=core)
    first.get_text_embedding("one")
    assert len(other.get_text_embedding("one")) == 3
    store: Any = first.embeddings_cache
    assert store.get("one", "embeddings") is None  # asked by nobody whose role is known


@pytest.mark.parametrize("wrong", ["text-embedding-3-small", None, object()])
def test_it_is_made_for_an_embedding_model(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="for an embedding model"):
        EmbeddingsCache(wrong)


def test_a_cache_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="CompletionCache, not with"):
        EmbeddingsCache(MockEmbedding(embed_dim=2), cache={})  # type: ignore[arg-type]


def test_a_model_that_cannot_be_told_from_others_is_refused() -> None:
    class Strange(MockEmbedding):
        how: Any = None

    with pytest.raises(ConfigurationError, match="cannot be told"):
        EmbeddingsCache(Strange(embed_dim=2, how=lambda text: text))


def test_its_texts_are_not_listed(core: CompletionCache) -> None:
    store: Any = EmbeddingsCache(MockEmbedding(embed_dim=2), cache=core)
    with pytest.raises(NotImplementedError, match="cannot list"):
        store.get_all()


def test_it_is_where_llamaindex_takes_one(core: CompletionCache) -> None:
    model: BaseEmbedding = MockEmbedding(embed_dim=2)
    store = EmbeddingsCache(model, cache=core)
    assert MockEmbedding(embed_dim=2, embeddings_cache=store).embeddings_cache is store
