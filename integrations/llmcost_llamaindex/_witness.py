"""Sees what a model's own calls have used and how they ended, where the answer does not say it."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index_instrumentation import get_dispatcher

from llmcost_llamaindex._answers import endings_of
from llmcost_llamaindex._events import (
    END_EVENTS,
    PROGRESS_EVENTS,
    raw_of,
    read_usage,
    served_model,
)
from llmcost_plugins.usage import Trust, Usage

_log: Final = logging.getLogger("llmcost_plugins")
_lock: Final = threading.Lock()


class Witness:
    """What one request of a caller has led to: it may be several calls, or one told of twice.

    Attributes:
        usage: what the provider reported, of all calls; `None` when it did not.
        served: the model's name as the provider reported it.
        endings: why the calls have ended, as providers say it.
    """

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.served: str | None = None
        self.endings: set[str] = set()
        self._calls = 0
        self._streamed: Usage | None = None
        self._last: object = None

    def see_part(self, response: Any) -> None:
        """Note a chunk of an answer."""
        self.endings.update(endings_of(raw_of(response)))
        self._streamed = read_usage(response) or self._streamed

    def see(self, response: Any) -> None:
        """Note the answer of a call, or the last chunk of one."""
        raw = raw_of(response)
        if raw is not None and raw is self._last:
            return  # a wrapper hands on the very same answer
        self._last = raw
        self._calls += 1
        self.endings.update(endings_of(raw))
        usage, self._streamed = read_usage(response) or self._streamed, None
        self.served = served_model(response) or self.served
        if usage is not None:
            self.usage = usage if self.usage is None else added(self.usage, usage)

    def hear(self, event: BaseEvent) -> None:
        """Note what an event tells. Never raises: the dispatcher would swallow it unseen."""
        try:
            if isinstance(event, PROGRESS_EVENTS):
                self.see_part(event.response)
            elif isinstance(event, END_EVENTS) and event.response is not None:
                self.see(event.response)
        except Exception:  # noqa: BLE001 - logged
            _log.exception("a %s could not be read for the cache", type(event).__name__)

    def see_unless_told(self, answer: Any) -> None:
        """Note what a model has returned that tells nobody of its calls."""
        if not self._calls and isinstance(answer, ChatResponse | CompletionResponse):
            self.see(answer)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See the calls that are made in the block."""
        _put_on()
        token = _watching.set(self)
        try:
            yield
        finally:
            _watching.reset(token)


def added(one: Usage, other: Usage) -> Usage:
    """Return what two calls have used together."""
    counts = one.to_counts()
    for name, value in other.to_counts().items():
        known = counts.get(name)
        counts[name] = known + value if isinstance(known, int) and isinstance(value, int) else value
    trusts = {one.trust, other.trust}
    return Usage.from_counts(counts, one.trust if len(trusts) == 1 else Trust.ESTIMATED)


class _Handler(BaseEventHandler):
    """Tells the witness of where it is called, if there is one."""

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:  # noqa: ARG002 - the signature
        """Note what an event says. Never raises."""
        witness = _watching.get()
        if witness is not None:
            witness.hear(event)


_watching: ContextVar[Witness | None] = ContextVar("llmcost_witness", default=None)
_handler: Final = _Handler()


def _put_on() -> None:
    """Put the handler on LlamaIndex's dispatcher, again where someone has replaced the list."""
    root = get_dispatcher()
    if any(handler is _handler for handler in root.event_handlers):
        return
    with _lock:
        if not any(handler is _handler for handler in root.event_handlers):
            root.add_event_handler(_handler)
