"""A router's own use of the cache: before it holds, and after it was answered."""

import logging
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

from langchain_core.caches import BaseCache
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGeneration, LLMResult

from llmcost_langchain._answers import (
    chunks_of,
    entry_of,
    events_entry,
    events_not_worth_keeping,
    events_of,
    generations_of,
    not_worth_keeping,
)
from llmcost_langchain._calls import ChainRun, ChatRequest, PlannedCall, Route
from llmcost_langchain._requests import asked_of, request_of
from llmcost_langchain.cache import CompletionCache
from llmcost_langchain.callback import CostCallbackHandler
from llmcost_plugins.cache import CachedAnswer, NoKey, Visit
from llmcost_plugins.cache import CompletionCache as CoreCache
from llmcost_plugins.cache.shared import shared_cache
from llmcost_plugins.cache.visits import Steps, arun, run
from llmcost_plugins.calls import OpenCall
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.loops import on_event_loop
from llmcost_plugins.usage import Trust, Usage

_log: Final = logging.getLogger("llmcost_plugins")


class Form(StrEnum):
    """How an answer is asked for. Whole ones and chunks can be made of each other."""

    WHOLE = "whole"
    CHUNKS = "chunks"
    EVENTS = "events"


class Shelf:
    """Where a router keeps answers.

    Args:
        cache: what the router was given: a `CompletionCache`, True for the one that the environment
            variables describe, False for none, `None` to let ``LLMCOST_CACHE`` decide.

    Raises:
        ConfigurationError: it is a cache of another kind, which routers do not know how to use.
    """

    def __init__(self, cache: BaseCache | bool | None) -> None:
        if not isinstance(cache, CompletionCache | bool | None):
            msg = (
                f"a router caches with llmcost_langchain.CompletionCache, not with a "
                f"{type(cache).__name__}; give that one to the router's models"
            )
            raise ConfigurationError(msg)
        self._cache = cache

    def visit(
        self, plan: PlannedCall, request: ChatRequest, route: Route, form: Form = Form.WHOLE
    ) -> Visit:
        """Look for the answer of a planned call; wait for it if somebody is asking."""
        steps = self._steps(plan, request, route, form, may_wait=not on_event_loop())
        return Visit() if steps is None else run(steps)

    async def avisit(
        self, plan: PlannedCall, request: ChatRequest, route: Route, form: Form = Form.WHOLE
    ) -> Visit:
        """Do what `visit` does, and wait by awaiting."""
        steps = self._steps(plan, request, route, form, may_wait=True)
        return Visit() if steps is None else await arun(steps)

    def _steps(
        self,
        plan: PlannedCall,
        request: ChatRequest,
        route: Route,
        form: Form,
        *,
        may_wait: bool,
    ) -> Steps | None:
        wanted = request.kwargs.get("cache")
        core = self._core(wanted)
        if core is None:
            return None
        tracker = route.tracker
        asked = asked_of(plan.model, request.messages, plan.said, wanted)
        why = core.rules.reason_against(asked, lambda: tracker.subject_of(plan.spec), tracker.now())
        if form is not Form.WHOLE and plan.spec.size.choices > 1:
            why = why or "a stream of several choices"
        if why:
            core.counter.skip(why)
            return None
        try:
            facts = request_of(plan.model, request.messages, request.stop, plan.said)
            if form is Form.EVENTS:
                facts["form"] = form.value  # they are stored as they came
            key = core.key(facts, route.caused_by)
        except NoKey as error:
            core.counter.skip(f"no key: {error}")
            return None
        except Exception:  # noqa: BLE001 - a message or a model of an unforeseen shape
            _log.exception("a request to %r could not be looked up in the cache", plan.spec.model)
            core.counter.skip("no key")
            return None
        return core.visit(key, tracker.now, may_wait=may_wait)

    def _core(self, wanted: Any) -> CoreCache | None:
        if wanted is False or self._cache is False:
            return None
        if isinstance(self._cache, CompletionCache):
            return self._cache.core
        return shared_cache(always=self._cache is True or wanted is True)


def answer_found(
    entry: CachedAnswer, plan: PlannedCall, run: ChainRun, route: Route
) -> tuple[LLMResult, OpenCall]:
    """Record a call that the cache has answered; return the answer."""
    generations = generations_of(entry, _message_id(plan))
    return LLMResult(generations=[list(generations)]), _record(entry, plan, run, route)


def chunks_found(
    entry: CachedAnswer, plan: PlannedCall, run: ChainRun, route: Route
) -> tuple[list[AIMessageChunk], OpenCall]:
    """Do what `answer_found` does, for a stream."""
    return list(chunks_of(entry, _message_id(plan))), _record(entry, plan, run, route)


def events_found(
    entry: CachedAnswer, plan: PlannedCall, run: ChainRun, route: Route
) -> tuple[list[dict[str, Any]], OpenCall]:
    """Do what `answer_found` does, for a stream of events."""
    return events_of(entry, _message_id(plan)), _record(entry, plan, run, route)


def keep(visit: Visit, result: LLMResult, opened: OpenCall) -> None:
    """Store an answer that has arrived, unless it is not worth it. Never raises."""
    if visit.stores and len(result.generations) == 1:
        _keep(visit, opened, lambda: _whole(result.generations[0], opened))


def keep_chunks(visit: Visit, chunks: list[Any], opened: OpenCall) -> None:
    """Store a stream that has ended, likewise."""

    def made() -> CachedAnswer | str:
        whole = chunks[0] if len(chunks) == 1 else chunks[0] + chunks[1:]
        return _whole([ChatGeneration(message=whole)], opened)

    if visit.stores and chunks:
        _keep(visit, opened, made)


def keep_events(visit: Visit, events: list[Mapping[str, Any]], opened: OpenCall) -> None:
    """Store a stream of events that has ended, likewise."""

    def made() -> CachedAnswer | str:
        why = events_not_worth_keeping(events[-1])
        return why or events_entry(events, opened.call.at, **_bought(opened))

    if visit.stores and events:
        _keep(visit, opened, made)


def _whole(generations: list[Any], opened: OpenCall) -> CachedAnswer | str:
    why = not_worth_keeping(generations)
    return why or entry_of(generations, opened.call.at, **_bought(opened))


def _keep(visit: Visit, opened: OpenCall, made: Callable[[], CachedAnswer | str]) -> None:
    try:
        entry = made()
        if isinstance(entry, str):
            visit.skip(entry)
        else:
            visit.keep(entry, opened.call.labels)
    except Exception as error:  # noqa: BLE001 - the answer is paid for and must arrive
        _log.warning("a completion could not be cached: %s", error)
        visit.skip("no plain form")


def _bought(opened: OpenCall) -> Mapping[str, Any]:
    spec, outcome = opened.spec, opened.outcome
    facts: dict[str, Any] = {
        "model": spec.model,
        "provider": spec.provider,
        "feature": opened.feature,
        "cost": None if outcome is None else outcome.cost,
    }
    if outcome is not None:
        facts["usage"] = outcome.usage
    return facts


def _record(entry: CachedAnswer, plan: PlannedCall, run: ChainRun, route: Route) -> OpenCall:
    usage = entry.usage or Usage(trust=Trust.ESTIMATED)
    opened = route.tracker.answered(plan.spec, usage, entry.served)
    for handler in run.handlers:
        # No run of a model tells them of it.
        if isinstance(handler, CostCallbackHandler) and handler.tracker is route.tracker:
            handler.count(opened.outcome)
    return opened


def _message_id(plan: PlannedCall) -> str:
    return f"lc_run--{plan.run_id}"
