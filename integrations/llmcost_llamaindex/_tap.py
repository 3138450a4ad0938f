"""What is seen of the answer to one call of the router."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index_instrumentation import get_dispatcher

from llmcost_llamaindex._calls import routed
from llmcost_llamaindex._chunks import received_bytes
from llmcost_llamaindex._events import (
    END_EVENTS,
    PROGRESS_EVENTS,
    Response,
    raw_of,
    read_usage,
    served_model,
)
from llmcost_llamaindex._settle import settle_answer
from llmcost_llamaindex._witness import Witness, added
from llmcost_plugins.calls import OpenCall
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage


class Tap:
    """Counts what arrives of one answer, and settles its call.

    Args:
        opened: the call.
        tracker: where a failure to follow it is noted.
        listens: whether the answer is known by the model's events alone, since what its method
            returns does not show it.
        witness: sees what the cache has to know of the answer.
    """

    def __init__(
        self, opened: OpenCall, tracker: CostTracker, witness: Witness, *, listens: bool
    ) -> None:
        self._witness = witness
        self._opened = opened
        self._tracker = tracker
        self._listens = listens
        self._counted = opened.streamed()
        self._last: Response | None = None
        self._usage: Usage | None = None
        self._raws: list[object] = []
        self._span: str | None = None
        self._is_near = False
        self._chunks = 0

    def answered(self, answer: object) -> None:
        """Note a whole answer."""
        if not self._listens and isinstance(answer, ChatResponse | CompletionResponse):
            self._last = answer

    def received(self, chunk: object) -> None:
        """Note what a stream has yielded.

        Raises:
            BudgetExceeded: no budget pays for a longer answer; stop the stream.
        """
        if not self._listens and isinstance(chunk, ChatResponse | CompletionResponse):
            self._add(chunk)
        if self._is_near:
            self._is_near = False
            self._opened.keep_up(self._counted)

    def heard(self, event: BaseEvent) -> None:
        """Note what the model's own events tell of the answer, where nothing else does.

        Never raises: the dispatcher would swallow it.
        """
        self._witness.hear(event)
        if not self._listens:
            return
        try:
            self._hear(event)
        except Exception:  # noqa: BLE001 - logged and counted
            self._tracker.note_failure("a %s could not be followed", type(event).__name__)

    def _hear(self, event: BaseEvent) -> None:
        if isinstance(event, PROGRESS_EVENTS):
            # A wrapper repeats the chunks of the model within, which come first.
            self._span = self._span or event.span_id
            if event.span_id == self._span:
                self._add(event.response)
        elif isinstance(event, END_EVENTS) and event.response is not None:
            self._end(event.response)

    @contextmanager
    def settling(self) -> Iterator[None]:
        """Settle the call when the block ends, however it does."""
        try:
            yield
        except BaseException as error:
            received = self._counted.received_bytes
            self._opened.broke(error, received_bytes=received, usage=self._usage)
            raise
        if len(self._raws) > 1 and self._usage is not None:
            self._opened.finish(self._usage, served_model(self._last))
            return
        streamed = self._counted.received_bytes
        settle_answer(self._opened, self._last, streamed, self._usage)

    @contextmanager
    def around(self) -> Iterator[None]:
        """Make the calls of this block the router's, see `routed`."""
        token = routed.set(self)
        try:
            yield
        finally:
            routed.reset(token)

    def _add(self, chunk: Response) -> None:
        self._chunks += 1
        self._last = chunk
        self._usage = read_usage(chunk) or self._usage
        # A chunk without text (the role, the end, a heartbeat) is a token at the most.
        if self._counted.add(received_bytes(chunk) or 1):
            self._is_near = True

    def _end(self, response: Response) -> None:
        raw = raw_of(response)
        if raw is None or any(raw is one for one in self._raws):
            self._last = self._last or response
            return
        self._raws.append(raw)
        self._last = response
        if self._chunks:
            self._usage = read_usage(response) or self._usage
        elif (usage := read_usage(response)) is not None:
            # A program may ask more than once.
            self._usage = usage if self._usage is None else added(self._usage, usage)


class _Listener(BaseEventHandler):
    """Hands the events of routed calls to their taps."""

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:  # noqa: ARG002 - LlamaIndex's
        """Note an event. Never raises."""
        tap = routed.get()
        if isinstance(tap, Tap):
            tap.heard(event)


_lock = threading.Lock()
_listener = _Listener()


def listen() -> None:
    """Put the listener on the dispatcher, unless it is there."""
    root = get_dispatcher()
    # Someone may have replaced the list since.
    if any(handler is _listener for handler in root.event_handlers):
        return
    with _lock:
        if not any(handler is _listener for handler in root.event_handlers):
            root.add_event_handler(_listener)
