"""Sees a stream go by, and ends its call when the stream ends, is closed or is forgotten.

The stream stays the object that the client made: only its class is replaced, by one derived from
it, so that `isinstance`, attributes and identity are what they were.
"""

import inspect
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

from llmcost_plugins.errors import BudgetExceeded
from llmcost_plugins.raw.recording import Recording
from llmcost_plugins.reported.events import Events, is_usage_alone

_KEY: Final = "_llmcost_watch"


class Watch:
    """What is known of one stream.

    Args:
        recording: its call.
        hides_usage: whether the chunk that holds nothing but the usage is kept from the consumer,
            who has not asked for it.
    """

    def __init__(self, recording: Recording, *, hides_usage: bool = False) -> None:
        self._recording = recording
        self._hides_usage = hides_usage
        self._events = Events()
        self._streamed = recording.streamed()
        self._ended = False

    def see(self, event: object) -> bool:
        """Take in an event; return whether the consumer gets it.

        Raises:
            BudgetExceeded: a budget cannot pay for a longer answer; the call has ended.
        """
        try:
            size = self._events.add(event)
            hidden = self._hides_usage and is_usage_alone(event)
        except Exception:  # noqa: BLE001 - an unforeseen shape must not cost the answer
            self._recording.unread("an event")
            size, hidden = 1, False
        opened = self._recording.opened
        if size and self._streamed.add(size) and opened is not None:
            try:
                opened.keep_up(self._streamed)
            except BudgetExceeded as error:
                self.broke(error)
                raise
        return not hidden

    def done(self) -> None:
        """End the call: the stream was read to its end."""
        if self._ended:
            return
        self._ended = True
        try:
            usage = self._events.usage_of(self._recording.provider)
        except Exception:  # noqa: BLE001 - see `see`
            self._recording.unread("the usage")
            usage = None
        self._recording.finish(usage, self._events.served or None, self._streamed.received_bytes)

    def broke(self, error: BaseException) -> None:
        """End the call: the stream failed, or was left."""
        if not self._ended:
            self._ended = True
            received = self._streamed.received_bytes
            self._recording.streamed_until(error, self._events, received)

    def left(self) -> None:
        """End the call: the stream was closed or forgotten."""
        self.broke(GeneratorExit())


def is_stream(answer: object) -> bool:
    """Tell whether an answer arrives bit by bit."""
    kind = type(answer)
    return hasattr(kind, "__next__") or hasattr(kind, "__anext__")


def watched(stream: Any, watch: Watch) -> Any:
    """Return the stream, seen by *watch*: the same object wherever Python lets us."""
    kind = type(stream)
    try:
        object.__setattr__(stream, _KEY, watch)
        stream.__class__ = _watching(kind)
        weakref.finalize(stream, watch.left).atexit = False
    except (AttributeError, TypeError):
        # A generator, or another object whose class is fixed.
        return (_passed_on if hasattr(kind, "__next__") else _apassed_on)(stream, watch)
    return stream


def _passed_on(stream: Any, watch: Watch) -> Iterator[Any]:
    try:
        for event in stream:
            if watch.see(event):
                yield event
    except BaseException as error:
        watch.broke(error)
        raise
    watch.done()


async def _apassed_on(stream: Any, watch: Watch) -> Any:
    try:
        async for event in stream:
            if watch.see(event):
                yield event
    except BaseException as error:
        watch.broke(error)
        raise
    watch.done()


_classes: Final[dict[type, type]] = {}


def _watching(kind: type) -> type:
    """Return the class that watches, derived from a stream's own."""
    found = _classes.get(kind)
    if found is None:
        names: dict[str, Any] = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        if hasattr(kind, "__next__"):
            names |= {"__iter__": _itself, "__next__": _next_of(kind)}
        if hasattr(kind, "__anext__"):
            names |= {"__aiter__": _itself, "__anext__": _anext_of(kind)}
        for name in ("close", "aclose"):
            if callable(method := getattr(kind, name, None)):
                names[name] = _closing(method)
        found = _classes.setdefault(kind, type(kind.__name__, (kind,), names))
    return found


def _itself(stream: Any) -> Any:
    return stream


def _next_of(kind: Any) -> Callable[[Any], Any]:
    step = kind.__next__

    def __next__(stream: Any) -> Any:  # noqa: N807 - what it will be
        watch: Watch = stream.__dict__[_KEY]
        while True:
            try:
                event = step(stream)
            except StopIteration:
                watch.done()
                raise
            except BaseException as error:
                watch.broke(error)
                raise
            if _seen(watch, event, stream):
                return event

    return __next__


def _seen(watch: Watch, event: object, stream: Any) -> bool:
    try:
        return watch.see(event)
    except BudgetExceeded:
        close = getattr(stream, "close", None)
        if close is not None:
            close()
        raise


def _anext_of(kind: Any) -> Callable[[Any], Any]:
    step = kind.__anext__

    async def __anext__(stream: Any) -> Any:  # noqa: N807 - what it will be
        watch: Watch = stream.__dict__[_KEY]
        while True:
            try:
                event = await step(stream)
            except StopAsyncIteration:
                watch.done()
                raise
            except BaseException as error:
                watch.broke(error)
                raise
            try:
                seen = watch.see(event)
            except BudgetExceeded:
                await _aclose(stream)
                raise
            if seen:
                return event

    return __anext__


async def _aclose(stream: Any) -> None:
    close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
    closing = close() if close is not None else None
    if inspect.isawaitable(closing):
        await closing


def _closing(method: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        async def aclose(stream: Any) -> Any:
            try:
                return await method(stream)
            finally:
                stream.__dict__[_KEY].left()

        return aclose

    def close(stream: Any) -> Any:
        try:
            return method(stream)
        finally:
            stream.__dict__[_KEY].left()

    return close
