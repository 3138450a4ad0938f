"""What `track_cost` does around one call of a decorated function."""

import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from llmcost_plugins.calls import CallSpec
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import Labels, attribute, current_labels
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.raw.answers import asettle, settle
from llmcost_plugins.raw.books import Books
from llmcost_plugins.raw.frames import Frame, take_over
from llmcost_plugins.raw.recording import Recording
from llmcost_plugins.raw.requests import (
    Api,
    describes_prompt,
    given,
    guess_api,
    model_in,
    size_of,
)
from llmcost_plugins.raw.sending import texts_in
from llmcost_plugins.raw.watching import Watch
from llmcost_plugins.taps import named_arguments

Estimator = Callable[..., Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Decoration:
    """What a decorated function is recorded by.

    Attributes:
        find_books: returns where.
        labels: who causes the calls, as an `attribute` block around the function would say.
        provider: who bills for them.
        stated: parameters of the request that the function's arguments do not say.
        estimate: returns such parameters for the function's arguments.
    """

    find_books: Callable[[], Books]
    labels: Labels
    provider: str | None
    stated: Mapping[str, Any]
    estimate: Estimator | None

    def run(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call a function, which may return something to await."""
        with self._labelled():
            frame, recording = self._begin(function, args, kwargs)
            try:
                with frame.entered():
                    answer = function(*args, **kwargs)
            except BaseException as error:
                _fail(frame, recording, error)
                raise
            if inspect.isawaitable(answer):
                return self._awaited(frame, recording, answer)
            return _close(frame, recording, answer)

    async def arun(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call an asynchronous function."""
        with self._labelled():
            frame, recording = await self._abegin(function, args, kwargs)
            return await self._awaited(frame, recording, function(*args, **kwargs))

    async def _awaited(self, frame: Frame, recording: Recording, answering: Any) -> Any:
        with self._labelled():
            try:
                with frame.entered():
                    answer = await answering
            except BaseException as error:
                _fail(frame, recording, error)
                raise
            if frame.gave_way:
                return answer
            _note(frame)
            return await asettle(recording, answer)

    def generate(
        self, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> Generator[Any, Any, Any]:
        """Run a generator function, whose items are the events of a stream."""
        with self._labelled():
            frame, recording = self._begin(function, args, kwargs)
        inner, watch = function(*args, **kwargs), Watch(recording)

        def step(move: Callable[..., Any], *value: Any) -> Any:
            # Not around the whole: the consumer's code between two items is not the function's.
            with self._labelled(), frame.entered():
                return move(*value)

        move: Callable[..., Any] = inner.send
        value: tuple[Any, ...] = (None,)
        try:
            while True:
                item = step(move, *value)
                _see(frame, watch, item)
                try:
                    move, value = inner.send, ((yield item),)
                except GeneratorExit:
                    step(inner.close)
                    raise
                except BaseException as error:  # noqa: BLE001 - the generator's to handle
                    move, value = inner.throw, (error,)
        except StopIteration as end:
            _end(frame, watch)
            return end.value
        except BaseException as error:
            _break(frame, watch, error)
            raise

    async def agenerate(
        self, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> AsyncIterator[Any]:
        """Run an asynchronous generator function likewise."""
        with self._labelled():
            frame, recording = await self._abegin(function, args, kwargs)
        inner, watch = function(*args, **kwargs), Watch(recording)

        async def step(move: Callable[..., Any], *value: Any) -> Any:
            with self._labelled(), frame.entered():
                return await move(*value)

        move: Callable[..., Any] = inner.asend
        value: tuple[Any, ...] = (None,)
        try:
            while True:
                item = await step(move, *value)
                _see(frame, watch, item)
                try:
                    move, value = inner.asend, ((yield item),)
                except GeneratorExit:
                    await step(inner.aclose)
                    raise
                except BaseException as error:  # noqa: BLE001 - the generator's to handle
                    move, value = inner.athrow, (error,)
        except StopAsyncIteration:
            _end(frame, watch)
        except BaseException as error:
            _break(frame, watch, error)
            raise

    @contextmanager
    def _labelled(self) -> Iterator[None]:
        with attribute(tags=self.labels.tags, **self.labels.values):
            yield

    def _begin(
        self, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> tuple[Frame, Recording]:
        books = self.find_books()
        recording, spec, described = self._describe(books, function, args, kwargs)
        if described:
            take_over(books)
            recording.opened = books.start(spec)
        else:
            books.refuse_if_spent(spec)
        return Frame(books, recording.opened), recording

    async def _abegin(
        self, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> tuple[Frame, Recording]:
        books = self.find_books()
        recording, spec, described = self._describe(books, function, args, kwargs)
        if described:
            take_over(books)
            recording.opened = await books.astart(spec)
        else:
            books.refuse_if_spent(spec)
        return Frame(books, recording.opened), recording

    def _describe(
        self, books: Books, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> tuple[Recording, CallSpec, bool]:
        """Return the call, and whether enough is known of it to hold for it."""
        params = given({**named_arguments(function, args, kwargs, defaults=True), **self.stated})
        if self.estimate is not None:
            params = {**params, **given(_checked(self.estimate(*args, **kwargs)))}
        model = model_in(params)
        blank = CallSpec(
            id=str(uuid4()),
            model=model or "unknown",
            provider=self.provider,
            size=CallSize(0, None),
            labels=current_labels(),
            watched=True,
        )
        recording = Recording(
            None,
            lambda served: books.start_late(replace(blank, model=model or served)),
            provider=self.provider,
        )
        if model is None or not describes_prompt(params):
            return recording, replace(blank, id=str(uuid4())), False
        sizer = books.sizer(model)
        if guess_api(params) is Api.EMBEDDINGS:
            recording.sent = texts_in(params)
            return recording, replace(blank, size=recording.sent.size(sizer)), True
        return recording, replace(blank, size=size_of(params, sizer)), True


def _checked(params: object) -> Mapping[str, Any]:
    if isinstance(params, Mapping):
        return params
    msg = (
        f"estimate= returned {params!r}; return the parameters of the request, for example "
        "{'model': 'gpt-4o', 'messages': [...], 'max_tokens': 500}"
    )
    raise ConfigurationError(msg)


def _note(frame: Frame) -> None:
    """Tell the frames around that the call is recorded here."""
    take_over(frame.books, frame)


def _close(frame: Frame, recording: Recording, answer: Any) -> Any:
    if frame.gave_way:
        return answer
    _note(frame)
    return settle(recording, answer)


def _fail(frame: Frame, recording: Recording, error: BaseException) -> None:
    if not frame.gave_way:
        recording.failed(error)


def _see(frame: Frame, watch: Watch, item: object) -> None:
    if not frame.gave_way:
        watch.see(item)


def _end(frame: Frame, watch: Watch) -> None:
    if not frame.gave_way:
        _note(frame)
        watch.done()


def _break(frame: Frame, watch: Watch, error: BaseException) -> None:
    if not frame.gave_way:
        watch.broke(error)
