"""A real client for each test."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import SecretStr

from llmcost_plugins.testing import SimulatedProvider
from tests.support import MakeEmbeddings, MakeModel


@pytest.fixture
def make_model(provider: SimulatedProvider) -> Iterator[MakeModel]:
    """Chat models with clients of their own: langchain-openai shares one among event loops."""
    clients: list[httpx.Client] = []

    def make(model: str = "gpt-4o", **options: Any) -> ChatOpenAI:
        client = httpx.Client()
        clients.append(client)
        defaults: dict[str, Any] = {
            "base_url": provider.base_url,
            "max_tokens": 200,
            "stream_usage": True,
            "max_retries": 0,
        }
        return ChatOpenAI(
            model=model,
            api_key=SecretStr("none"),
            http_client=client,
            http_async_client=httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0)),
            **{**defaults, **options},
        )

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def make_embeddings(provider: SimulatedProvider) -> Iterator[MakeEmbeddings]:
    """Embeddings with clients of their own, that send texts: token ids need a download."""
    clients: list[httpx.Client] = []

    def make(
        model: str = "text-embedding-3-small",
        kind: type[OpenAIEmbeddings] = OpenAIEmbeddings,
        **options: Any,
    ) -> OpenAIEmbeddings:
        client = httpx.Client()
        clients.append(client)
        defaults: dict[str, Any] = {
            "base_url": provider.base_url,
            "max_retries": 0,
            "check_embedding_ctx_length": False,
        }
        return kind(
            model=model,
            api_key=SecretStr("none"),
            http_client=client,
            http_async_client=httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0)),
            **{**defaults, **options},
        )

    yield make
    for client in clients:
        client.close()
