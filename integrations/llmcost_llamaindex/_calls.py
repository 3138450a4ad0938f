"""One model call between its start event and its end, and how the gate finds it."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from os import urandom
from typing import Any, Final, NamedTuple

from llmcost_llamaindex._events import Request, StartEvent, read_request
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.labels import Labels, take_labels
from llmcost_plugins.streams import Streamed
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage

_NO_LABELS: Final = Labels()


class Place(NamedTuple):
    """Where a call is made, and who causes it.

    Attributes:
        span_id: its span.
        run: the outermost run that it belongs to.
        tags: LlamaIndex's. Only those are taken that are labels: workflows put parts of prompts
            into others.
        defaults: the labels of the installation.
    """

    span_id: str
    run: str
    tags: Mapping[str, Any]
    defaults: Labels

    def spec(self, tracker: CostTracker, request: Request, *, handed_on: bool = False) -> CallSpec:
        """Describe a call made here."""
        return CallSpec(
            # A wrapper may start two calls in one span. Not a UUID, which is slower to make.
            id=f"{self.span_id}/{urandom(16).hex()}",
            model=request.model,
            provider=request.provider,
            size=request.size,
            labels=take_labels(tracker.label_keys, self.tags, ()) if self.tags else _NO_LABELS,
            defaults=self.defaults,
            run=self.run,
            handed_on=handed_on,
        )


@dataclass(frozen=True, slots=True)
class Started:
    """What the start of a call says of it. Holds the prompt, so it is not kept for long.

    Attributes:
        event: the start event.
        llm: the model object, where its span was seen.
        place: where it is made.
    """

    event: StartEvent
    llm: object
    place: Place

    def spec(self, tracker: CostTracker, *, handed_on: bool) -> CallSpec:
        """Describe the call; its labels are those in force where it starts."""
        request = read_request(self.event, self.llm, tracker.sizer)
        return self.place.spec(tracker, request, handed_on=handed_on)


@dataclass(slots=True, eq=False)
class LiveCall:
    """One call, from its start event on.

    Attributes:
        tracker: where it is recorded.
        number: grows with each call, so that a call within another has the larger one.
        lazy: whether a stream of it sends nothing before its first chunk is asked for.
        started: what the gate has to read; `None` afterwards.
        inner: the model that does the work, where this one only makes an object of its answer;
            what it hands on is the user's then, not the provider's.
        handed_on: whether its model hands the call on to a framework that may be watched as well.
        opened: its hold, once the gate has it.
        sent: whether nothing stands between it and the provider any more.
        streamed: what has arrived of its answer; `None` before its first chunk.
        usage: what a chunk reported.
        wraps: whether another call does its work, and is the one that counts.
    """

    tracker: CostTracker
    number: int
    lazy: bool
    started: Started | None
    inner: object = None
    handed_on: bool = False
    opened: OpenCall | None = None
    sent: bool = False
    streamed: Streamed | None = None
    usage: Usage | None = None
    wraps: bool = False

    @property
    def structured(self) -> bool:
        """Whether the answer is an object of the user's."""
        return self.inner is not None

    @property
    def received_bytes(self) -> int:
        """The UTF-8 bytes of the answer received so far, at least one for each chunk."""
        return 0 if self.streamed is None else self.streamed.received_bytes

    def receive(self, size: int) -> bool:
        """Count a chunk; return whether more money should be held now."""
        if self.streamed is None:
            self.streamed = Streamed(None) if self.opened is None else self.opened.streamed()
        if self.structured:  # each chunk is all of the object so far
            size -= self.streamed.received_bytes
        # A chunk without text (the role, the end, a heartbeat) is a token at the most.
        return self.streamed.add(max(size, 1))

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

    def open_late(self) -> None:
        """Open a call that was not held for, so that it is recorded when it ends."""
        if (spec := self._take_spec()) is not None:
            self.opened = self.tracker.start_late(spec)

    def _take_spec(self) -> CallSpec | None:
        started, self.started = self.started, None
        return None if started is None else started.spec(self.tracker, handed_on=self.handed_on)


pending: ContextVar[LiveCall | None] = ContextVar("llmcost_pending", default=None)
"""The call whose start was just seen here, and whose gate is about to be asked."""

routed: ContextVar[object | None] = ContextVar("llmcost_routed", default=None)
"""The router that makes the calls here: it holds and settles by itself, so recorder and gates leave
them alone. `None` where none does."""


def wraps_router(llm: object) -> bool:
    """Tell whether a model hands its calls to a router, as a `StructuredLLM` does.

    A gate before it would hold for the router's first model, and refuse what the next can pay for.
    """
    # Not with `getattr` of what is missing: pydantic takes microseconds to say so.
    inner = getattr(llm, "__dict__", {}).get("llm")
    return inner is not None and getattr(inner, "holds_for_itself", False) is True
