"""What the router does around one call to one of its models."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import uuid4

from llama_index.core.llms.llm import LLM
from llama_index_instrumentation.dispatcher import active_instrument_tags
from llama_index_instrumentation.span import active_span_id

from llmcost_llamaindex._asks import Ask, Form, Prepared
from llmcost_llamaindex._events import RUN_TAG, read_request
from llmcost_llamaindex.handler import installed_book
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.capping import first_try, second_try
from llmcost_plugins.errors import AllModelsFailed, BudgetExceeded, LLMCostError, ModelUnsuitable
from llmcost_plugins.failures import is_transient
from llmcost_plugins.labels import Labels, current_labels, take_labels
from llmcost_plugins.pricing import CallSize, Prices
from llmcost_plugins.pricing.abilities import abilities, needs_of, why_too_long, why_unsuitable
from llmcost_plugins.routing import Attempt, Attempts
from llmcost_plugins.tracker import CostTracker, default_tracker

_TOO_LONG: Final = frozenset({"context_length_exceeded", "string_above_max_length"})
_GUESSED_WINDOW: Final = 3900
"""What LlamaIndex says of models whose window it does not know."""


@dataclass(frozen=True, slots=True)
class Route:
    """One request to the router: where its calls are recorded, and who causes them."""

    tracker: CostTracker
    labels: Labels
    run: str | None
    reports_usage: bool


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call to one model, ready to be held and made.

    Attributes:
        asked: the request.
        spec: the call.
        kwargs: the arguments to make it with, capped where that is ours to do.
    """

    asked: Prepared
    spec: CallSpec
    kwargs: dict[str, Any]

    def held_as(self, spec: CallSpec) -> "PlannedCall":
        """Return the call with the answer's cap that *spec* has."""
        cap = spec.size.output_cap
        kwargs = self.asked.capped(self.kwargs, cap) if spec.cap_is_ours and cap else None
        return replace(self, spec=spec, kwargs=kwargs or self.kwargs)

    def call(self) -> Any:
        """Ask the model."""
        return self.asked.call(self.kwargs)


def route_of(tracker: CostTracker | None, *, reports_usage: bool) -> Route:
    """Find the tracker and the labels for a request that is made here."""
    book = installed_book()
    span_id = active_span_id.get()
    if book is not None and span_id is not None:
        book.leave_to_router(span_id)
    same = book is not None and (tracker is None or book.tracker is tracker)
    tracker = tracker or (book.tracker if book is not None else default_tracker())
    tags = active_instrument_tags.get()
    # Taken now: a stream may be read when the block that gives the labels has ended.
    defaults = book.defaults if same and book is not None else Labels()
    labels = defaults.merged(current_labels()).merged(take_labels(tracker.label_keys, tags, ()))
    outermost = book.spans.outermost(span_id) if book is not None and span_id else span_id
    run = tags.get(RUN_TAG) or outermost
    return Route(tracker, labels, None if run is None else str(run), reports_usage)


def name_of(llm: LLM) -> str:
    """Return the name of a model as its calls will report it."""
    named = getattr(llm, "model", None)
    return named if isinstance(named, str) and named else llm.metadata.model_name


