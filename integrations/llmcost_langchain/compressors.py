"""`TrackedDocumentCompressor`: records what rerankers cost, stops what cannot be paid.

LangChain has no callbacks for rerankers, so no handler sees them.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, BaseDocumentTransformer, Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, PrivateAttr

from llmcost_langchain._meter import Meter, Wrapped, ametered, metered
from llmcost_langchain._place import find_place
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import Labels, make_labels
from llmcost_plugins.texts import Texts
from llmcost_plugins.tracker import CostTracker

_SENDING: Final = frozenset({"rerank"})
"""The method of clients that rerank: Cohere's, Voyage AI's."""


class TrackedDocumentCompressor(BaseDocumentCompressor):
    """A reranker whose every request is held for before it is sent, and recorded.

    Use it wherever *compressor* would go. What the provider reports counts where the compressor's
    client shows it (Cohere, Voyage AI); otherwise the entry is an estimate, and flagged so. Search
    units are estimated as Cohere counts them: a query with up to 100 documents is one, and a
    document of more than 500 tokens, the query included, counts as several.

    Compressors that work with a chat model need no wrapper: the handler sees the model's calls. One
    that works with embeddings is given `TrackedEmbeddings`.

    Within a chain the labels and the run are those of the chain, and a call counts in the totals of
    its handlers.

    Args:
        compressor: what reranks; it is not changed.
        tracker: where to record; by default where the chain's handlers do, or else the one set up
            by the environment variables.
        model: the model's name, where what *compressor* says of it is not the one to price.
        provider: who bills for it, likewise.
        tags: words for the calls made here.
        labels: who causes them, e.g. ``feature="search"``. `attribute` blocks and the config's
            metadata win over these.

    Raises:
        ConfigurationError: a label cannot be used, or *compressor* must not be wrapped.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    compressor: BaseDocumentCompressor
    _tracker: CostTracker | None = PrivateAttr()
    _labels: Labels = PrivateAttr()
    _stated: tuple[str | None, str | None] = PrivateAttr()

    def __init__(
        self,
        compressor: BaseDocumentCompressor,
        *,
        tracker: CostTracker | None = None,
        model: str | None = None,
        provider: str | None = None,
        tags: Iterable[str] = (),
        **labels: str | int | None,
    ) -> None:
        _check(compressor)
        made = make_labels(labels, tags)
        super().__init__(compressor=compressor)  # type: ignore[call-arg]  # pydantic's own
        self._tracker = tracker
        self._labels = made
        self._stated = (model, provider)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Rerank documents.

        Raises:
            BudgetExceeded: a budget cannot pay for it; nothing was sent.
            PriceUnknown: a budget applies and no price is known.
            LedgerUnavailable: nothing can be held.
        """
        return metered(
            self.compressor,
            _SENDING,
            self._meter(documents, query, callbacks),
            lambda used: used.compress_documents(documents, query, callbacks),
        )

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Do what `compress_documents` does, and wait by awaiting."""
        return await ametered(
            self.compressor,
            _SENDING,
            self._meter(documents, query, callbacks),
            lambda used: used.acompress_documents(documents, query, callbacks),
        )

    def _meter(self, documents: Sequence[Document], query: str, callbacks: Callbacks) -> Meter:
        place = find_place(self._tracker, self._labels, callbacks)
        texts = Texts(tuple(document.page_content for document in documents), query)
        return Meter(place, Wrapped.of(self.compressor, *self._stated), texts)


def _check(compressor: object) -> None:
    kind = type(compressor).__name__
    if isinstance(compressor, TrackedDocumentCompressor):
        msg = "this compressor is tracked already; wrapping it again would count twice"
        raise ConfigurationError(msg)
    if not isinstance(compressor, BaseDocumentCompressor):
        msg = f"compressor={kind!r} is no document compressor of LangChain; pass a reranker"
        raise ConfigurationError(msg)
    for name, value in vars(compressor).items():
        for part in value if isinstance(value, list | tuple) else (value,):
            if remedy := _remedy(part):
                msg = f"{kind!r} does its work with {name!r}, which is recorded apart: {remedy}"
                raise ConfigurationError(msg)


def _remedy(part: Any) -> str:
    """Say what to do with a part that makes calls of its own; empty where it makes none."""
    if isinstance(part, Runnable):
        return "leave it unwrapped, and attach a CostCallbackHandler"
    if isinstance(part, Embeddings):
        return "leave it unwrapped, and give it TrackedEmbeddings"
    if isinstance(part, BaseDocumentCompressor | BaseDocumentTransformer):
        return "wrap those of its parts that rerank"
    return ""
