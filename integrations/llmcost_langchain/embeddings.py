"""`TrackedEmbeddings`: records what embeddings cost, stops what cannot be paid.

LangChain has no callbacks for embeddings, so no handler sees them.
"""

from collections.abc import Iterable
from typing import Any, Final

from langchain_core.embeddings import Embeddings

from llmcost_langchain._meter import Meter, Wrapped, ametered, metered
from llmcost_langchain._place import find_place
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import Labels, make_labels
from llmcost_plugins.texts import Texts
from llmcost_plugins.tracker import CostTracker

_SENDING: Final = frozenset({"create", "embed"})
"""The methods of clients that embed: OpenAI's SDK and those made after it; Cohere's, Voyage AI's,
Ollama's."""
_BATCHES: Final = ("chunk_size", "batch_size")
_CLIENTS: Final = frozenset({"client", "async_client"})


class TrackedEmbeddings(Embeddings):
    """Embeddings whose every request is held for before it is sent, and recorded.

    Use it wherever *embeddings* would go: in vector stores, retrievers, indexing. With a class that
    has its provider's client at hand (`OpenAIEmbeddings`, `AzureOpenAIEmbeddings` and others) each
    HTTP request is an entry of its own, at the usage that the provider reports; a batch that a
    budget stops in the middle has its earlier requests recorded. With any other class a call is one
    entry, estimated from its texts and flagged so; if it fails, it counts as billed where it may
    have been several requests.

    To cache, put the cache around this: ``CacheBackedEmbeddings(TrackedEmbeddings(...))``. Only
    what is not in the cache costs then.

    Within a chain the labels and the run are those of the chain, and a call counts in the totals of
    its handlers. Attributes that it does not have itself are those of *embeddings*, except for
    methods and clients, which would send without being recorded.

    Args:
        embeddings: what embeds; it is not changed.
        tracker: where to record; by default where the chain's handlers do, or else the one set up
            by the environment variables.
        model: the model's name, where what *embeddings* says of it is not the one to price.
        provider: who bills for it, likewise.
        tags: words for the calls made here.
        labels: who causes them, e.g. ``feature="search"``. `attribute` blocks and the config's
            metadata win over these.

    Raises:
        ConfigurationError: a label cannot be used, or *embeddings* must not be wrapped.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        *,
        tracker: CostTracker | None = None,
        model: str | None = None,
        provider: str | None = None,
        tags: Iterable[str] = (),
        **labels: str | int | None,
    ) -> None:
        _check(embeddings)
        self.embeddings = embeddings
        self.labels: Labels = make_labels(labels, tags)
        self._tracker = tracker
        self._stated = (model, provider)

    def embed_documents(self, texts: list[str], **kwargs: Any) -> list[list[float]]:
        """Embed texts that are searched.

        Raises:
            BudgetExceeded: a budget cannot pay for a request; those before it are paid for.
            PriceUnknown: a budget applies and no price is known.
            LedgerUnavailable: nothing can be held.
        """
        return metered(
            self.embeddings,
            _SENDING,
            self._meter(texts),
            lambda used: used.embed_documents(texts, **kwargs),
        )

    def embed_query(self, text: str, **kwargs: Any) -> list[float]:
        """Embed a text to search with; raises as `embed_documents` does."""
        return metered(
            self.embeddings,
            _SENDING,
            self._meter([text]),
            lambda used: used.embed_query(text, **kwargs),
        )

    async def aembed_documents(self, texts: list[str], **kwargs: Any) -> list[list[float]]:
        """Do what `embed_documents` does, and wait by awaiting."""
        return await ametered(
            self.embeddings,
            _SENDING,
            self._meter(texts),
            lambda used: used.aembed_documents(texts, **kwargs),
        )

    async def aembed_query(self, text: str, **kwargs: Any) -> list[float]:
        """Do what `embed_query` does, and wait by awaiting."""
        return await ametered(
            self.embeddings,
            _SENDING,
            self._meter([text]),
            lambda used: used.aembed_query(text, **kwargs),
        )

    def _meter(self, texts: list[str]) -> Meter:
        # Read anew each time: the model of the wrapped object may be set later.
        wrapped = Wrapped.of(self.embeddings, *self._stated)
        place = find_place(self._tracker, self.labels)
        several = len(texts) > max(1, *(_count(self.embeddings, name) for name in _BATCHES))
        return Meter(place, wrapped, Texts(tuple(texts)), several)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "embeddings":
            raise AttributeError(name)
        found = getattr(self.embeddings, name)
        if name in _CLIENTS or callable(found):
            msg = (
                f"{name!r} would send without being recorded; if that is meant, use it on the "
                f"wrapped object: .embeddings.{name}"
            )
            raise AttributeError(msg)
        return found


def _count(embeddings: Embeddings, name: str) -> int:
    found = getattr(embeddings, name, None)
    return found if isinstance(found, int) else 0


def _check(embeddings: object) -> None:
    kind = type(embeddings).__name__
    if isinstance(embeddings, TrackedEmbeddings):
        msg = "these embeddings are tracked already; wrapping them again would count twice"
    elif not isinstance(embeddings, Embeddings):
        msg = (
            f"embeddings={kind!r} is no Embeddings object of LangChain; pass OpenAIEmbeddings(...)"
        )
    elif isinstance(getattr(embeddings, "underlying_embeddings", None), Embeddings):
        msg = (
            f"{kind!r} answers from a cache, and what it finds there costs nothing; track what it "
            "asks instead: its underlying embeddings as TrackedEmbeddings(...)"
        )
    else:
        return
    raise ConfigurationError(msg)