def plan_call(
    models: Sequence[LLM], attempt: Attempt, ask: Ask, form: Form, route: Route
) -> PlannedCall:
    """Prepare the call to one model: its arguments, its output cap, and what it can cost.

    Raises:
        ModelUnsuitable: it cannot do the call.
    """
    llm = models[attempt.index]
    asked = ask.prepare(llm, form, reports_usage=route.reports_usage)
    request = read_request(asked.event, llm, route.tracker.sizer)
    size = request.size
    prices = route.tracker.catalog.resolve(request.model, request.provider).prices
    if ask.needs_tools and not llm.metadata.is_function_calling_model:
        msg = f"{request.model!r} calls no tools"
        raise ModelUnsuitable(msg)
    if not attempt.is_last:
        # The last one is asked all the same: what is known of a model may be out of date.
        _check_suitable(llm, request.model, size, prices)
        if lacks := why_not(ask, request.model, request.provider, size, route.tracker):
            raise ModelUnsuitable(lacks)
    kwargs, ours = dict(asked.kwargs), False
    if size.output_cap is None:
        cap = route.tracker.output_cap(prices, size)
        if (with_cap := asked.capped(kwargs, cap)) is not None:
            kwargs, ours, size = with_cap, True, replace(size, output_cap=cap)
    preferred = name_of(models[attempt.preferred]) if attempt.index != attempt.preferred else None
    spec = CallSpec(
        id=str(uuid4()),
        model=request.model,
        provider=request.provider,
        size=size,
        labels=route.labels,
        run=route.run,
        preferred=preferred,
        has_alternative=not attempt.is_last,
        may_wait=attempt.may_wait,
        watched=True,
        cap_is_ours=ours,
    )
    return PlannedCall(asked, spec, kwargs)


def begin(
    plan: PlannedCall, attempt: Attempt, tracker: CostTracker
) -> tuple[PlannedCall, OpenCall]:
    """Hold for a call; with a shorter answer if that is what fits, and the cap is ours to lower.

    Raises:
        BudgetExceeded: a budget cannot pay for it.
        PriceUnknown: a budget applies and no price is known.
        LedgerUnavailable: nothing can be held.
    """
    try:
        return plan, tracker.start(first_try(plan.spec))
    except BudgetExceeded as error:
        other = plan.held_as(second_try(tracker, plan.spec, error, is_last=attempt.is_last))
    return other, tracker.start(other.spec)


async def abegin(
    plan: PlannedCall, attempt: Attempt, tracker: CostTracker
) -> tuple[PlannedCall, OpenCall]:
    """Do what `begin` does, and wait by awaiting."""
    try:
        return plan, await tracker.astart(first_try(plan.spec))
    except BudgetExceeded as error:
        other = plan.held_as(second_try(tracker, plan.spec, error, is_last=attempt.is_last))
    return other, await tracker.astart(other.spec)


def why_not(ask: Ask, name: str, provider: str | None, size: CallSize, tracker: CostTracker) -> str:
    """Say what a model is known not to be able to do of what a request needs; empty otherwise."""
    needs = needs_of(size.media, tools=ask.needs_tools, structured=ask.needs_structure)
    found = tracker.catalog.resolve(name, provider)
    return why_unsuitable(name, abilities(tracker.catalog, found), needs)


def prefers_cheaper(models: Sequence[LLM], route: Route) -> bool:
    """Tell whether a budget of the request is past the part from which cheaper is preferred."""
    name = name_of(models[0])
    spec = CallSpec(
        id="", model=name, provider=None, size=CallSize(0, 0), labels=route.labels, run=route.run
    )
    return route.tracker.prefers_cheaper(spec)


def alone(models: Sequence[LLM], index: int) -> Attempt:
    """Return an attempt with nobody after it, to plan a call without asking anyone."""
    names = [name_of(model) for model in models[: index + 1]]
    return next(iter(Attempts(names, may_fall_back, order=[index])))


def may_fall_back(error: Exception) -> bool:
    """Tell whether another model may answer where this error happened."""
    return isinstance(error, AllModelsFailed) or _is_too_long(error) or is_transient(error)


def starts_cool_down(error: Exception) -> bool:
    """Tell whether a model that has failed so is likely to fail again in a moment."""
    return not isinstance(error, LLMCostError) and not _is_too_long(error) and is_transient(error)


def _is_too_long(error: Exception) -> bool:
    return getattr(error, "code", None) in _TOO_LONG


def _check_suitable(llm: LLM, name: str, size: CallSize, prices: Prices | None) -> None:
    window = llm.metadata.context_window
    if window == _GUESSED_WINDOW:
        window = (prices.max_input_tokens if prices else None) or 0
    if too_long := why_too_long(name, size, window or None):
        raise ModelUnsuitable(too_long)
