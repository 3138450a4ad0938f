"""`CostTracker`: one object that prices, holds, settles and records calls."""

import logging
import os
import socket
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from llmcost_plugins.alerts import Outbox, Sink, Webhook, log_event, webhook_of
from llmcost_plugins.billing import Billing, Ending, Policies
from llmcost_plugins.blocks import Block, block_bucket, current_blocks, entered
from llmcost_plugins.budgets import Action, Bucket, Budget, BudgetStatus, Subject, Unit
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.clock import utc_now
from llmcost_plugins.errors import BudgetExceeded, LedgerUnavailable, PriceUnknown, Refusal
from llmcost_plugins.failure_log import FailureLog
from llmcost_plugins.guard import Guard
from llmcost_plugins.labels import STANDARD_LABELS, Labels, current_labels, make_labels
from llmcost_plugins.leases import Leases
from llmcost_plugins.ledger import (
    Call,
    Charge,
    Entry,
    Hold,
    Ledger,
    Outcome,
    Settled,
    Status,
    open_ledger,
)
from llmcost_plugins.limits import Limits
from llmcost_plugins.pricing import CallSize, Catalog, Estimate, Mode, Prices, Resolution
from llmcost_plugins.pricing.catalog import shared_catalog
from llmcost_plugins.pricing.policy import REFUSE, UnknownModelPolicy
from llmcost_plugins.pricing.sizes import PromptSizer
from llmcost_plugins.recording import RecordedCall, aware, served_from, spec_of, usage_from
from llmcost_plugins.reports import budget_statuses
from llmcost_plugins.restoring import counted, restore
from llmcost_plugins.spending import Spending
from llmcost_plugins.spool import Spool
from llmcost_plugins.standing import Decision, Left, decide, parts_left
from llmcost_plugins.thresholds import Thresholds
from llmcost_plugins.usage import Trust, Usage

if TYPE_CHECKING:
    from llmcost_plugins.forecast import Forecaster
    from llmcost_plugins.monitor import Monitor
    from llmcost_plugins.reporter import Savings
    from llmcost_plugins.settings import Settings

_log: Final = logging.getLogger("llmcost_plugins")
_TRIPPED_KEPT: Final = 100
_PRUNE_FROM: Final = 1024
_C = TypeVar("_C")
_handed_on: Final[ContextVar[OpenCall | None]] = ContextVar("llmcost_handed_on", default=None)
"""The call that another framework was just asked to make; see `CallSpec.handed_on`."""


