"""Embedding calls and reranks in flight: who causes them, what they send, what they are held for.

A method that embeds is one span, and sends its texts in batches. Where the client of the provider's
SDK is at hand it is listened to, so that each request is held for and settled by itself; elsewhere
LlamaIndex's rate limiter slot and its end events are what there is, and usage is an estimate.
"""

import itertools
import threading
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from llama_index.core.base.embeddings.base import BaseEmbedding

from llmcost_llamaindex._events import RUN_TAG
from llmcost_llamaindex._spans import SpanTree
from llmcost_llamaindex._wrapped import Wrapped, given_texts, sends_nothing
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.failures import ended_by_caller
from llmcost_plugins.labels import Labels, take_labels
from llmcost_plugins.texts import Texts, settle, settle_failure
from llmcost_plugins.tracker import CostTracker

_ITEMS = ("input", "inputs", "texts", "documents")


@dataclass(slots=True, eq=False)
class Request:
    """One batch that no client tells of: held for where the rate limiter is asked."""

    owner: "TextCall"
    texts: Texts
    opened: OpenCall | None = None
    sent: bool = False

    def hold(self) -> None:
        """Hold for the batch; raises as `CostTracker.start` does."""
        self.opened = self.owner.tracker.start(self.owner.spec(self.texts))
        self.owner.held(self)

    async def ahold(self) -> None:
        """Do what `hold` does, and wait by awaiting."""
        self.opened = await self.owner.tracker.astart(self.owner.spec(self.texts))
        self.owner.held(self)

    def settle(self) -> None:
        """Count the answered batch; one that nothing was held for, too. Never raises."""
        if self.opened is not None:
            settle(self.opened, None, self.texts)
            return
        late = self.owner.tracker.start_late(self.owner.spec(self.texts))
        settle(late, None, self.texts)


@dataclass(slots=True, eq=False)
class TextCall:
    """One method call of an embedding model or reranker, from its span's begin to its end.

    Attributes:
        tracker: where it is recorded.
        wrapped: the model, and who bills for it.
        labels: those in force at its begin.
        defaults: the labels of the installation.
        run: the outermost run that it belongs to.
        batches: what it sends, and what of that is not in a cache.
        listened: whether its client tells of each request.
        outer: the call it was made in.
        wraps: whether another call does its work, and is the one that counts.
        told: whether something has been sent, for all that is known. Of a postprocessor whose
            client is not known it is not, unless it says so by an event.
    """

    tracker: CostTracker
    wrapped: Wrapped
    labels: Labels
    defaults: Labels
    run: str
    batches: Sequence[Texts]
    listened: bool
    outer: "TextCall | None"
    wraps: bool = False
    told: bool = True
    _requests: dict[int, Request] = field(default_factory=dict)
    _asked: "itertools.count[int]" = field(default_factory=itertools.count)
    _answered: "itertools.count[int]" = field(default_factory=itertools.count)
    _broken: bool = False

    def next_request(self) -> Request | None:
        """Return what the gate has to hold for; `None` where it has nothing to do."""
        if self.listened or self.wraps:
            return None
        number = next(self._asked)
        texts = self.batches[number] if number < len(self.batches) else Texts(())
        if not texts.items:  # all of it is in the cache
            return None
        request = self._requests[number] = Request(self, texts)
        return request

    def answered(self) -> None:
        """Settle the batch whose end event arrived: they arrive in the order of the batches."""
        number = next(self._answered)
        if self.listened or self.wraps or number >= len(self.batches):
            return
        texts = self.batches[number]
        if texts.items:
            self._requests.pop(number, Request(self, texts)).settle()

    def held(self, request: Request) -> None:
        """Settle a batch at once that is sent after another has failed: no end is told of it."""
        if self._broken:
            request.settle()

    def broke(self, error: BaseException) -> None:
        """Settle what was held for and not answered. Never raises.

        Batches sent at the same time end by one error, and which of them were answered is not told:
        those sent count as billed, since the others go on when one fails.
        """
        self._broken = True
        requests = list(self._requests.values())
        self._requests.clear()
        several = len(requests) > 1
        for request in requests:
            if request.opened is None:
                continue
            if request.sent or (several and not ended_by_caller(error)):
                settle_failure(request.opened, error, several=several)
            else:
                request.opened.release()
        if self.told and not self.listened and not self.wraps and not next(self._asked):
            self._broke_unasked(error)

    def _broke_unasked(self, error: BaseException) -> None:
        """Record what was sent without the rate limiter being asked, and was not answered."""
        rest = [texts for texts in self.batches[next(self._answered) :] if texts.items]
        for texts in rest:
            late = self.tracker.start_late(self.spec(texts))
            settle_failure(late, error, several=len(rest) > 1)

    def set_aside(self) -> None:
        """Give the holds of a wrapper back: the call within holds for itself."""
        self.wraps = True
        for request in self._requests.values():
            if request.opened is not None:
                request.opened.release()
        self._requests.clear()

    def spec(self, texts: Texts, model: str | None = None, *, watched: bool = False) -> CallSpec:
        """Describe a request."""
        name = model or self.wrapped.model
        return CallSpec(
            id=str(uuid4()),
            model=name,
            provider=self.wrapped.provider,
            size=texts.size(self.tracker.sizer(name)),
            labels=self.labels,
            defaults=self.defaults,
            run=self.run,
            watched=watched,
        )


