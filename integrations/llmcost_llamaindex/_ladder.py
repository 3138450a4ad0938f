"""One request to a router: which models are asked, in what order, and what becomes of each try."""

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, closing
from typing import Any, Final

from llama_index.core.llms.llm import LLM

from llmcost_llamaindex._answers import gathered
from llmcost_llamaindex._asks import ASTREAM, ASYNC, STREAM, SYNC, Ask, Form
from llmcost_llamaindex._closing import aclose, close
from llmcost_llamaindex._hits import record_hit
from llmcost_llamaindex._notes import Note
from llmcost_llamaindex._routes import (
    PlannedCall,
    Route,
    abegin,
    begin,
    may_fall_back,
    name_of,
    plan_call,
    prefers_cheaper,
    starts_cool_down,
)
from llmcost_llamaindex._shelf import Look, Shelf
from llmcost_llamaindex._shelving import apart, shelved
from llmcost_llamaindex._tap import Tap, listen
from llmcost_llamaindex._weighing import weigh
from llmcost_plugins.cool_downs import CoolDowns
from llmcost_plugins.policies import Policy, complete
from llmcost_plugins.routing import Attempt, Attempts

_ENDS: Final = "the attempts of a router end by returning or raising"


class Ladder:
    """Answers requests with the first model that budgets can pay for and that does not fail.

    Args:
        models: from preferred to cheapest.
        policy: puts them into the order for a request; `None` for that of the ladder.
        cool_downs: which of them have failed a moment ago.
        shelf: where answers are kept.
    """

    def __init__(
        self, models: Sequence[LLM], policy: Policy | None, cool_downs: CoolDowns, shelf: Shelf
    ) -> None:
        self._models = models
        self._policy = policy
        self._cool_downs = cool_downs
        self._shelf = shelf

    def answer(self, ask: Ask, route: Route) -> tuple[Any, LLM]:
        """Return the answer to a request, and the model that gave it."""
        ask, wanted = apart(ask)
        for attempt in self._attempts(ask, SYNC, route):
            with attempt:
                plan = plan_call(self._models, attempt, ask, SYNC, route)
                with self._shelf.look(shelved(plan, ask, wanted, route)) as look:
                    if look.entry is not None:
                        return _found(look, attempt).on(look.answer), plan.asked.llm
                    plan, opened = begin(plan, attempt, route.tracker)
                    tap = Tap(opened, route.tracker, look.witness, listens=plan.asked.listens)
                    with tap.settling():
                        with tap.around():
                            answer = plan.call()
                        tap.answered(answer)
                    look.keep(answer, opened)
                note = Note(opened, attempt)
                note.end()
                return note.on(answer), plan.asked.llm
        raise AssertionError(_ENDS)

    async def aanswer(self, ask: Ask, route: Route) -> tuple[Any, LLM]:
        """Return the answer to a request, and the model that gave it."""
        ask, wanted = apart(ask)
        for attempt in self._attempts(ask, ASYNC, route):
            with attempt:
                plan = plan_call(self._models, attempt, ask, ASYNC, route)
                with await self._shelf.alook(shelved(plan, ask, wanted, route)) as look:
                    if look.entry is not None:
                        return _found(look, attempt).on(look.answer), plan.asked.llm
                    plan, opened = await abegin(plan, attempt, route.tracker)
                    tap = Tap(opened, route.tracker, look.witness, listens=plan.asked.listens)
                    with tap.settling():
                        with tap.around():
                            answer = await plan.call()
                        tap.answered(answer)
                    look.keep(answer, opened)
                note = Note(opened, attempt)
                note.end()
                return note.on(answer), plan.asked.llm
        raise AssertionError(_ENDS)

    def stream(self, ask: Ask, route: Route) -> Generator[Any]:
        """Yield the answer to a request in chunks."""
        ask, wanted = apart(ask)
        for attempt in self._attempts(ask, STREAM, route):
            with attempt:
                plan = plan_call(self._models, attempt, ask, STREAM, route)
                with self._shelf.look(shelved(plan, ask, wanted, route, streamed=True)) as look:
                    if look.entry is not None:
                        note = _found(look, attempt)
                        yield from (note.on(chunk) for chunk in look.answer)
                        return
                    plan, opened = begin(plan, attempt, route.tracker)
                    tap = Tap(opened, route.tracker, look.witness, listens=plan.asked.listens)
                    note, whole = Note(opened, attempt), None
                    # Closed from the inside out: the provider stops before its call is settled.
                    with tap.settling(), closing(_chunks(plan, tap)) as chunks:
                        for chunk in chunks:
                            tap.received(chunk)
                            attempt.committed = True
                            whole = gathered(whole, chunk)
                            yield note.on(chunk)
                    look.keep(whole, opened)
                note.end()
                return

    async def astream(self, ask: Ask, route: Route) -> AsyncGenerator[Any]:
        """Yield the answer to a request in chunks."""
        ask, wanted = apart(ask)
        for attempt in self._attempts(ask, ASTREAM, route):
            with attempt:
                plan = plan_call(self._models, attempt, ask, ASTREAM, route)
                planned = shelved(plan, ask, wanted, route, streamed=True)
                with await self._shelf.alook(planned) as look:
                    if look.entry is not None:
                        note = _found(look, attempt)
                        for chunk in look.answer:
                            yield note.on(chunk)
                        return
                    plan, opened = await abegin(plan, attempt, route.tracker)
                    tap = Tap(opened, route.tracker, look.witness, listens=plan.asked.listens)
                    note, whole = Note(opened, attempt), None
                    with tap.settling():
                        async with aclosing(_achunks(plan, tap)) as chunks:
                            async for chunk in chunks:
                                tap.received(chunk)
                                attempt.committed = True
                                whole = gathered(whole, chunk)
                                yield note.on(chunk)
                    look.keep(whole, opened)
                note.end()
                return

    def _attempts(self, ask: Ask, form: Form, route: Route) -> Attempts:
        listen()
        order = list(range(len(self._models)))
        if self._policy is not None:
            asked = weigh(self._models, ask, form, route)
            order = complete(self._policy(*asked), len(order))
        preferred = order[0]
        if prefers_cheaper(self._models, route):
            order = sorted(order, reverse=True)
        now = route.tracker.now()
        # Those that have failed a moment ago come last, in the same order.
        order.sort(key=lambda index: self._cool_downs.is_cooling(id(self._models[index]), now))
        names = [name_of(model) for model in self._models]

        def failed(index: int, error: Exception) -> None:
            if starts_cool_down(error):
                self._cool_downs.start(id(self._models[index]), route.tracker.now())

        return Attempts(names, may_fall_back, order=order, preferred=preferred, on_failure=failed)


def _found(look: Look, attempt: Attempt) -> Note:
    """Record a call that the cache has answered; return what is said of it."""
    assert look.entry is not None  # noqa: S101 - asked by the caller
    opened = record_hit(look.entry, look.planned)
    note = Note(opened, attempt, cached_at=look.entry.at.isoformat())
    note.end()
    return note


def _chunks(plan: PlannedCall, tap: Tap) -> Generator[Any]:
    """Yield what a model streams.

    Its code runs as the router's, and the consumer's between two chunks does not.
    """
    with tap.around():
        stream = plan.call()
    steps = iter(stream)
    try:
        while True:
            with tap.around():
                try:
                    chunk = next(steps)
                except StopIteration:
                    return
            yield chunk
    finally:
        with tap.around():
            close(stream)


async def _achunks(plan: PlannedCall, tap: Tap) -> AsyncGenerator[Any]:
    """Do what `_chunks` does."""
    with tap.around():
        stream = await plan.call()
    steps = aiter(stream)
    try:
        while True:
            with tap.around():
                try:
                    chunk = await anext(steps)
                except StopAsyncIteration:
                    return
            yield chunk
    finally:
        with tap.around():
            await aclose(stream)
