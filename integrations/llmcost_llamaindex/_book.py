"""The calls in flight: what each event of LlamaIndex means for them."""

import itertools
import logging
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Generator
from contextvars import ContextVar
from typing import Any, Final

from llmcost_llamaindex._calls import LiveCall, Started, pending, routed, wraps_router
from llmcost_llamaindex._events import (
    RUN_TAG,
    Response,
    StartEvent,
    raw_of,
    read_usage,
    received_bytes,
    sends_at_first_chunk,
)
from llmcost_llamaindex._settle import settle_answer
from llmcost_llamaindex._spans import SpanTree
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
        self.defaults = defaults
        self._calls: dict[str, LiveCall] = {}
        self._abandoned: deque[str] = deque()
        self._hinted = False

    def begin(self, span_id: str, event: StartEvent, llm: object) -> None:
        """Note that a call starts in a span, and let its gate find it."""
        if routed.get() is not None or wraps_router(llm):
            return
        outer = self._call_around(span_id)
        run = str(event.tags.get(RUN_TAG) or self.spans.outermost(span_id))
        started = Started(event, llm, span_id, run, self.defaults)
        call = LiveCall(self.tracker, next(_numbers), sends_at_first_chunk(event), started)
        if len(self._calls) >= _KEPT:
            self._forget_ended()
        self._calls[span_id] = call
        pending.set(call)
        if outer is not None:
            _set_aside(outer)
        self.clear_abandoned()

    def leave_to_router(self, span_id: str) -> None:
        """Set the call aside around a router that is asked within it: the router's own calls count.

        Args:
            span_id: the span in which it is asked.
        """
        if routed.get() is None and (outer := self._call_around(span_id)) is not None:
            _set_aside(outer)

    def progress(self, span_id: str, response: Response) -> None:
        """Count a chunk, for a stream that breaks off. Kept cheap: it runs per token."""
        call = self._calls.get(span_id)
        if call is None or self._repeats(call, response):
            return
        call.chunks += 1
        # A chunk without text (the role, the end, a heartbeat) is a token at the most.
        call.streamed += received_bytes(response) or 1
        call.usage = read_usage(response) or call.usage

    def end(self, span_id: str, response: Response | None) -> None:
        """Settle an answered call with the usage that the provider reported."""
        call = self._calls.pop(span_id, None)
        if call is None or self._repeats(call, response):
            return
        if call.opened is None:
            self.tracker.note_failure("the model call in the span %s bypassed its gate", span_id)
            call.hold()  # too late to refuse it, but not to count it
        if call.opened is None:
            return
        exact = settle_answer(call.opened, response, call.streamed, call.usage)
        if not exact and call.chunks and not self._hinted:
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
            call.opened.broke(error, received_bytes=call.streamed, usage=call.usage)
        else:
            call.opened.release()

    def returned(self, span_id: str, result: object) -> None:
        """Note what the method that made a call has returned."""
        if span_id not in self._calls:
            return
        if isinstance(result, Generator | AsyncGenerator):
            # A stream that nobody iterates says nothing when it goes.
            weakref.finalize(result, self._abandoned.append, span_id).atexit = False
        else:
            self.end(span_id, None)

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
            if call is None or call.chunks:
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
        self.tracker.note_failure("%s could not be followed", what)

    def _call_around(self, span_id: str) -> LiveCall | None:
        """Return the innermost call in whose span, or a span of which, this one was entered."""
        return next((c for s in self.spans.upwards(span_id) if (c := self._calls.get(s))), None)

    def _repeats(self, call: LiveCall, response: Response | None) -> bool:
        """Tell whether a call hands on the answer of one made within it, and set it aside then.

        A wrapper that makes its call only when its stream is read is in no span of that call; but
        what it hands on is the very same object.
        """
        raw = raw_of(response)
        if raw is None or call.wraps:
            return call.wraps
        last = _last_raw.get()
        if last is not None and last[0] > call.number and last[1]() is raw:
            _set_aside(call)
            return True
        try:
            _last_raw.set((call.number, weakref.ref(raw)))
        except TypeError:  # a plain dictionary, say
            _last_raw.set(None)
        return False

    def _forget_ended(self) -> None:
        """Drop the calls whose end was never told, once the ledger counts them as lost."""
        ended = [s for s, call in list(self._calls.items()) if call.opened and call.opened.ended]
        for span_id in ended:
            self._calls.pop(span_id, None)


def _set_aside(call: LiveCall) -> None:
    """Give a wrapper's hold back: the call within holds for itself."""
    if not call.wraps:
        call.wraps = True
        if call.opened is not None:
            call.opened.release()
