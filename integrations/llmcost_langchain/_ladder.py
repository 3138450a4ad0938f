"""One request to a router: which models are asked, in what order, and what becomes of each try."""

from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any, Final

from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableConfig

from llmcost_langchain._calls import (
    ChatRequest,
    PlannedCall,
    Route,
    abegin,
    begin,
    may_fall_back,
    name_of,
    plan_call,
    prefers_cheaper,
    settled,
    starts_cool_down,
    with_handler,
)
from llmcost_langchain._messages import delta_bytes
from llmcost_langchain._notes import METADATA_KEY, note_of_end, note_of_start, noted, stamp
from llmcost_langchain._shelf import (
    Form,
    Shelf,
    answer_found,
    chunks_found,
    events_found,
    keep,
    keep_chunks,
    keep_events,
)
from llmcost_langchain._weighing import weigh
from llmcost_plugins.calls import OpenCall
from llmcost_plugins.cool_downs import CoolDowns
from llmcost_plugins.policies import Policy, complete
from llmcost_plugins.routing import Attempt, Attempts

_ENDS: Final = "the attempts of a router end by returning or raising"
FINISH: Final = "message-finish"
"""The event that ends an event stream, and tells its usage."""

Event = Mapping[str, Any]


class Ladder:
    """Answers requests with the first model that budgets can pay for and that does not fail.

    Args:
        models: from preferred to cheapest.
        policy: puts them into the order for a request; `None` for that of the ladder.
        cool_downs: which of them have failed a moment ago.
        shelf: where answers are kept.
    """

    def __init__(
        self,
        models: Sequence[BaseChatModel],
        policy: Policy | None,
        cool_downs: CoolDowns,
        shelf: Shelf,
    ) -> None:
        self._models = models
        self._policy = policy
        self._cool_downs = cool_downs
        self._shelf = shelf

    def answer(
        self, request: ChatRequest, run: CallbackManagerForChainRun, route: Route
    ) -> LLMResult:
        """Return the answer to a request."""
        for attempt in self._attempts(request, route):
            with attempt:
                plan = plan_call(self._models, attempt, request, route)
                with self._shelf.visit(plan, request, route) as visit:
                    if visit.found is not None:
                        result, opened = answer_found(visit.found, plan, run, route)
                        return stamp(result, opened, attempt)
                    plan, opened = begin(plan, attempt, route.tracker)
                    with settled(opened):
                        result = plan.model.generate(
                            [request.messages],
                            stop=request.stop,
                            callbacks=with_handler(run.get_child(), route.tracker),
                            run_id=plan.run_id,
                            **plan.kwargs,
                        )
                    keep(visit, result, opened)
                return stamp(result, opened, attempt)
        raise AssertionError(_ENDS)

    async def aanswer(
        self, request: ChatRequest, run: AsyncCallbackManagerForChainRun, route: Route
    ) -> LLMResult:
        """Return the answer to a request."""
        for attempt in self._attempts(request, route):
            with attempt:
                plan = plan_call(self._models, attempt, request, route)
                with await self._shelf.avisit(plan, request, route) as visit:
                    if visit.found is not None:
                        result, opened = answer_found(visit.found, plan, run, route)
                        return stamp(result, opened, attempt)
                    plan, opened = await abegin(plan, attempt, route.tracker)
                    with settled(opened):
                        result = await plan.model.agenerate(
                            [request.messages],
                            stop=request.stop,
                            callbacks=with_handler(run.get_child(), route.tracker),
                            run_id=plan.run_id,
                            **plan.kwargs,
                        )
                    keep(visit, result, opened)
                return stamp(result, opened, attempt)
        raise AssertionError(_ENDS)

    def stream(
        self, request: ChatRequest, run: CallbackManagerForChainRun, route: Route
    ) -> Generator[AIMessageChunk]:
        """Yield the answer to a request in chunks."""
        for attempt in self._attempts(request, route, streamed=True):
            with attempt:
                plan = plan_call(self._models, attempt, request, route, streamed=True)
                with self._shelf.visit(plan, request, route, Form.CHUNKS) as visit:
                    if visit.found is not None:
                        stored, opened = chunks_found(visit.found, plan, run, route)
                        yield from _replayed(stored, opened, attempt)
                        return
                    plan, opened = begin(plan, attempt, route.tracker)
                    config = _child_config(run, plan, route)
                    chunks: Any = plan.model.stream(
                        request.messages, config, stop=request.stop, **plan.kwargs
                    )
                    notes = _ChunkNotes(opened, attempt, keeps=visit.stores)
                    # Closed from the inside out: the model's own run reports its end first.
                    with settled(opened), closing(chunks):
                        for chunk in chunks:
                            yield from notes.next(chunk)
                    keep_chunks(visit, notes.seen, opened)
                yield from notes.rest()
                return

    async def astream(
        self, request: ChatRequest, run: AsyncCallbackManagerForChainRun, route: Route
    ) -> AsyncGenerator[AIMessageChunk]:
        """Yield the answer to a request in chunks."""
        for attempt in self._attempts(request, route, streamed=True):
            with attempt:
                plan = plan_call(self._models, attempt, request, route, streamed=True)
                with await self._shelf.avisit(plan, request, route, Form.CHUNKS) as visit:
                    if visit.found is not None:
                        stored, opened = chunks_found(visit.found, plan, run, route)
                        for ready in _replayed(stored, opened, attempt):
                            yield ready
                        return
                    plan, opened = await abegin(plan, attempt, route.tracker)
                    config = _child_config(run, plan, route)
                    chunks: Any = plan.model.astream(
                        request.messages, config, stop=request.stop, **plan.kwargs
                    )
                    notes = _ChunkNotes(opened, attempt, keeps=visit.stores)
                    with settled(opened):
                        async with aclosing(chunks):
                            async for chunk in chunks:
                                for ready in notes.next(chunk):
                                    yield ready
                    keep_chunks(visit, notes.seen, opened)
                for ready in notes.rest():
                    yield ready
                return

    def events(
        self, request: ChatRequest, run: CallbackManagerForChainRun, route: Route
    ) -> Generator[Event]:
        """Yield the answer to a request as events of version 3."""
        for attempt in self._attempts(request, route, streamed=True):
            with attempt:
                plan = plan_call(self._models, attempt, request, route, streamed=True)
                with self._shelf.visit(plan, request, route, Form.EVENTS) as visit:
                    if visit.found is not None:
                        stored, opened = events_found(visit.found, plan, run, route)
                        yield from stored[:-1]
                        yield _noted_finish(stored[-1], opened, attempt)
                        return
                    plan, opened = begin(plan, attempt, route.tracker)
                    config = _child_config(run, plan, route)
                    events = _Events(keeps=visit.stores)
                    with settled(opened) as streamed:
                        answer = plan.model.stream_events(
                            request.messages, config, version="v3", stop=request.stop, **plan.kwargs
                        )
                        for event in answer:
                            attempt.committed = True
                            streamed.add(delta_bytes(event))
                            if not events.ends(event):
                                yield event
                    keep_events(visit, events.seen, opened)
                if (finish := events.finish) is not None:
                    yield _noted_finish(finish, opened, attempt)
                return

    async def aevents(
        self, request: ChatRequest, run: AsyncCallbackManagerForChainRun, route: Route
    ) -> AsyncGenerator[Event]:
        """Yield the answer to a request as events of version 3."""
        for attempt in self._attempts(request, route, streamed=True):
            with attempt:
                plan = plan_call(self._models, attempt, request, route, streamed=True)
                with await self._shelf.avisit(plan, request, route, Form.EVENTS) as visit:
                    if visit.found is not None:
                        stored, opened = events_found(visit.found, plan, run, route)
                        for event in stored[:-1]:
                            yield event
                        yield _noted_finish(stored[-1], opened, attempt)
                        return
                    plan, opened = await abegin(plan, attempt, route.tracker)
                    config = _child_config(run, plan, route)
                    events = _Events(keeps=visit.stores)
                    with settled(opened) as streamed:
                        answer = await plan.model.astream_events(
                            request.messages, config, version="v3", stop=request.stop, **plan.kwargs
                        )
                        # Left early, it would go on to download an answer that no one reads.
                        async with answer:
                            async for event in answer:
                                attempt.committed = True
                                streamed.add(delta_bytes(event))
                                if not events.ends(event):
                                    yield event
                    keep_events(visit, events.seen, opened)
                if (finish := events.finish) is not None:
                    yield _noted_finish(finish, opened, attempt)
                return

    def _attempts(self, request: ChatRequest, route: Route, *, streamed: bool = False) -> Attempts:
        order = list(range(len(self._models)))
        if self._policy is not None:
            asked = weigh(self._models, request, route, streamed=streamed)
            order = complete(self._policy(*asked), len(order))
        preferred = order[0]
        if prefers_cheaper(self._models, route):
            order = sorted(order, reverse=True)
        now = route.tracker.now()
        # Those that have failed a moment ago come last, in the same order.
        order.sort(key=lambda index: self._cool_downs.is_cooling(id(self._models[index]), now))
        names = [name_of(model).model for model in self._models]

        def failed(index: int, error: Exception) -> None:
            if starts_cool_down(error):
                self._cool_downs.start(id(self._models[index]), route.tracker.now())

        return Attempts(names, may_fall_back, order=order, preferred=preferred, on_failure=failed)


