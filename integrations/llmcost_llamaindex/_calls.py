"""One model call between its start event and its end, and how the gate finds it."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from llmcost_llamaindex._events import StartEvent, read_request
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.labels import Labels, take_labels
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage


@dataclass(frozen=True, slots=True)
class Started:
    """What the start of a call says of it. Holds the prompt, so it is not kept for long.

    Attributes:
        event: the start event.
        llm: the model object, where its span was seen.
        span_id: the call's span.
        run: the outermost run that it belongs to.
        defaults: the labels of the installation.
    """

    event: StartEvent
    llm: object
    span_id: str
    run: str
    defaults: Labels

    def spec(self, tracker: CostTracker) -> CallSpec:
        """Describe the call; its labels are those in force where it starts."""
        request = read_request(self.event, self.llm, tracker.sizer)
        tags: Mapping[str, Any] = self.event.tags
        return CallSpec(
            # A wrapper may start two calls in one span.
            id=f"{self.span_id}/{uuid4()}",
            model=request.model,
            provider=request.provider,
            size=request.size,
            labels=take_labels(tracker.label_keys, tags, ()),
            defaults=self.defaults,
            run=self.run,
        )


@dataclass(slots=True, eq=False)
class LiveCall:
    """One call, from its start event on.

    Attributes:
        tracker: where it is recorded.
        number: grows with each call, so that a call within another has the larger one.
        lazy: whether a stream of it sends nothing before its first chunk is asked for.
        started: what the gate has to read; `None` afterwards.
        opened: its hold, once the gate has it.
        sent: whether nothing stands between it and the provider any more.
        chunks: how many were received.
        streamed: their size, in UTF-8 bytes.
        usage: what a chunk reported.
        wraps: whether another call does its work, and is the one that counts.
    """

    tracker: CostTracker
    number: int
    lazy: bool
    started: Started | None
    opened: OpenCall | None = None
    sent: bool = False
    chunks: int = 0
    streamed: int = 0
    usage: Usage | None = None
    wraps: bool = False

    def hold(self) -> None:
        """Hold the most that the call can cost.

        Raises:
            BudgetExceeded: a budget cannot pay for it; nothing may be sent.
            PriceUnknown: a budget applies and no price is known.
            LedgerUnavailable: nothing can be held.
        """
        if (spec := self._take_spec()) is not None:
            self.opened = self.tracker.start(spec)

    async def ahold(self) -> None:
        """Do what `hold` does, and wait by awaiting."""
        if (spec := self._take_spec()) is not None:
            self.opened = await self.tracker.astart(spec)

    def _take_spec(self) -> CallSpec | None:
        started, self.started = self.started, None
        return None if started is None else started.spec(self.tracker)


pending: ContextVar[LiveCall | None] = ContextVar("llmcost_pending", default=None)
"""The call whose start was just seen here, and whose gate is about to be asked."""

routed: ContextVar[object | None] = ContextVar("llmcost_routed", default=None)
"""The router that makes the calls here: it holds and settles by itself, so recorder and gates leave
them alone. `None` where none does."""


def wraps_router(llm: object) -> bool:
    """Tell whether a model hands its calls to a router, as a `StructuredLLM` does.

    A gate before it would hold for the router's first model, and refuse what the next can pay for.
    """
    return getattr(getattr(llm, "llm", None), "holds_for_itself", False) is True
