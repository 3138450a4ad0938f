"""An embedding model that nobody can listen to. It imports little: worker processes load it."""

import asyncio
import pickle
from collections.abc import Sequence
from typing import Any

import httpx
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import BaseNode, TextNode, TransformComponent

SMALL = "text-embedding-3-small"


class PlainHTTP(BaseEmbedding):
    """An embedding model that sends by a client which nobody can listen to; always to `SMALL`."""

    url: str
    patience: float = 5.0

    def _post(self, texts: list[str]) -> list[list[float]]:
        answer = httpx.post(
            self.url,
            json={"model": SMALL, "input": texts},
            headers={"authorization": "Bearer none"},
            timeout=self.patience,
        )
        answer.raise_for_status()
        return [one["embedding"] for one in answer.json()["data"]]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._post([query])[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._post([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._post(texts)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._post, texts)


class Splitter(TransformComponent):
    """A step that cuts nothing."""

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:  # noqa: ARG002 - the base's
        """Return a node for each document."""
        return [TextNode(text=node.get_content()) for node in nodes]


def plain_to(provider: Any) -> PlainHTTP:
    """Return a model that asks the simulated provider, three texts at a time."""
    return PlainHTTP(url=f"{provider.base_url}/embeddings", model_name=SMALL, embed_batch_size=3)


def embed_pickled(pickled: bytes) -> None:
    """Call a model that was sent to a worker process."""
    pickle.loads(pickled).get_query_embedding("what?")