current: ContextVar[TextCall | None] = ContextVar("llmcost_text_call", default=None)
"""The innermost embedding call or rerank that runs here."""


class ClientListener:
    """Holds for and settles each request of one model's client."""

    def __init__(self, tracker: CostTracker, defaults: Labels, wrapped: Wrapped) -> None:
        self._tracker = tracker
        self._defaults = defaults
        self._wrapped = wrapped

    def open(self, arguments: Mapping[str, Any]) -> OpenCall:
        """Hold for a request; what is raised stops it."""
        return self._tracker.start(self._spec(arguments))

    async def aopen(self, arguments: Mapping[str, Any]) -> OpenCall:
        """Do what `open` does, and wait by awaiting."""
        return await self._tracker.astart(self._spec(arguments))

    def close(self, opened: OpenCall, answer: object, arguments: Mapping[str, Any]) -> None:
        """Settle an answered request. Never raises."""
        settle(opened, answer, _sent(arguments))

    def fail(self, opened: OpenCall, error: BaseException) -> None:
        """Settle a request that failed or was broken off. Never raises."""
        settle_failure(opened, error)

    def _spec(self, arguments: Mapping[str, Any]) -> CallSpec:
        call = current.get()
        if call is None:  # by a method that has no span
            labels = Labels()
            call = TextCall(
                self._tracker, self._wrapped, labels, self._defaults, str(uuid4()), (), True, None
            )
        said = arguments.get("model")
        return call.spec(_sent(arguments), said if isinstance(said, str) else None, watched=True)


def _sent(arguments: Mapping[str, Any]) -> Texts:
    items = next((v for name in _ITEMS if (v := arguments.get(name)) is not None), ())
    if isinstance(items, str):
        items = (items,)
    query = arguments.get("query")
    longest = arguments.get("max_tokens_per_doc")
    return Texts(
        tuple(items),
        query if isinstance(query, str) else None,
        longest if isinstance(longest, int) and longest > 0 else None,
    )


class TextBook:
    """Follows the embedding calls and reranks of an installation."""

    def __init__(self, tracker: CostTracker, defaults: Labels, spans: SpanTree) -> None:
        self.tracker = tracker
        self.defaults = defaults
        self._spans = spans
        self._lock = threading.Lock()
        self._calls: dict[str, TextCall] = {}

    def enter(
        self,
        span_id: str,
        instance: object,
        arguments: Mapping[str, Any],
        tags: Mapping[str, Any],
        *,
        listened: bool,
    ) -> None:
        """Note that a method which embeds or reranks begins."""
        items = given_texts(instance, arguments)
        if items is None or sends_nothing(instance):
            return
        outer = current.get()
        if outer is not None and isinstance(instance, BaseEmbedding):
            outer.set_aside()
        call = TextCall(
            self.tracker,
            Wrapped.of(instance),
            take_labels(self.tracker.label_keys, tags, ()),
            self.defaults,
            str(tags.get(RUN_TAG) or self._spans.outermost(span_id)),
            items,
            listened,
            outer,
            told=isinstance(instance, BaseEmbedding),
        )
        with self._lock:
            self._calls[span_id] = call
        current.set(call)

    def told(self, span_id: str) -> None:
        """Note that a reranker says that it is about to send."""
        if (call := self._calls.get(span_id)) is not None:
            call.told = True

    def answered(self, span_id: str) -> None:
        """Settle a batch whose end event arrived."""
        if (call := self._calls.get(span_id)) is not None:
            call.answered()

    def leave(self, span_id: str, error: BaseException | None) -> None:
        """Note that the method has returned, or failed."""
        with self._lock:
            call = self._calls.pop(span_id, None)
        if call is None:
            return
        if current.get() is call:
            current.set(call.outer)
        if error is not None:
            call.broke(error)