class CostTracker:
    """Prices, holds, settles and records calls. Safe to share between threads and tasks.

    Args:
        ledger: where money is counted.
        budgets: what may be spent; more than one may cover a call, and all must agree.
        catalog: the prices; by default those shared by the process.
        clock: returns the current aware instant.
        zone: the calendar of the budgets.
        hold_wait: how long a call waits for calls in flight to settle.
        hold_lease: how long the hold of a call that we see alive lasts without renewal.
        call_max: the longest a call may take; then its hold counts as lost.
        max_output_tokens: the answer's length to hold for when nothing caps it.
        strict: whether such a call is held for all that its model can answer.
        shadow: whether budgets refuse nothing, and only record what they would have refused.
        unknown_model: what happens under a budget to a model without a price.
        estimate_mode: how prompts are measured before a call.
        prefer_stated_cost: whether a cost that the provider itself states is what counts, instead
            of that of the price map. (Of a model without a price it always is.)
        allow_without_ledger: whether calls under a budget go on while the ledger cannot be used.
        spool: folders for entries that the ledger could not take, of this ledger only, and for
            notes of failures; without any they are lost.
        sinks: who is told of thresholds and overdrafts.
        webhook: where alerts of all processes are sent from here; `None` leaves that to others.

    Attributes:
        options: the arguments that make the same again in another process, see `Transfer`; without
            ledger, budgets, prices, clock, and who is told.
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings with defaults
        self,
        ledger: Ledger,
        budgets: Iterable[Budget] = (),
        *,
        catalog: Catalog | None = None,
        clock: Callable[[], datetime] = utc_now,
        zone: tzinfo = UTC,
        hold_wait: timedelta = timedelta(seconds=2),
        hold_lease: timedelta = timedelta(seconds=120),
        call_max: timedelta = timedelta(seconds=900),
        max_output_tokens: int = 4096,
        strict: bool = False,
        shadow: bool = False,
        unknown_model: UnknownModelPolicy = REFUSE,
        estimate_mode: Mode = Mode.BOUND,
        prefer_stated_cost: bool = False,
        allow_without_ledger: bool = False,
        spool: Sequence[Path] = (),
        sinks: Sequence[Sink] = (log_event,),
        webhook: Webhook | None = None,
    ) -> None:
        self.ledger = ledger
        self.zone = zone
        self.tripped: deque[BudgetExceeded] = deque(maxlen=_TRIPPED_KEPT)
        self.failures = 0
        self.options: Mapping[str, Any] = {
            "zone": zone,
            "hold_wait": hold_wait,
            "hold_lease": hold_lease,
            "call_max": call_max,
            "max_output_tokens": max_output_tokens,
            "strict": strict,
            "shadow": shadow,
            "unknown_model": unknown_model,
            "estimate_mode": estimate_mode,
            "prefer_stated_cost": prefer_stated_cost,
            "allow_without_ledger": allow_without_ledger,
            "spool": tuple(spool),
        }
        self.limits = Limits(ledger, budgets, zone)
        self._catalog = catalog
        self._clock = clock
        policies = Policies(
            unknown_model, estimate_mode, prefer_stated_cost, max_output_tokens, strict
        )
        self._policies = policies
        self._billing = Billing(lambda: self.catalog, ledger, policies)
        self._guard = Guard(ledger, hold_wait, self._over_limit)
        self._leases = Leases(ledger, clock, lease=hold_lease, call_max=call_max)
        self._outbox = None if webhook is None else Outbox(ledger, webhook, clock)
        self.thresholds = Thresholds(ledger, sinks, self._outbox)
        self._shadow = shadow
        self._allow_without_ledger = allow_without_ledger
        self._spool = Spool(spool) if spool else None
        self._failure_log = FailureLog(spool)
        self._open: dict[str, OpenCall] = {}
        # Reentrant: the garbage collector may end an abandoned stream wherever this thread is.
        self._lock = threading.RLock()
        self._process = (0, "")

    @classmethod
    def from_env(cls, *, sinks: Sequence[Sink] = (log_event,), **overrides: Any) -> Self:
        """Build from the environment variables; *overrides* are fields of `Settings`.

        Args:
            sinks: who is told of thresholds and overdrafts; by default the log.
            overrides: settings that win over the environment.

        Raises:
            ConfigurationError: a setting cannot be used.
        """
        # Not at the top: pydantic-settings takes longer to import than all of the rest.
        from llmcost_plugins.settings import Settings

        return cls.from_settings(Settings.from_env(**overrides), sinks=sinks)

    @classmethod
    def from_settings(cls, settings: "Settings", *, sinks: Sequence[Sink] = (log_event,)) -> Self:
        """Build from settings.

        Raises:
            ConfigurationError: a file of prices cannot be used.
        """
        catalog = shared_catalog(settings.fetched_prices, settings.prices)
        return cls(
            open_ledger(settings.ledger, settings.timezone),
            settings.budgets_in_force(),
            catalog=catalog,
            zone=settings.timezone,
            hold_wait=settings.hold_wait,
            hold_lease=settings.hold_lease,
            call_max=settings.call_max,
            max_output_tokens=settings.max_output_tokens,
            strict=settings.strict,
            shadow=settings.shadow,
            unknown_model=settings.unknown_model,
            estimate_mode=settings.estimate,
            prefer_stated_cost=settings.prefer_stated_cost,
            allow_without_ledger=settings.ledger_errors == "allow",
            spool=settings.spool_folders(),
            sinks=sinks,
            webhook=webhook_of(settings),
        )

    @property
    def catalog(self) -> Catalog:
        """The prices; loaded at first use."""
        if self._catalog is None:
            self._catalog = shared_catalog()
        return self._catalog

    @property
    def max_output_tokens(self) -> int:
        """The answer's length to hold for when nothing caps it."""
        return self._policies.max_output_tokens

    @property
    def label_keys(self) -> frozenset[str]:
        """The label keys that adapters take from metadata: the standard ones, and the budgets'."""
        return frozenset(STANDARD_LABELS) | self.limits.book(self._clock()).label_keys

    def budgets(self) -> list[BudgetStatus]:
        """Say how every bucket of the current periods stands."""
        now = self._clock()
        return budget_statuses(self.ledger, self.limits.book(now).budgets, now, self.zone)

    def savings(self, period: str = "month") -> "Savings":
        """Say what caching and cheaper models have saved in a period, see `CostReporter.report`.

        Raises:
            ConfigurationError: the period means nothing.
        """
        from llmcost_plugins.reporter import CostReporter

        return CostReporter(self.ledger, self.zone).savings(period, now=self._clock())

    def monitor(
        self,
        by: Sequence[str] = (),
        *,
        span: timedelta = timedelta(hours=1),
        alert_at: Decimal | None = Decimal("0.9"),
    ) -> "Monitor":
        """Return what looks at the spending of all processes now, see `Monitor`.

        Args:
            by: labels to group the rates by.
            span: what they look back on.
            alert_at: the part of a limit; who is told of budgets is told, once a period, that one
                is on the way beyond it. `None` tells nobody.

        Raises:
            ConfigurationError: an argument cannot be used.
        """
        from llmcost_plugins.monitor import Monitor

        return Monitor(
            self.ledger,
            self.limits,
            self.thresholds,
            clock=self._clock,
            zone=self.zone,
            by=by,
            span=span,
            alert_at=alert_at,
        )

    def forecaster(self) -> "Forecaster":
        """Return what says how a period will end and when each budget runs out.

        See `Forecaster`, and `monitor` for what is being spent right now.
        """
        from llmcost_plugins.forecast import Forecaster

        return Forecaster(self.ledger, self.limits, clock=self._clock, zone=self.zone)

    def set_budget(
        self,
        scope: str,
        limit: Decimal | str | int,
        per: str = "total",
        *,
        everywhere: bool = False,
        who: str = "",
        **facts: Any,
    ) -> Budget:
        """Set a budget, or change one; the next call is judged by it.

        Args:
            scope: what it covers, see `Budget`.
            limit: see `Budget`.
            per: its period.
            everywhere: whether it holds for all processes that share the ledger, until it is
                changed or removed there, rather than for this one as long as it lives.
            who: who changes it, for the audit; by default this process.
            facts: further arguments of `Budget`.

        Raises:
            ConfigurationError: it cannot be used.
            LedgerUnavailable: it cannot be kept.
        """
        budget = Budget(scope, limit, per, **facts)
        if everywhere:
            who = who or self._owner_name()
            self.ledger.set_budget(budget.key, budget, who=who, at=self._clock())
            self.limits.look_again()
        else:
            self.limits.add(budget)
        return budget

    def check(self, scope: str, estimate: Decimal | str | int) -> Decision:
        """Say whether a call that costs so much would fit; holds nothing.

        Args:
            scope: who would make it, as parts of a scope, e.g. ``user:u1+feature:chat``.
            estimate: the most that it could cost, in USD.

        Raises:
            ConfigurationError: an argument cannot be used.
            LedgerUnavailable: the ledger cannot be read.
        """
        now = self._clock()
        return decide(self.ledger, self.limits.book(now), scope, estimate, now)

    def prefers_cheaper(self, spec: CallSpec) -> bool:
        """Tell whether a budget of the call is past the part from which routers go cheaper."""
        book = self.limits.book(self._clock())
        if not book.degrades:
            return False
        buckets = [b for b in self._buckets(spec)[1] if b.budget.degrade_at is not None]
        try:
            spent = self.ledger.standing([bucket.key for bucket in buckets])
        except LedgerUnavailable:
            return False  # the hold that follows says so
        return any(
            sum(spent.get(bucket.key, (0, 0))) >= (bucket.budget.degrade_at or 1) * bucket.limit
            for bucket in buckets
        )

    def budgets_left(self, specs: Iterable[CallSpec]) -> list[Left]:
        """Say what is left of every budget that one of these calls would count in."""
        buckets = [bucket for spec in specs for bucket in self._buckets(spec)[1]]
        try:
            return parts_left(self.ledger, buckets)
        except LedgerUnavailable:
            return []  # the hold that follows says so

    @contextmanager
    def budget(self, limit: Decimal | str | int, **facts: Any) -> Iterator[Spending]:
        """Give a block of code a limit of its own, within those that hold anyway.

        Nests, and works in sync and async code; calls of threads count if they run in a copy of
        this context. It is a limit, not money set aside: its parents may be used up first.

        Args:
            limit: USD, or e.g. ``"10 requests"``.
            facts: further arguments of `Budget`.

        Raises:
            ConfigurationError: the limit cannot be used.
        """
        budget = Budget("block", limit, **facts)
        bucket = block_bucket(uuid.uuid4().hex, budget)
        try:
            with entered(Block(Spending(), bucket)) as spending:
                yield spending
        finally:
            self._drop(bucket)

    @contextmanager
    def track(self) -> Iterator[Spending]:
        """Count what a block of code spends, without a limit."""
        with entered(Block(Spending(), None)) as spending:
            yield spending

    def _drop(self, bucket: Bucket) -> None:
        try:
            self.ledger.drop(bucket.key)
        except LedgerUnavailable:
            _log.warning("the bucket of a block could not be removed", exc_info=True)

    def sizer(self, model: str) -> PromptSizer:
        """Return what measures a prompt to *model*, by its bytes or as the settings ask for."""
        return self._billing.sizer(model)

    def output_cap(self, prices: Prices | None, size: CallSize) -> int:
        """Return the answer tokens per choice that a capped call of this size is held for."""
        return self._billing.output_cap(prices, size)

    def usual_answer(self, spec: CallSpec) -> int | None:
        """Return the length that 95 % of a model's answers do not exceed, once it is known."""
        call, _ = self._buckets(spec)
        try:
            return self._billing.usual_answer(call.model, call.labels.values.get("feature", ""))
        except LedgerUnavailable:
            return None

    def expected_cost(self, spec: CallSpec) -> int | None:
        """Return what a call is expected to cost, in nano-dollars; `None` without a price.

        Its answer counts with the length that is usual for its model and feature, once that is
        known, otherwise with its cap.
        """
        call, _ = self._buckets(spec)
        found = self._billing.resolve(spec.model, spec.provider)
        try:
            return self._billing.expected(spec, found, call.at, call.labels)
        except LedgerUnavailable:
            return None

    def now(self) -> datetime:
        """Return the current instant by the tracker's clock."""
        return self._clock()

    def affordable_cap(self, spec: CallSpec, refusal: Refusal) -> int:
        """Return the longest answer, in tokens per choice, that a bucket which refused would take.

        0 or less when not even the prompt fits.
        """
        found = self._billing.resolve(spec.model, spec.provider)
        left = refusal.limit - refusal.spent - refusal.held
        return self._billing.affordable_cap(spec, found, self._clock(), left, Unit(refusal.unit))

    def start(self, spec: CallSpec) -> OpenCall:
        """Hold what the call can cost at most; adopt the hold if this call has one already.

        Waits a moment when only calls in flight stand in the way, except on an event loop.

        Raises:
            BudgetExceeded: a budget cannot pay for it; nothing may be sent.
            PriceUnknown: a budget applies and no price is known.
            LedgerUnavailable: nothing can be held.
        """
        adopted = self._open.get(spec.id)
        if adopted is not None:
            return adopted
        self._take_over()
        call, hold = self._prepare(spec)
        try:
            self._guard.hold(hold, may_wait=lambda: self._may_wait(call))
        except (BudgetExceeded, LedgerUnavailable) as error:
            self._go_on_after(call, error)
        return self._opened(call)

    async def astart(self, spec: CallSpec) -> OpenCall:
        """Do what `start` does, and wait by awaiting."""
        adopted = self._open.get(spec.id)
        if adopted is not None:
            return adopted
        self._take_over()
        call, hold = self._prepare(spec)
        try:
            await self._guard.ahold(hold, may_wait=lambda: self._may_wait(call))
        except (BudgetExceeded, LedgerUnavailable) as error:
            self._go_on_after(call, error)
        return self._opened(call)

    def start_late(self, spec: CallSpec) -> OpenCall:
        """Open a call that was made already: it is recorded when it ends, and nothing is held."""
        now = self._clock()
        found = self._billing.resolve(spec.model, spec.provider)
        call, buckets = self._buckets(spec, now, found)
        nothing = Estimate(0, Mode.BOUND, spec.size.prompt_bound, 0)
        opened = OpenCall(self, spec, call, found.prices, nothing, now)
        opened.buckets, opened.blocks, opened.unheld = buckets, current_blocks(), True
        return opened

    def refuse_if_spent(self, spec: CallSpec) -> None:
        """Stop a call of which nothing is known, where a budget is used up already.

        Raises:
            BudgetExceeded: a budget has nothing left.
            LedgerUnavailable: the ledger cannot be asked.
        """
        opened = self.start_late(spec)
        lease = self._leases.first(opened.call.at, watched=True)
        least = Charge(1, 1)  # what costs nothing would fit into a budget with nothing left
        hold = Hold(opened.call, least, opened.buckets, lease, self._owner_name())
        try:
            self._guard.hold(hold, may_wait=lambda: False)
            self.ledger.release(spec.id)
        except (BudgetExceeded, LedgerUnavailable) as error:
            self._go_on_after(opened, error)

    def wrap(
        self,
        client: _C,
        *,
        provider: str | None = None,
        cap: str | None = "auto",
        stream_usage: bool = True,
        tags: Iterable[str] = (),
        **labels: str | int | None,
    ) -> _C:
        """Return a client of OpenAI or Anthropic, sync or async, whose every model call is tracked.

        Each call of chat completions, responses, messages, embeddings and completions is held for
        before it is sent, with its stream and raw forms, and answers are passed on as they are.
        What else a client can send (images, audio, batches, files) passes unseen. *client* itself
        stays as it is, and calls made with it are not seen.

        Args:
            client: the client.
            provider: who bills; by default what the client's class and address say.
            cap: the parameter to cap an answer with that has no cap. By default that of OpenAI's
                responses, and that of chat completions at OpenAI's own address; other servers know
                it by different names. ``None`` sets none.
            stream_usage: whether streams of chat completions are asked for their usage. The chunk
                that brings it is kept from the caller. For servers that refuse ``stream_options``.
            tags: words for the calls.
            labels: who causes them; `attribute` blocks win over these.

        Raises:
            ConfigurationError: *client* cannot be wrapped, or a label cannot be used.
        """
        from llmcost_plugins.raw.wrapping import wrap

        caused_by = make_labels(labels, tags)
        return wrap(
            self, client, labels=caused_by, provider=provider, cap=cap, stream_usage=stream_usage
        )

    def answered(self, spec: CallSpec, usage: Usage, served: str | None = None) -> OpenCall:
        """Record a call that a cache has answered; it needs no room in any budget.

        Args:
            spec: the call that was not made.
            usage: what the answer had used when it was bought; its price today is what is saved.
            served: the model's name as the provider reported it then.
        """
        opened = self.start_late(spec)
        opened.cached(usage, served)
        return opened

    def subject_of(self, spec: CallSpec) -> Subject:
        """Return what budgets and rules look at in a call."""
        call, _ = self._buckets(spec)
        return Subject(call.model, call.provider, call.labels, call.run or call.id)

    def join(self, call: OpenCall, labels: Labels) -> None:
        """Charge an open call to more labels, those of someone else who sees the same call.

        A label that the call has stays as it is. The buckets that come in hold what the others do.

        Args:
            call: the call, which was not sent yet.
            labels: who else causes it.

        Raises:
            BudgetExceeded: a budget that came in cannot pay for it. The hold is given back: nothing
                may be sent.
        """
        known = call.call.labels
        merged = known.merged(labels).merged(known)
        if merged == known:
            return
        spec = replace(call.spec, labels=merged)
        joined, buckets = self._buckets(spec, call.call.at)
        charge = Charge(call.estimate.nano, call.estimate.prompt + call.estimate.output)
        hold = Hold(joined, charge, buckets, call.lease_until, self._owner_name())
        try:
            refusal = self.ledger.extend(hold).refusal if buckets and not call.unheld else None
        except LedgerUnavailable as error:
            # Held already where it was first asked for; what joins is counted when it is settled.
            self.note_failure("the call %s could not be charged to more: %s", call.spec.id, error)
            return
        if refusal is not None:
            self.release_call(call)
            self._go_on_after(call, BudgetExceeded(refusal, call.spec.model))
        call.call, call.buckets = joined, buckets

    def extend(self, call: OpenCall, output_tokens: int) -> None:
        """Hold more for a call whose answer grows beyond what was held for.

        Args:
            call: the call.
            output_tokens: the answer tokens, of all choices, to hold for from now on.

        Raises:
            BudgetExceeded: a budget cannot pay for a longer answer.
        """
        try:
            larger = self._billing.estimate_of(call, output_tokens)
            if larger.nano <= call.estimate.nano and larger.output <= call.estimate.output:
                return
            charge = Charge(larger.nano, larger.prompt + larger.output)
            hold = Hold(call.call, charge, call.buckets, call.lease_until, self._owner_name())
            result = self.ledger.extend(hold)
        except Exception:  # noqa: BLE001 - the answer is on its way, and will be paid for
            self.note_failure("the hold of the call %s could not be extended", call.spec.id)
            return
        if result.refusal is not None and not self._shadow:
            raise BudgetExceeded(result.refusal, call.spec.model)
        call.estimate = larger

    def find(self, call_id: str) -> OpenCall | None:
        """Return the open call of that id."""
        return self._open.get(call_id)

    def close(self) -> None:
        """Close the ledger, after an attempt to send the alerts that wait."""
        if self._outbox is not None:
            self._outbox.close()
        self._leases.close()
        self.ledger.close()

    def _prepare(self, spec: CallSpec) -> tuple[OpenCall, Hold]:
        now = self._clock()
        self._replay(now)
        found = self._billing.resolve(spec.model, spec.provider)
        call, buckets = self._buckets(spec, now, found)
        refuses = self._policies.unknown_model.refuse and not self._shadow
        if found.prices is None and buckets and refuses:
            raise PriceUnknown(spec.model, found.reason)
        most = self._billing.estimate(spec, found, now, call.labels.values.get("feature", ""))
        lease = self._leases.first(now, watched=spec.watched)
        opened = OpenCall(self, spec, call, found.prices, most, lease)
        opened.buckets, opened.blocks = buckets, current_blocks()
        charge = Charge(most.nano, most.prompt + most.output)
        return opened, Hold(call, charge, buckets, lease, self._owner_name())

    def _buckets(
        self, spec: CallSpec, now: datetime | None = None, found: Resolution | None = None
    ) -> tuple[Call, list[Bucket]]:
        """Return the call as the ledger knows it, and every bucket that it touches."""
        now = now or self._clock()
        found = found or self._billing.resolve(spec.model, spec.provider)
        labels = spec.defaults.merged(current_labels()).merged(spec.labels)
        run = spec.run or spec.id
        call = Call(spec.id, now, found.model, spec.model, found.provider, labels, run)
        subject = Subject(found.model, found.provider, labels, run)
        buckets = self.limits.book(now).buckets(subject, now)
        buckets += [block.bucket for block in current_blocks() if block.bucket is not None]
        return call, [_warning(bucket) for bucket in buckets] if self._shadow else buckets

    def _opened(self, call: OpenCall) -> OpenCall:
        with self._lock:
            if len(self._open) >= _PRUNE_FROM:
                self._prune(call.call.at)
            opened = self._open.setdefault(call.spec.id, call)
        if opened is call and call.spec.watched and not call.unheld:
            self._leases.watch(call.spec.id, call.call.at)
        if opened.spec.handed_on:
            _handed_on.set(opened)
        return opened

    def _take_over(self) -> None:
        """Give the money of a call back that was handed on to where one begins now."""
        outer = _handed_on.get()
        if outer is not None:
            _handed_on.set(None)
            if self.is_open(outer):
                self.release_call(outer)

    def _prune(self, now: datetime) -> None:
        """Forget calls whose hold the ledger counts as lost by now."""
        gone = [
            id_
            for id_, call in self._open.items()
            if not call.spec.watched and call.lease_until < now
        ]
        for call_id in gone:
            del self._open[call_id]

    def _may_wait(self, call: OpenCall) -> bool:
        """Tell whether the money in the way could be settled while this thread or task waits."""
        if not call.spec.may_wait:
            return False
        mine, now = call.owner, call.call.at
        # A copy: other threads open and end calls meanwhile.
        others = list(self._open.values())
        return not any(other.owner == mine and other.lease_until > now for other in others)

    def _go_on_after(self, call: OpenCall, error: BudgetExceeded | LedgerUnavailable) -> None:
        """Let a call go on without a hold if it may; raise *error* otherwise."""
        if isinstance(error, BudgetExceeded):
            self._note_refusal(call, error)
            raise error
        if call.buckets and not (self._allow_without_ledger or self._shadow):
            raise error
        call.unheld = True
        self.note_failure("the call %s goes on without a hold: %s", call.spec.id, error)

    def _note_refusal(self, call: OpenCall, error: BudgetExceeded) -> None:
        """Keep a refusal visible, even where someone's ``except`` swallows the error."""
        if call.spec.has_alternative and error.refusal.may_fall_back:
            return
        # A copy: the error that is raised holds on to the frames of the call, and so to its prompt.
        self.tripped.append(BudgetExceeded(error.refusal, error.model, waited=error.waited))
        self._record_refusal(call.call, error.refusal)

    def _record_refusal(self, call: Call, refusal: Refusal) -> None:
        try:
            self.ledger.record_refusal(call, refusal)
        except LedgerUnavailable:
            self.note_failure("the refusal of the call %s could not be recorded", call.id)

    def _over_limit(self, hold: Hold, warning: Refusal) -> None:
        """Tell that a call goes on beyond a limit, and in shadow mode that it would not have."""
        if self._shadow:
            self._record_refusal(hold.call, warning)
        self.thresholds.over_limit(hold, warning)

    def _close_call(self, opened: OpenCall) -> bool:
        """Note the end of a call; return False when it had ended before."""
        with self._lock:
            first, opened.settled = not opened.settled, True
            # It may have been forgotten: a call that outlives its lease still ends once.
            if self._open.get(opened.spec.id) is opened:
                del self._open[opened.spec.id]
        if first and opened.spec.watched:
            self._leases.forget(opened.spec.id)
        return first

    def is_open(self, call: OpenCall) -> bool:
        """See `CallKeeper.is_open`."""
        return self._open.get(call.spec.id) is call

    def release_call(self, call: OpenCall) -> None:
        """See `CallKeeper.release_call`."""
        if not self._close_call(call) or call.unheld:
            return
        try:
            self.ledger.release(call.spec.id)
        except Exception:  # noqa: BLE001 - what stands in the way shows at the next hold
            self.note_failure("the hold of the call %s could not be given back", call.spec.id)

    def note_failure(self, what: str, *arguments: object) -> None:
        """Log a failure of the bookkeeping, with the exception being handled, and count it.

        It is noted for ``llmcost doctor`` too, without the *arguments*. Never raises.

        Args:
            what: what has failed, with places for *arguments* as in logging.
            arguments: what to put there.
        """
        self._failure_log.add(what, sys.exc_info()[1], self._clock())
        self._log_failure(what, *arguments)

    def _log_failure(self, what: str, *arguments: object) -> None:
        with self._lock:
            self.failures += 1
        _log.error(what, *arguments, exc_info=sys.exc_info()[0] is not None)

    def end_call(
        self,
        call: OpenCall,
        status: Status,
        usage: Usage,
        served: str | None = None,
        detail: str = "",
    ) -> Outcome | None:
        """See `CallKeeper.end_call`."""
        if not self._close_call(call):
            return call.outcome
        try:
            ended = Ending(status, usage, served, detail)
            outcome = self._billing.outcome(call, ended, self._clock())
            settled = self._settle(call, outcome)
            if settled is not None:
                call.outcome, call.spent = outcome, settled.spent
                for block in call.blocks:
                    block.spending.add(outcome.cost, outcome.saved)
                self.thresholds.settled(call, outcome, settled)
            if status is Status.OK and usage.trust is Trust.PROVIDER:
                self._billing.learn(call, usage)
        except Exception:  # noqa: BLE001 - the answer is paid for and must arrive
            self.note_failure(
                "the cost of the call %s to %r could not be recorded; its hold of the ledger stays "
                "until its lease ends at %s and counts as lost then",
                call.spec.id,
                call.spec.model,
                call.lease_until,
            )
        return call.outcome

    def _settle(self, call: OpenCall, outcome: Outcome) -> Settled | None:
        try:
            if not call.unheld:
                return self.ledger.settle(call.call, outcome)
            if not self.ledger.record(call.call, outcome, call.buckets):
                return None
            if outcome.cost:
                self._tell(call.call, call.buckets, self._clock())
            return Settled({})
        except LedgerUnavailable:
            if self._spool is None:
                raise
            path = self._spool.add(call.call, outcome, call.buckets)
            self._log_failure("the entry of the call %s waits in %s", call.spec.id, path)
            return Settled({})

    def record_usage(  # noqa: PLR0913 - keyword-only facts with defaults
        self,
        model: str,
        usage: object,
        *,
        provider: str | None = None,
        request_id: str | None = None,
        at: datetime | None = None,
        tags: Iterable[str] = (),
        **labels: str | int | None,
    ) -> Outcome | None:
        """Record a call that no integration has seen, and charge it to its budgets.

        It was made, so no budget refuses it.

        Args:
            model: the name of the model as requested.
            usage: a `Usage`, or a provider's report or answer, as a mapping or an SDK's object.
            provider: whose model it is, where the name leaves that open.
            request_id: the same id is the same call, which is recorded once; a new one by default.
            at: when the call was made, by which it is priced and its budgets' periods are chosen;
                now by default.
            tags: free words.
            labels: who caused it; they win over the `attribute` blocks in force.

        Returns:
            What was recorded; `None` when the call is in the ledger already.

        Raises:
            ConfigurationError: an argument cannot be used.
            LedgerUnavailable: it could not be recorded, nor kept in the spool.
        """
        now = self._clock()
        self._replay(now)
        found = usage_from(usage, provider)
        id_ = uuid.uuid4().hex if request_id is None else request_id
        spec = spec_of(id_, model, provider, labels, tags)
        call, touched = self._buckets(spec, now if at is None else aware(at))
        buckets = counted(call, touched)
        ending = Ending(Status.OK, found, served_from(usage), "")
        outcome = self._billing.outcome(RecordedCall(spec, call), ending, now)
        try:
            if not self.ledger.record(call, outcome, buckets):
                return None
        except LedgerUnavailable as error:
            if self._spool is None:
                raise
            path = self._spool.add(call, outcome, buckets)
            self._log_failure("the entry of the call %s waits in %s: %s", id_, path, error)
        else:
            self._tell(call, buckets, now)
        for block in current_blocks():
            block.spending.add(outcome.cost, outcome.saved)
        return outcome

    def record_entry(self, entry: Entry) -> bool | None:
        """Write an entry of another ledger as it is, and charge it to the budgets of here.

        Returns:
            False when it is in the ledger already; `None` when the ledger cannot have it exactly,
            see `restoring.restore`.

        Raises:
            LedgerUnavailable: it could not be recorded.
        """
        call, now = entry.call, self._clock()
        subject = Subject(call.model, call.provider, call.labels, call.run)
        buckets = counted(call, self.limits.book(now).buckets(subject, call.at))
        new = restore(self.ledger, entry, buckets)
        if new:
            self._tell(call, buckets, now)
        return new

    def _tell(self, call: Call, buckets: Sequence[Bucket], now: datetime) -> None:
        try:
            self.thresholds.recorded(call, buckets, now)
        except LedgerUnavailable:
            self.note_failure("the budgets of the call %s could not be looked at", call.id)

    def _replay(self, now: datetime) -> None:
        if self._spool is None or not self._spool.waits(now):
            return
        try:
            count = self._spool.replay(self.ledger)
        except (LedgerUnavailable, OSError):
            return  # what follows says that the ledger cannot be used; the files stay
        if count:
            _log.warning("%d entries that had waited for the ledger are in it now", count)

    def _owner_name(self) -> str:
        pid = os.getpid()
        if self._process[0] != pid:
            self._process = (pid, f"{socket.gethostname()}:{pid}")
        return self._process[1]


def _warning(bucket: Bucket) -> Bucket:
    """Return a bucket that refuses nothing."""
    return bucket.softened() if bucket.budget.on_exceed is not Action.WARN else bucket


_default_lock = threading.Lock()
_default: list[CostTracker] = []


def default_tracker() -> CostTracker:
    """Return the process-wide tracker, built from the environment at the first call.

    Raises:
        ConfigurationError: a setting cannot be used.
    """
    with _default_lock:
        if not _default:
            _default.append(CostTracker.from_env())
        return _default[0]


def set_default_tracker(tracker: CostTracker | None) -> CostTracker | None:
    """Replace the process-wide tracker and return the former one.

    `None` makes the next use read the environment anew.
    """
    with _default_lock:
        former = _default[0] if _default else None
        _default[:] = [] if tracker is None else [tracker]
        return former
