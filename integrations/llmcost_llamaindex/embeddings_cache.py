"""`EmbeddingsCache`: embeddings on disk, for LlamaIndex's own ``embeddings_cache=``."""

import base64
import logging
from array import array
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.storage.kvstore.types import DEFAULT_COLLECTION, BaseKVStore
from llama_index_instrumentation.span import active_span_id

from llmcost_llamaindex._requests import facts_of
from llmcost_llamaindex._spans import method_of
from llmcost_plugins.cache import CachedAnswer, Canonical, CompletionCache, NoKey
from llmcost_plugins.cache.shared import shared_cache
from llmcost_plugins.clock import utc_now
from llmcost_plugins.errors import ConfigurationError

_log: Final = logging.getLogger("llmcost_plugins")
_QUERY: Final = frozenset({"get_query_embedding", "aget_query_embedding"})
_TEXT: Final = frozenset(
    {
        "get_text_embedding",
        "aget_text_embedding",
        "get_text_embedding_batch",
        "aget_text_embedding_batch",
    }
)
_FORM: Final = "float64"


class EmbeddingsCache(BaseKVStore):
    """Keeps the embeddings of one model on disk.

    To use it: ``embed_model.embeddings_cache = EmbeddingsCache(embed_model)``.

    LlamaIndex asks such a store by the text alone, so that one model would be given the vectors of
    another, and a query those of a document. This one is made for a model: class, name and all that
    changes its vectors are part of the key, and so is whether the text is a query or a document,
    which LlamaIndex's method tells. Make one for each model, and a new one when you change a field
    of the model; one that is given to a model of another class answers nothing.

    It lies in the folder of the completion cache, and is as safe, as private and as long-lived as
    that: nothing is pickled, tenants are apart, and what cannot be read is a miss. It works in
    threads, tasks and processes, and pickles with the model. Nothing raises because of the disk.

    LlamaIndex does not say how many tokens a text had, so what hits save is not in the ledger;
    `CompletionCache.counts` counts them.

    Args:
        embed_model: the model.
        cache: where; by default what the environment variables describe.
        clock: returns the current aware instant.

    Raises:
        ConfigurationError: *embed_model* is no embedding model, a field of it has no plain form, or
            *cache* is no cache of ours.
    """

    def __init__(
        self,
        embed_model: BaseEmbedding,
        *,
        cache: CompletionCache | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        _check(embed_model, cache)
        try:
            self._facts = facts_of(embed_model)
        except NoKey as error:
            name = type(embed_model).__name__
            msg = f"embeddings of this {name} cannot be told from those of another: {error}"
            raise ConfigurationError(msg) from error
        self._class = type(embed_model).__name__
        self._model = embed_model.model_name
        self._cache = cache
        self._clock = clock

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """Return the embedding of a text under a new id, or `None`. Never raises."""
        try:
            place = self._place(key, collection)
            entry = None if place is None else self._core().get(place, self._clock())
            return None if entry is None else {str(uuid4()): _vector(entry.answer)}
        except Exception as error:  # noqa: BLE001 - a cache must not stop an ingestion
            _log.warning("a cached embedding could not be read: %s", error)
            return None

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """Do what `get` does; inline, since a hop to a thread takes longer than the look-up."""
        return self.get(key, collection)

    def put(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """Store the embedding of a text. Never raises: it is paid for and must arrive."""
        try:
            place = self._place(key, collection)
            if place is not None:
                (vector,) = val.values()
                core = self._core()
                entry = CachedAnswer(
                    answer=_stored(vector),
                    at=self._clock(),
                    model=self._model,
                    namespace=core.namespace_of(),
                )
                core.put(place, entry)
        except Exception as error:  # noqa: BLE001 - see the docstring
            _log.warning("an embedding could not be cached: %s", error)

    async def aput(
        self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION
    ) -> None:
        """Do what `put` does, inline likewise."""
        self.put(key, val, collection)

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Refuse: texts count by their hash, and are not stored.

        Raises:
            NotImplementedError: always.
        """
        msg = "an EmbeddingsCache cannot list its texts, which it does not keep"
        raise NotImplementedError(msg)

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Do what `get_all` does."""
        return self.get_all(collection)

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Remove the embeddings of a text, as a query and as a document; tell if there were any."""
        request = {"collection": collection, "text": key, "of": Canonical(self._facts)}
        core = self._core()
        found = [core.delete(core.key({**request, "role": role})) for role in ("query", "text")]
        return any(found)

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Do what `delete` does, inline likewise."""
        return self.delete(key, collection)

    def _place(self, text: str, collection: str) -> str | None:
        """Return the key of a text; `None` where nothing says what the text is to be."""
        span_id = active_span_id.get() or ""
        method = method_of(span_id)
        role = "query" if method in _QUERY else "text" if method in _TEXT else None
        if role is None or span_id.partition(".")[0] != self._class:
            self._core().counter.skip("an embedding of another model, or not of a known method")
            return None
        request = {
            "collection": collection,
            "text": text,
            "of": Canonical(self._facts),
            "role": role,
        }
        return self._core().key(request)

    def _core(self) -> CompletionCache:
        core = shared_cache(always=True) if self._cache is None else self._cache
        assert core is not None  # noqa: S101 - asked for always
        return core


def _check(embed_model: object, cache: object) -> None:
    if not isinstance(embed_model, BaseEmbedding):
        msg = f"EmbeddingsCache is made for an embedding model, not for {embed_model!r}"
        raise ConfigurationError(msg)
    if not isinstance(cache, CompletionCache | None):
        msg = f"embeddings are cached with llmcost_llamaindex.CompletionCache, not with {cache!r}"
        raise ConfigurationError(msg)


def _stored(vector: Any) -> dict[str, str]:
    packed = array("d", [float(number) for number in vector]).tobytes()
    return {_FORM: base64.b64encode(packed).decode()}


def _vector(stored: Mapping[str, str]) -> list[float]:
    numbers = array("d")
    numbers.frombytes(base64.b64decode(stored[_FORM], validate=True))
    return list(numbers)
