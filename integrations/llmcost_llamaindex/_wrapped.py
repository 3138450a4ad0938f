"""What an embedding model or reranker of LlamaIndex calls, and how its client is listened to."""

import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode

from llmcost_plugins.listening import Listener, listened
from llmcost_plugins.taps import Replace, Tap, tapped_by
from llmcost_plugins.texts import Texts

_ROOT: Final = "llama_index"
_KINDS: Final = frozenset({"embeddings", "postprocessor"})
_PROVIDERS: Final = {
    "azure_openai": "azure",
    "google_genai": "gemini",
    "cohere_rerank": "cohere",
    "voyageai_rerank": "voyage",
    "voyageai": "voyage",
    "mistralai": "mistral",
    "openai_like": None,
}
_ON_THIS_MACHINE: Final = frozenset(
    {"MockEmbedding", "HuggingFaceEmbedding", "OptimumEmbedding", "FastEmbedEmbedding"}
    | {"InstructorEmbedding", "LlamafileEmbedding", "OllamaEmbedding", "ClipEmbedding"}
    | {"OpenVINOEmbedding", "IpexLLMEmbedding", "OpenVINORerank", "ColbertRerank"}
    | {"SentenceTransformerRerank", "FlagEmbeddingReranker"}
)
"""Classes that compute where the program runs: they cost nothing, and no budget concerns them.

The catalog knows local models by their provider, but these say only a model's name, often one that
a provider sells too: a budget would refuse them for want of a price, or charge them that one."""
_NO_NAME: Final = "unknown"
"""What LlamaIndex calls an embedding model that was given no name."""
_SENDING: Final = frozenset({"embeddings.create", "rerank"})
_METHODS: Final = {
    "query": ("get_query_embedding", "aget_query_embedding"),
    "text": ("get_text_embedding", "aget_text_embedding"),
    "texts": ("get_text_embedding_batch", "aget_text_embedding_batch"),
}


class Wrapped(NamedTuple):
    """The model that an object calls, and who bills for it."""

    model: str
    provider: str | None

    @classmethod
    def of(cls, instance: object) -> Self:
        """Find out what *instance* calls: Azure bills by the deployment's model, say."""
        if getattr(instance, "model_name", None) == _NO_NAME:
            # One that has another do its work is priced as that: only that holds in the end.
            for inner in vars(instance).values():
                if isinstance(inner, BaseEmbedding) and inner is not instance:
                    return cls.of(inner)
        names = (getattr(instance, name, None) for name in ("model_name", "model"))
        model = next((name for name in names if isinstance(name, str) and name), None)
        return cls(model or type(instance).__name__, _provider_of(instance))


def _provider_of(instance: object) -> str | None:
    for kind in type(instance).__mro__:
        parts = kind.__module__.split(".")
        if parts[0] == _ROOT and len(parts) > 2 and parts[1] in _KINDS:  # noqa: PLR2004 - a path
            return _PROVIDERS.get(parts[2], parts[2])
    return None


def sends_nothing(instance: object) -> bool:
    """Tell whether it computes on this machine."""
    return any(kind.__name__ in _ON_THIS_MACHINE for kind in type(instance).__mro__)


def is_entry(instance: object, span_id: str) -> bool:
    """Tell whether a span is of a method that embeds or reranks, not of one within it."""
    method = span_id.partition(".")[2].partition("-")[0]
    if isinstance(instance, BaseEmbedding):
        return any(method in names for names in _METHODS.values())
    return isinstance(instance, BaseNodePostprocessor) and method == "_postprocess_nodes"


def given_texts(instance: object, arguments: Mapping[str, Any]) -> Sequence[Texts] | None:
    """Return what a method sends, by batch, without what a cache holds; `None` if nothing."""
    if not isinstance(instance, BaseEmbedding):
        return _reranked(arguments)
    if "texts" not in arguments:
        found = arguments.get("query", arguments.get("text"))
        one = Texts(tuple(_missing(instance, [found])))
        return None if found is None else (one,)
    texts, step = list(arguments["texts"]), instance.embed_batch_size
    batches = (texts[start : start + step] for start in range(0, len(texts), step))
    return [Texts(tuple(_missing(instance, batch))) for batch in batches]


def _missing(instance: BaseEmbedding, texts: Sequence[str | None]) -> list[str]:
    cache, found = instance.embeddings_cache, [text for text in texts if text is not None]
    if not cache:
        return found
    try:
        return [t for t in found if cache.get(key=t, collection="embeddings") is None]
    except NotImplementedError:  # a store that can only be awaited: taken for empty
        return found


def _reranked(arguments: Mapping[str, Any]) -> Sequence[Texts] | None:
    query, nodes = arguments.get("query_bundle"), arguments.get("nodes")
    if query is None or not nodes:
        return None
    items = tuple(node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes)
    return (Texts(items, query.query_str),)


class Taps:
    """The clients that are listened to, to be given back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tapped: dict[int, weakref.ref[Any]] = {}
        self._mine: weakref.WeakSet[Tap] = weakref.WeakSet()
        self._off = False

    def put_on(self, instance: Any, span_id: str, listener: Listener) -> bool:
        """Listen to the client that a method uses; return whether there is one to listen to."""
        awaits = span_id.partition(".")[2].startswith("a")
        name = "_aclient" if awaits else "_client"
        with self._lock:
            client = _client_of(instance, name)
            if client is None:
                return False
            if client not in self._mine:  # a copy of a model brings along what was put on that
                tap = Tap(tapped_by(client), _SENDING, self._while_on(listener))
                self._mine.add(tap)
                setattr(instance, name, tap)
                key, known = id(instance), self._tapped
                known[key] = weakref.ref(instance, lambda _: known.pop(key, None))
            return True

    def take_off(self) -> None:
        """Give every model its own client back."""
        with self._lock:
            self._off = True
            references = list(self._tapped.values())
            self._tapped.clear()
        for instance in (reference() for reference in references):
            for name in ("_client", "_aclient"):
                client = getattr(instance, name, None)
                if type(client) is Tap:
                    setattr(instance, name, tapped_by(client))

    def _while_on(self, listener: Listener) -> Replace:
        tell = listened(listener)
        # Copies of a model are not known, so that theirs are not given back.
        return lambda method, path: method if self._off else tell(method, path)


def _client_of(instance: Any, name: str) -> Any:
    """Return a client known to send all that the object sends; `None` where that is not sure."""
    if isinstance(instance, BaseNodePostprocessor):
        client = getattr(instance, name, None)
        return client if callable(getattr(client, "rerank", None)) else None
    if not any(kind.__name__ == "OpenAIEmbedding" for kind in type(instance).__mro__):
        return None
    if not instance.reuse_client:  # it makes one for each request
        return None
    # Made now, as the call would make it in a moment.
    return instance._get_aclient() if name == "_aclient" else instance._get_client()  # noqa: SLF001
