"""`install`: records every model call of LlamaIndex, and puts a gate before each."""

import threading
from collections.abc import Iterable
from inspect import BoundArguments
from typing import Any, Final, cast

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.bridge.pydantic import Field
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.span_handlers import NullSpanHandler
from llama_index_instrumentation import get_dispatcher

from llmcost_llamaindex._book import CallBook
from llmcost_llamaindex._embedding_calls import ClientListener, TextBook
from llmcost_llamaindex._events import Moment, moment_of
from llmcost_llamaindex._models import is_model
from llmcost_llamaindex._wrapped import Taps, Wrapped, is_entry
from llmcost_llamaindex.gate import Gates
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.given import tracker_given
from llmcost_plugins.labels import Labels, make_labels
from llmcost_plugins.tracker import CostTracker, default_tracker

_SET_BELOW: Final[Any] = None
"""The default of a field that the base class's `__init__` takes no argument for."""


class CostSpanHandler(NullSpanHandler):
    """Follows spans: puts gates on models before they call, and hears of calls that fail.

    The dispatcher swallows whatever a handler raises, so failures are logged and counted here. It
    derives from the handler that makes no span objects, so that nothing of a span is kept.
    """

    # Fields, since pydantic takes a microsecond for each look at a private attribute.
    book: CallBook = Field(default=_SET_BELOW, repr=False, exclude=True)
    gates: Gates = Field(default=_SET_BELOW, repr=False, exclude=True)
    models: dict[str, Any] = Field(default_factory=dict, repr=False, exclude=True)
    texts: TextBook = Field(default=_SET_BELOW, repr=False, exclude=True)
    taps: Taps = Field(default=_SET_BELOW, repr=False, exclude=True)

    def __init__(self, book: CallBook, gates: Gates, texts: TextBook, taps: Taps) -> None:
        super().__init__()
        self.book = book
        self.gates = gates
        self.texts = texts
        self.taps = taps

    def span_enter(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        parent_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Put a gate on a model whose span begins, before its rate limiter is asked."""
        try:
            self.book.spans.enter(id_, parent_id)
            # mypy takes a class for what it makes.
            if is_model(type(instance)):  # type: ignore[arg-type]
                llm = cast(BaseLLM, instance)
                self.models[id_] = llm
                self.gates.put_on(llm)
                self.book.entered(id_, llm, bound_args, tags)
            elif is_entry(instance, id_):
                self._text_call(id_, bound_args, instance, tags or {})
            elif isinstance(parts := getattr(instance, "transformations", None), list):
                self.gates.put_on_parts(parts)  # before they are sent to other processes
        except Exception:  # noqa: BLE001 - logged and counted
            self.book.failed("the begin of a span")

    def span_exit(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        result: Any | None = None,
        **kwargs: Any,
    ) -> None:
        """Note that a span has ended. Never raises."""
        try:
            self._left(id_)
            self.texts.leave(id_, None)
            self.book.returned(id_, result)
        except Exception:  # noqa: BLE001 - logged and counted
            self.book.failed("the end of a span")

    def span_drop(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any | None = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> None:
        """Settle what a call has cost whose method failed. Never raises."""
        try:
            self._left(id_)
            self.texts.leave(id_, err)
            if err is not None:
                self.book.dropped(id_, err)
        except Exception:  # noqa: BLE001 - logged and counted
            self.book.failed("the failure of a span")

    def model_of(self, span_id: str) -> BaseLLM | None:
        """Return the model whose method runs in an open span."""
        return self.models.get(span_id)

    def _text_call(
        self, span_id: str, bound: BoundArguments, instance: Any, tags: dict[str, Any]
    ) -> None:
        if isinstance(instance, BaseEmbedding):
            self.gates.put_on(instance)
        texts = self.texts
        listener = ClientListener(texts.tracker, texts.defaults, Wrapped.of(instance))
        listened = self.taps.put_on(instance, span_id, listener)
        if listened or isinstance(instance, BaseEmbedding) or not _asks_llm(instance):
            texts.enter(span_id, instance, bound.arguments, tags, listened=listened)

    def _left(self, span_id: str) -> None:
        self.models.pop(span_id, None)
        self.book.spans.leave(span_id)


def _asks_llm(instance: object) -> bool:
    """Tell whether a reranker asks an LLM, whose calls are what is counted."""
    return isinstance(getattr(instance, "llm", None), BaseLLM)


class CostEventHandler(BaseEventHandler):
    """Follows model calls from their start event to their end."""

    book: CallBook = Field(repr=False, exclude=True)
    spans: CostSpanHandler = Field(repr=False, exclude=True)
    texts: TextBook = Field(repr=False, exclude=True)

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        """Note what an event says. Never raises."""
        try:
            if event.span_id is not None:
                self._note(event, event.span_id)
        except Exception:  # noqa: BLE001 - logged and counted
            self.book.failed(f"a {type(event).__name__}")

    def _note(self, event: BaseEvent, span_id: str) -> None:
        moment = moment_of(type(event))
        if moment is None:
            return
        told: Any = event
        if moment is Moment.PROGRESS:
            self.book.progress(span_id, told.response)
        elif moment is Moment.START:
            self.book.begin(span_id, told, self.spans.model_of(span_id))
        elif moment is Moment.END:
            self.book.end(span_id, told.response)
        elif moment is Moment.BROKEN:
            self.book.broke(span_id, told.exception)
        elif moment is Moment.RERANKS:
            self.texts.told(span_id)
        else:
            self.texts.answered(span_id)


class _Installation:
    """What `install` has put in place."""

    def __init__(self, book: CallBook, defaults: Labels) -> None:
        self.book = book
        self.defaults = defaults
        self.gates = Gates()
        self.taps = Taps()
        texts = TextBook(book.tracker, defaults, book.spans)
        self.spans = CostSpanHandler(book, self.gates, texts, self.taps)
        self.events = CostEventHandler(book=book, spans=self.spans, texts=texts)


_lock: Final = threading.Lock()
_installed: Final[list[_Installation]] = []


def installed_book() -> CallBook | None:
    """Return the book of what is installed; `None` where nothing is."""
    installed = _installed[:1]
    return installed[0].book if installed else None


def install(
    tracker: CostTracker | None = None, *, tags: Iterable[str] = (), **labels: str | int | None
) -> None:
    """Record and guard every model call that LlamaIndex makes in this process from now on.

    A call that no budget can pay for raises `BudgetExceeded` before a request is sent. Installing
    again with the same tracker changes nothing. ``LLMCOST_ENABLED=true`` does the same without any
    code, once this package is imported.

    A stream reports its usage only if it is asked to: ``OpenAI(..., additional_kwargs=
    {"stream_options": {"include_usage": True}})``. Otherwise, and where it is broken off, its cost
    is estimated from the bytes received and flagged: hidden reasoning, and what the provider went
    on to produce, are not in it. This is not switched on behind your back: it would change the
    model's `to_dict()`, and with it the keys of ingestion caches.

    A stream whose length nothing caps is held for by what such answers usually have. More is held
    while it grows, but LlamaIndex lets no handler stop it: where no budget pays for more, that is
    logged, and the overdraft recorded. Cap it, e.g. with ``max_tokens``: that is held for in full.

    The structured predictions of Anthropic's and Google's class ask the provider by themselves, so
    that nothing can refuse them; each is one entry, with a cost estimated from prompt and object.

    Each call is recorded once, also where a model wraps another: the innermost one counts. Retries
    within a model's client are one call, at the usage of the last.

    Embeddings and Cohere's reranks are recorded likewise: each request of `OpenAIEmbedding`, and of
    what derives from it, exactly; each batch of any other class as an estimate. Of another reranker
    that tells of its calls by events each is one estimate, recorded but not held for; of one that
    asks an LLM, the LLM's calls count. What an `embeddings_cache` holds costs nothing, and models
    that run on this machine are left alone. The batches of an asynchronous call with such a cache
    are recorded, but not held for, where a class has no client to listen to: LlamaIndex does not
    ask its rate limiter there. Images are not recorded.

    Args:
        tracker: where to record; by default the one set up by the environment variables.
        tags: words for the calls seen here.
        labels: who causes them, e.g. ``feature="chat"``. `attribute` blocks and LlamaIndex's
            `instrument_tags` win over these.

    Raises:
        ConfigurationError: an argument or a setting cannot be used, or another tracker is
            installed.
    """
    defaults = make_labels(labels, tags)
    given = tracker_given(tracker, "install(tracker, feature='chat')")
    tracker = default_tracker() if given is None else given
    with _lock:
        if _installed and _installed[0].book.tracker is not tracker:
            msg = (
                "another tracker is installed already, and each call is recorded once; call "
                "llmcost_llamaindex.uninstall() first"
            )
            raise ConfigurationError(msg)
        if not _installed:
            _installed.append(_Installation(CallBook(tracker, defaults), defaults))
        ours, root = _installed[0], get_dispatcher()
        # Someone may have replaced the lists since.
        if not any(handler is ours.spans for handler in root.span_handlers):
            root.add_span_handler(ours.spans)
        if not any(handler is ours.events for handler in root.event_handlers):
            root.add_event_handler(ours.events)


def install_once() -> None:
    """Install with the tracker of the environment, unless something is installed.

    Raises:
        ConfigurationError: a setting cannot be used.
    """
    if not _installed:
        install()


def installation() -> tuple[CostTracker, Labels] | None:
    """Return the tracker and the labels of what is installed; `None` if nothing is."""
    with _lock:
        return (_installed[0].book.tracker, _installed[0].defaults) if _installed else None


def uninstall() -> None:
    """Stop recording, and give every model the rate limiter back that it had.

    Where ``LLMCOST_ENABLED`` is on, recording begins again at the next call.

    Calls in flight are not followed to their end: they count as lost when their lease ends. Models
    that were guarded by hand stay guarded, and refuse to be called. Without an installation nothing
    happens.
    """
    with _lock:
        if not _installed:
            return
        ours, root = _installed.pop(), get_dispatcher()
        # New lists, since another thread may be walking the old ones.
        root.event_handlers = [one for one in root.event_handlers if one is not ours.events]
        root.span_handlers = [one for one in root.span_handlers if one is not ours.spans]
        ours.gates.take_off()
        ours.taps.take_off()
        ours.book.clear_abandoned()
