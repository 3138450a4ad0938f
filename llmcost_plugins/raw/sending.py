"""Holds before a call of a client, makes it, and settles it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Final
from uuid import uuid4

from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.capping import shorter_cap
from llmcost_plugins.errors import BudgetExceeded
from llmcost_plugins.labels import Labels
from llmcost_plugins.raw.answers import asettle, settle
from llmcost_plugins.raw.books import Books
from llmcost_plugins.raw.frames import take_over
from llmcost_plugins.raw.recording import Recording
from llmcost_plugins.raw.requests import Api, given, model_in, size_of
from llmcost_plugins.taps import named_arguments
from llmcost_plugins.texts import Texts

_OPTIONS: Final = "stream_options"
_READ: Final = frozenset({"messages", "input", "tools", "system"})


@dataclass(frozen=True, slots=True)
class Plan:
    """A call that is about to be made.

    Attributes:
        spec: what is held for.
        sent: what it embeds, where it does.
        changes: the arguments that we set.
        cap_name: the parameter that caps the answer, where it is ours to set.
        hides_usage: whether we have asked for the usage of a stream.
    """

    spec: CallSpec
    sent: Texts | None
    changes: Mapping[str, Any]
    cap_name: str = ""
    hides_usage: bool = False

    def recording(self, books: Books, opened: OpenCall) -> Recording:
        """Return the call under way."""
        spec = self.spec
        return Recording(
            opened,
            lambda model: books.start_late(replace(spec, model=model)),
            self.sent,
            spec.provider,
        )


@dataclass(frozen=True, slots=True)
class Line:
    """The way of calls from one client to one tracker.

    Attributes:
        books: where calls are recorded.
        defaults: who causes them.
        provider: who bills for them; `None` where nothing says.
        caps: the parameter to cap answers with, by what is called.
        asks_for_usage: whether streams of chat completions are asked for their usage.
        id_name: the parameter that gives a call its id, if there is one.
        id_prefix: what such an id begins with.
    """

    books: Books
    defaults: Labels = field(default_factory=Labels)
    provider: str | None = None
    caps: Mapping[Api, str] = field(default_factory=dict)
    asks_for_usage: bool = False
    id_name: str = ""
    id_prefix: str = ""

    def around(self, method: Callable[..., Any], api: Api | None = None) -> Callable[..., Any]:
        """Return what to call instead of a method that sends.

        Args:
            method: the method; one of an asynchronous client may be a plain function too.
            api: what it calls; guessed from the arguments by default.
        """
        if inspect.iscoroutinefunction(method):

            @wraps(method)
            async def asend(*args: Any, **kwargs: Any) -> Any:
                plan, recording = await self.abegin(method, api, args, kwargs)
                try:
                    answer = await method(*args, **{**kwargs, **plan.changes})
                except BaseException as error:
                    recording.failed(error)
                    raise
                return await asettle(recording, answer, hides_usage=plan.hides_usage)

            return asend

        @wraps(method)
        def send(*args: Any, **kwargs: Any) -> Any:
            plan, recording = self.begin(method, api, args, kwargs)
            try:
                answer = method(*args, **{**kwargs, **plan.changes})
            except BaseException as error:
                recording.failed(error)
                raise
            if inspect.isawaitable(answer):  # an asynchronous method behind a plain wrapper
                return _awaited(recording, answer, hides_usage=plan.hides_usage)
            return settle(recording, answer, hides_usage=plan.hides_usage)

        return send

    def begin(
        self,
        method: Callable[..., Any],
        api: Api | None,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> tuple[Plan, Recording]:
        """Hold for a call.

        Raises:
            BudgetExceeded: a budget cannot pay for it; nothing may be sent.
            PriceUnknown: a budget applies and no price is known.
            LedgerUnavailable: nothing can be held.
        """
        plan = self.plan(named_arguments(method, args, kwargs), api)
        take_over(self.books)
        try:
            return plan, plan.recording(self.books, self.books.start(_first_try(plan)))
        except BudgetExceeded as error:
            plan = _second_try(self.books, plan, error)
        return plan, plan.recording(self.books, self.books.start(plan.spec))

    async def abegin(
        self,
        method: Callable[..., Any],
        api: Api | None,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> tuple[Plan, Recording]:
        """Do what `begin` does, and wait by awaiting."""
        plan = self.plan(named_arguments(method, args, kwargs), api)
        take_over(self.books)
        try:
            return plan, plan.recording(self.books, await self.books.astart(_first_try(plan)))
        except BudgetExceeded as error:
            plan = _second_try(self.books, plan, error)
        return plan, plan.recording(self.books, await self.books.astart(plan.spec))

    def plan(self, arguments: Mapping[str, Any], api: Api | None) -> Plan:
        """Return what a call with these arguments is held for, and what we add to them."""
        changes = _listed(arguments)
        params = given({**arguments, **changes})
        model = model_in(params) or "unknown"
        sent = texts_in(params) if api is Api.EMBEDDINGS else None
        sizer = self.books.sizer(model)
        size = size_of(params, sizer) if sent is None else sent.size(sizer)
        hides_usage = self.asks_for_usage and api is Api.CHAT and _lacks_usage(params)
        if hides_usage:
            changes[_OPTIONS] = {**(params.get(_OPTIONS) or {}), "include_usage": True}
        cap_name = self.caps.get(api, "") if api is not None and size.output_cap is None else ""
        if cap_name:
            prices = self.books.catalog.resolve(model, self.provider).prices
            changes[cap_name] = cap = self.books.output_cap(prices, size)
            size = replace(size, output_cap=cap)
        call_id = str(uuid4())
        if self.id_name:
            changes[self.id_name] = f"{self.id_prefix}{call_id}"
        spec = CallSpec(
            id=call_id,
            model=model,
            provider=self.provider,
            size=size,
            defaults=self.defaults,
            watched=True,
            cap_is_ours=bool(cap_name),
        )
        return Plan(spec, sent, changes, cap_name, hides_usage)


def texts_in(params: Mapping[str, Any]) -> Texts:
    """Return what an embedding request sends."""
    items = params.get("input")
    if not isinstance(items, list | tuple) or (items and isinstance(items[0], int)):
        items = [items]
    return Texts(tuple(items))


async def _awaited(recording: Recording, answering: Any, *, hides_usage: bool) -> Any:
    try:
        answer = await answering
    except BaseException as error:
        recording.failed(error)
        raise
    return await asettle(recording, answer, hides_usage=hides_usage)


def _listed(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return as lists what can be read only once, since it is read twice: here and by the SDK."""
    return {
        name: list(value)
        for name, value in arguments.items()
        if name in _READ and hasattr(value, "__next__")
    }


def _lacks_usage(params: Mapping[str, Any]) -> bool:
    said = params.get(_OPTIONS)
    undecided = said is None or (isinstance(said, Mapping) and "include_usage" not in said)
    return bool(params.get("stream")) and undecided


def _first_try(plan: Plan) -> CallSpec:
    # A refusal is not recorded while a shorter answer may fit.
    return replace(plan.spec, has_alternative=True) if plan.cap_name else plan.spec


def _second_try(books: Books, plan: Plan, error: BudgetExceeded) -> Plan:
    """Return the call to try after a refusal, if there is one; raise *error* otherwise."""
    if not plan.cap_name:
        raise error
    spec = replace(plan.spec, may_wait=False)
    cap = shorter_cap(books, plan.spec, error.refusal, is_last=True)
    if cap is None:
        return replace(plan, spec=spec)  # the same again, for the record
    spec = replace(spec, size=replace(spec.size, output_cap=cap))
    return replace(plan, spec=spec, changes={**plan.changes, plan.cap_name: cap})
