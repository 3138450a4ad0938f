"""The calls in flight: what each event of LlamaIndex means for them."""

import itertools
import logging
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping
from contextvars import ContextVar
from inspect import BoundArguments
from typing import Any, Final

from llama_index.core.base.llms.base import BaseLLM

from llmcost_llamaindex._calls import LiveCall, Place, Started, pending, routed, wraps_router
from llmcost_llamaindex._chunks import received_bytes
from llmcost_llamaindex._events import (
    RUN_TAG,
    Response,
    StartEvent,
    raw_of,
    read_usage,
)
from llmcost_llamaindex._models import hands_on, inner_model, sends_at_first_chunk
from llmcost_llamaindex._settle import settle_answer, settle_object
from llmcost_llamaindex._spans import SpanTree, method_of
from llmcost_llamaindex._structured import Predictions, is_prediction
from llmcost_plugins.errors import BudgetExceeded
from llmcost_plugins.labels import Labels
from llmcost_plugins.tracker import CostTracker

_log: Final = logging.getLogger("llmcost_plugins")
_KEPT: Final = 1024
_numbers: Final = itertools.count()
_last_raw: ContextVar["tuple[int, weakref.ref[Any]] | None"] = ContextVar(
    "llmcost_last_raw", default=None
)


class CallBook:
    """Follows model calls from start to end and settles each one once.

    Args:
        tracker: where calls are recorded.
        defaults: the labels of the installation.
    """

    def __init__(self, tracker: CostTracker, defaults: Labels) -> None:
        self.tracker = tracker
        self.spans = SpanTree()
        self.predictions = Predictions(tracker)
        self.defaults = defaults
        self._calls: dict[str, LiveCall] = {}
        self._streaming: dict[int, str] = {}
        self._abandoned: deque[str] = deque()
        self._hinted = False

    def entered(
        self,
        span_id: str,
        llm: BaseLLM,
        arguments: BoundArguments,
        tags: Mapping[str, Any] | None,
    ) -> None:
        """Note that a method of a model begins."""
        if routed.get() is None and is_prediction(span_id, llm):
            outer = itertools.islice(self.spans.upwards(span_id), 1, None)
            # Within one of its own the general one asks the model, which tells of its call.
            if not self.predictions.told(outer):
                self.predictions.enter(llm, arguments, self.place(span_id, tags))

    def place(self, span_id: str, tags: Mapping[str, Any] | None) -> Place:
        """Return where something is called, and who causes it."""
        known = tags or {}
        run = str(known.get(RUN_TAG) or self.spans.outermost(span_id))
        return Place(span_id, run, known, self.defaults)

    def begin(self, span_id: str, event: StartEvent, llm: object) -> None:
        """Note that a call starts in a span, and let its gate find it."""
        if routed.get() is not None or wraps_router(llm):
            return
        spans = list(self.spans.upwards(span_id))
        self.predictions.told(spans)
        outer = self._call_in(spans) or self._reader(llm)
        name = str(event.model_dict.get("class_name") or "")
        call = LiveCall(
            self.tracker,
            next(_numbers),
            sends_at_first_chunk(llm, name, method_of(span_id)),
            Started(event, llm, self.place(span_id, event.tags)),
            inner=inner_model(llm),
            handed_on=hands_on(llm),
        )
        if len(self._calls) >= _KEPT:
            self._forget_ended()
        self._calls[span_id] = call
        pending.set(call)
        if outer is not None:
            _set_aside(outer)
        self.clear_abandoned()

    def answered_from_cache(self, span_id: str) -> None:
        """Note that a request made here costs nothing, so that what wraps it does not count."""
        self.predictions.told(self.spans.upwards(span_id))
        if (outer := self._call_in(self.spans.upwards(span_id))) is not None:
            _set_aside(outer)
            if pending.get() is outer:
                pending.set(None)

    def leave_to_router(self, span_id: str) -> None:
        """Set the call aside around a router that is asked within it: the router's own calls count.

        Args:
            span_id: the span in which it is asked.
        """
        if (
            routed.get() is None
            and (outer := self._call_in(self.spans.upwards(span_id))) is not None
        ):
            _set_aside(outer)

    def progress(self, span_id: str, response: Response) -> None:
        """Count a chunk, and hold more before the stream outgrows its hold.

        Kept cheap: it runs per token. A stream cannot be stopped here: the dispatcher swallows what
        is raised. So one that outgrows what a budget pays for goes on, and is recorded in full.
        """
        call = self._calls.get(span_id)
        if call is None or self._repeats(call, response):
            return
        if call.receive(received_bytes(response)):
            self._keep_up(call)
        if not call.structured:
            call.usage = read_usage(response) or call.usage

    def _keep_up(self, call: LiveCall) -> None:
        if call.opened is None or call.streamed is None:
            return
        try:
            call.opened.keep_up(call.streamed)
        except BudgetExceeded as error:
            call.streamed.rest()
            _log.warning(
                "a stream of %r outgrows what its budget pays for, and LlamaIndex cannot stop it "
                "(a FallbackRouter can; a cap such as max_tokens is held for in full): %s",
                call.opened.spec.model,
                error,
            )

    def end(self, span_id: str, response: Response | None) -> None:
        """Settle an answered call with the usage that the provider reported."""
        call = self._calls.pop(span_id, None)
        if call is None or self._repeats(call, response):
            return
        if call.opened is None:
            self.tracker.note_failure("the model call in the span %s bypassed its gate", span_id)
            call.open_late()
        if call.opened is None:
            return
        if call.structured:
            settle_object(call.opened, response)
            return
        exact = settle_answer(call.opened, response, call.received_bytes, call.usage)
        if not exact and call.streamed is not None and not self._hinted:
            self._hinted = True
            _log.warning(
                "a stream of %r reported no usage: its cost is estimated from what was received, "
                "which hidden reasoning is no part of; OpenAI reports it with OpenAI(..., "
                "additional_kwargs={'stream_options': {'include_usage': True}})",
                call.opened.spec.model,
            )

    def broke(self, span_id: str, error: BaseException) -> None:
        """Settle what a refused, failed, broken off or cancelled call has cost."""
        call = self._calls.pop(span_id, None)
        if call is None or call.wraps or call.opened is None:
            return
        if call.sent:
            call.opened.broke(error, received_bytes=call.received_bytes, usage=call.usage)
        else:
            call.opened.release()

    def returned(self, span_id: str, result: object) -> None:
        """Note what the method that made a call, or a structured prediction, has returned."""
        prediction = self.predictions.take(span_id)
        if prediction is not None and not self._counts(span_id, prediction.llm):
            self.predictions.answered(prediction, result)
        call = self._calls.get(span_id)
        if call is None:
            return
        if isinstance(result, Generator | AsyncGenerator):
            if call.structured:
                self._streaming[id(call.inner)] = span_id
            # A stream that nobody iterates says nothing when it goes.
            weakref.finalize(result, self._abandoned.append, span_id).atexit = False
        else:
            self.end(span_id, None)

    def dropped(self, span_id: str, error: BaseException) -> None:
        """Note that a method has failed."""
        prediction = self.predictions.take(span_id)
        if prediction is not None and not self._counts(span_id, prediction.llm):
            self.predictions.failed(prediction, error)
        self.broke(span_id, error)

    def _counts(self, span_id: str, llm: object) -> bool:
        """Tell whether a call under way around the span is the one that counts."""
        around = (self._calls.get(span) for span in self.spans.upwards(span_id))
        return any(c is not None and not c.wraps for c in around) or self._reader(llm) is not None

    def _reader(self, llm: object) -> LiveCall | None:
        """Return the call whose stream, being read, makes that model's.

        A `StructuredLLM` calls its model when its stream is read, in no span of its own.
        """
        if not self._streaming:
            return None
        span_id = self._streaming.pop(id(llm), None)
        return None if span_id is None else self._calls.get(span_id)

    def clear_abandoned(self) -> None:
        """End the streams that went without being iterated.

        Not done where they go: that may be in the middle of anything, even of a ledger's verb.
        """
        while self._abandoned:
            try:
                span_id = self._abandoned.popleft()
            except IndexError:  # another thread was faster
                return
            call = self._calls.get(span_id)
            if call is None or call.streamed is not None:
                continue
            del self._calls[span_id]
            if call.opened is None or call.wraps:
                continue
            if call.lazy:
                call.opened.release()
            else:
                call.opened.abort(streamed_bytes=None, detail="the stream was never read")

    def failed(self, what: str) -> None:
        """Log and count that the bookkeeping failed; called in an `except` block."""
        self.tracker.note_failure(f"{what} could not be followed")

    def _call_in(self, spans: Iterable[str]) -> LiveCall | None:
        """Return the call of the first of the spans that has one."""
        return next((call for span in spans if (call := self._calls.get(span))), None)

    def _repeats(self, call: LiveCall, response: Response | None) -> bool:
        """Tell whether a call hands on the answer of one made within it, and set it aside then.

        A wrapper that makes its call only when its stream is read is in no span of that call; but
        what it hands on is the very same object.
        """
        raw = raw_of(response)
        if raw is None or call.wraps:
            return call.wraps
        last = _last_raw.get()
        if last is not None and last[0] > call.number and last[1]() is _anchor(raw):
            _set_aside(call)
            return True
        anchor = _anchor(raw)
        _last_raw.set(None if anchor is None else (call.number, weakref.ref(anchor)))
        return False

    def _forget_ended(self) -> None:
        """Drop the calls whose end was never told, once the ledger counts them as lost."""
        ended = [s for s, call in list(self._calls.items()) if call.opened and call.opened.ended]
        for span_id in ended:
            self._calls.pop(span_id, None)


def _anchor(raw: object) -> object:
    """Return what tells a provider's object from any other and can be referred to weakly."""
    if not isinstance(raw, dict):
        return raw if hasattr(type(raw), "__weakref__") else None
    # Anthropic's class makes a dictionary of the SDK's object; its parts are the SDK's.
    return next((part for part in raw.values() if hasattr(type(part), "__weakref__")), None)


def _set_aside(call: LiveCall) -> None:
    """Give a wrapper's hold back: the call within holds for itself."""
    if not call.wraps:
        call.wraps = True
        if call.opened is not None:
            call.opened.release()
