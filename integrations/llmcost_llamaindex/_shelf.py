"""The use of the cache around a call: before anything is held, and after it was answered."""

import logging
from collections.abc import Generator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from llama_index.core.llms.llm import LLM

from llmcost_llamaindex._answers import (
    answer_of,
    entry_of,
    not_worth_keeping,
    stream_of,
)
from llmcost_llamaindex._requests import Request, asked_of, request_of
from llmcost_llamaindex._witness import Witness
from llmcost_plugins.cache import CachedAnswer, CompletionCache, NoKey, Visit
from llmcost_plugins.cache.shared import shared_cache
from llmcost_plugins.cache.visits import Steps, arun, run
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.loops import on_event_loop
from llmcost_plugins.pricing.cost import cost_of
from llmcost_plugins.tracker import CostTracker

_log: Final = logging.getLogger("llmcost_plugins")


@dataclass(frozen=True, slots=True)
class Planned:
    """A request, and the model that is to answer it.

    Attributes:
        model: the model.
        request: what is asked.
        spec: the call, as it will be recorded.
        tracker: where.
        streamed: whether the answer is wanted as a stream.
    """

    model: LLM
    request: Request
    spec: CallSpec
    tracker: CostTracker
    streamed: bool = False


class Look:
    """What the cache has for a request; a context manager around asking the model.

    Attributes:
        entry: what was stored, if there is something.
        answer: the answer made of it: what the method returns, or the items of a stream.
        planned: the request.
        witness: sees what asking the model leads to.
    """

    def __init__(self, planned: Planned, visit: Visit, answer: Any = None) -> None:
        self.entry = visit.found
        self.answer = answer
        self.planned = planned
        self.witness = Witness()
        self._visit = visit

    def keep(self, answer: Any, opened: OpenCall | None = None) -> None:
        """Store an answer that has arrived, unless it is not worth it. Never raises.

        Args:
            answer: see `entry_of`.
            opened: its call, where one was held for; by default what the witness has seen counts.
        """
        visit, witness = self._visit, self.witness
        if not visit.stores or answer is None:
            return
        witness.see_unless_told(answer)
        why = not_worth_keeping(witness.endings)
        if why:
            visit.skip(why)
            return
        try:
            tracker, spec = self.planned.tracker, self.planned.spec
            labels = tracker.subject_of(spec).labels if opened is None else opened.call.labels
            facts = self._bought(opened)
            feature = labels.values.get("feature", "")
            visit.keep(
                entry_of(
                    self.planned.request,
                    answer,
                    tracker.now(),
                    model=spec.model,
                    provider=spec.provider,
                    served=witness.served,
                    feature=feature,
                    **facts,
                ),
                labels,
            )
        except Exception as error:  # noqa: BLE001 - the answer is paid for and must arrive
            _log.warning("a completion could not be cached: %s", error)
            visit.skip("no plain form")

    def _bought(self, opened: OpenCall | None) -> dict[str, Any]:
        """Return what the answer has used and cost."""
        if opened is not None and opened.outcome is not None:
            return {"usage": opened.outcome.usage, "cost": opened.outcome.cost}
        usage, spec, tracker = self.witness.usage, self.planned.spec, self.planned.tracker
        prices = tracker.catalog.resolve(spec.model, spec.provider).prices
        if usage is None or prices is None:
            return {"usage": usage}
        return {"usage": usage, "cost": cost_of(usage, prices, tracker.now()).nano}

    def __enter__(self) -> Self:
        self._visit.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._visit.__exit__(kind, error, trace)


class Shelf:
    """Where answers are kept.

    Args:
        cache: a `CompletionCache`, True for the one that the environment variables describe, False
            for none, `None` to let ``LLMCOST_CACHE`` decide.

    Raises:
        ConfigurationError: it is something else.
    """

    def __init__(self, cache: object) -> None:
        if not isinstance(cache, CompletionCache | bool | None):
            msg = (
                f"answers are cached with llmcost_llamaindex.CompletionCache, not with "
                f"{cache!r}; pass one, or cache=True for the one that LLMCOST_CACHE_DIR names"
            )
            raise ConfigurationError(msg)
        self._cache = cache

    def look(self, planned: Planned) -> Look:
        """Look for the answer to a request; wait for it if somebody is asking."""
        return run(self.steps(planned, may_wait=not on_event_loop()))

    async def alook(self, planned: Planned) -> Look:
        """Do what `look` does, and wait by awaiting."""
        return await arun(self.steps(planned, may_wait=True))

    def steps(self, planned: Planned, *, may_wait: bool) -> Generator[float, None, Look]:
        """Look for the answer to a request, see `CompletionCache.visit`.

        The key is made at once, of the labels that are in force here.
        """
        core = self._core(planned.request.wanted)
        key = None if core is None else _key(core, planned)
        visit = None
        if core is not None and key is not None:
            visit = core.visit(key, planned.tracker.now, may_wait=may_wait)
        return _looked(planned, visit, core, key or "")

    def _core(self, wanted: bool | None) -> CompletionCache | None:
        if wanted is False or self._cache is False:
            return None
        if isinstance(self._cache, CompletionCache):
            return self._cache
        return shared_cache(always=self._cache is True or wanted is True)


def _key(core: CompletionCache, planned: Planned) -> str | None:
    tracker, spec = planned.tracker, planned.spec
    try:
        asked = asked_of(planned.model, planned.request)
        why = core.rules.reason_against(asked, lambda: tracker.subject_of(spec), tracker.now())
        if not why:
            labels = tracker.subject_of(spec).labels
            return core.key(request_of(planned.model, planned.request), labels)
    except NoKey as error:
        why = f"no key: {error}"
    except Exception:  # noqa: BLE001 - a message or a model of an unforeseen shape
        _log.exception("a request to %r could not be looked up in the cache", spec.model)
        why = "no key"
    core.counter.skip(why)
    return None


def _looked(
    planned: Planned, steps: Steps | None, core: CompletionCache | None, key: str
) -> Generator[float, None, Look]:
    if steps is None or core is None:
        return Look(planned, Visit())
    visit = yield from steps
    if visit.found is None:
        return Look(planned, visit)
    try:
        return Look(planned, visit, _made(planned, visit.found))
    except Exception as error:  # noqa: BLE001 - whatever was written there: a miss
        _log.warning("a cached completion could not be rebuilt: %s", error)
        core.counter.add("rejected")
        return Look(planned, Visit(core, key))  # asked anew, and written over


def _made(planned: Planned, entry: CachedAnswer) -> Any:
    made = stream_of if planned.streamed else answer_of
    return made(planned.request, entry)
