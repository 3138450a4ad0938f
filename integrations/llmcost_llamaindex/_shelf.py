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
from llmcost_plugins.cache import CachedAnswer, CompletionCache, NoKey, Visit
from llmcost_plugins.cache.shared import shared_cache
from llmcost_plugins.cache.visits import Steps
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage

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
    """

    def __init__(self, planned: Planned, visit: Visit, answer: Any = None) -> None:
        self.entry = visit.found
        self.answer = answer
        self._planned = planned
        self._visit = visit

    def keep(
        self,
        answer: Any,
        usage: Usage | None,
        served: str | None,
        endings: set[str],
        cost: int | None = None,
    ) -> None:
        """Store an answer that has arrived, unless it is not worth it. Never raises.

        Args:
            answer: see `entry_of`.
            usage: what it has used.
            served: the model's name as the provider reported it.
            endings: why it has ended.
            cost: what it has cost, in nano-dollars.
        """
        visit, planned = self._visit, self._planned
        if not visit.stores or answer is None:
            return
        why = not_worth_keeping(endings)
        if why:
            visit.skip(why)
            return
        try:
            tracker, spec = planned.tracker, planned.spec
            labels = tracker.subject_of(spec).labels
            entry = entry_of(
                planned.request,
                answer,
                tracker.now(),
                usage=usage,
                served=served,
                model=spec.model,
                provider=spec.provider,
                cost=cost,
                feature=labels.values.get("feature", ""),
            )
            visit.keep(entry, labels)
        except Exception as error:  # noqa: BLE001 - the answer is paid for and must arrive
            _log.warning("a completion could not be cached: %s", error)
            visit.skip("no plain form")

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

    def __init__(self, cache: CompletionCache | bool | None) -> None:
        if not isinstance(cache, CompletionCache | bool | None):
            msg = (
                f"answers are cached with llmcost_llamaindex.CompletionCache, not with "
                f"{cache!r}; pass one, or cache=True for the one that LLMCOST_CACHE_DIR names"
            )
            raise ConfigurationError(msg)
        self._cache = cache

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