class _ChunkNotes:
    """Says in the first chunk of a stream who answers, and in the last what it has cost."""

    def __init__(self, opened: OpenCall, attempt: Attempt, *, keeps: bool = False) -> None:
        self.seen: list[Any] = []
        self._keeps = keeps
        self._opened = opened
        self._attempt = attempt
        self._last: Any = None

    def next(self, chunk: Any) -> Generator[Any]:
        """Yield what may be passed on now: a chunk that says it is the last has to wait."""
        if self._keeps:
            self.seen.append(chunk)
        if not self._attempt.committed:
            self._attempt.committed = True
            chunk = noted(chunk, note_of_start(self._opened, self._attempt))
        if self._last is not None:
            yield self._last
        # A model that cannot stream gives a message, which is all there is.
        is_last = getattr(chunk, "chunk_position", "last") == "last"
        self._last = chunk if is_last else None
        if not is_last:
            yield chunk

    def rest(self) -> Generator[Any]:
        """Yield the last chunk, now that the cost is known."""
        if self._last is not None:
            yield noted(self._last, note_of_end(self._opened))


class _Events:
    """Holds back the event that ends a stream, and notes all of them for the cache."""

    def __init__(self, *, keeps: bool) -> None:
        self.finish: Event | None = None
        self.seen: list[Event] = []
        self._keeps = keeps

    def ends(self, event: Event) -> bool:
        """Tell whether this event is the last one."""
        if self._keeps:
            self.seen.append(event)
        if event.get("event") != FINISH:
            return False
        self.finish = event
        return True


def _replayed(
    chunks: Iterable[AIMessageChunk], opened: OpenCall, attempt: Attempt
) -> Generator[AIMessageChunk]:
    """Yield the chunks of a stored answer, with what a stream says of itself."""
    notes = _ChunkNotes(opened, attempt)
    for chunk in chunks:
        yield from notes.next(chunk)
    yield from notes.rest()


def _noted_finish(event: Event, opened: OpenCall, attempt: Attempt) -> Event:
    note = {**note_of_start(opened, attempt), **note_of_end(opened)}
    return {**event, "metadata": {**(event.get("metadata") or {}), METADATA_KEY: note}}


def _child_config(run: Any, plan: PlannedCall, route: Route) -> RunnableConfig:
    child: Any = with_handler(run.get_child(), route.tracker)
    return RunnableConfig(callbacks=child, run_id=plan.run_id)
