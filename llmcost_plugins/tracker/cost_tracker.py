"""`CostTracker`: one object that prices, holds, settles and records calls."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from llmcost_plugins.alerts import Outbox, Sink, Webhook, log_event, webhook_of
from llmcost_plugins.billing import Ending
from llmcost_plugins.blocks import Block, entered
from llmcost_plugins.budgets import Budget, BudgetStatus, Subject
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.clock import utc_now
from llmcost_plugins.errors import Refusal
from llmcost_plugins.labels import STANDARD_LABELS, Labels, make_labels
from llmcost_plugins.ledger import Entry, Ledger, Outcome, Status, open_ledger
from llmcost_plugins.limits import Limits
from llmcost_plugins.pricing import CallSize, Catalog, Mode, Prices
from llmcost_plugins.pricing.catalog import shared_catalog
from llmcost_plugins.pricing.policy import REFUSE, UnknownModelPolicy
from llmcost_plugins.pricing.sizes import PromptSizer
from llmcost_plugins.process_name import process_name
from llmcost_plugins.recording import spec_of
from llmcost_plugins.reports import budget_statuses
from llmcost_plugins.spending import Spending
from llmcost_plugins.standing import Decision, Left, decide
from llmcost_plugins.thresholds import Thresholds
from llmcost_plugins.tracker.as_text import refuse_text
from llmcost_plugins.tracker.limited_blocks import limited
from llmcost_plugins.tracker.options import Options, options_of
from llmcost_plugins.tracker.parts import Parts
from llmcost_plugins.usage import Usage

if TYPE_CHECKING:
    from llmcost_plugins.forecast import Forecaster
    from llmcost_plugins.monitor import Monitor
    from llmcost_plugins.reporter import Savings
    from llmcost_plugins.settings import Settings

_C = TypeVar("_C")


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

    Raises:
        ConfigurationError: two budgets cover the same, or *ledger* or *budgets* is text.

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
        refuse_text(ledger, budgets)
        self.ledger = ledger
        self.zone = zone
        options = Options(
            zone=zone,
            hold_wait=hold_wait,
            hold_lease=hold_lease,
            call_max=call_max,
            max_output_tokens=max_output_tokens,
            strict=strict,
            shadow=shadow,
            unknown_model=unknown_model,
            estimate_mode=estimate_mode,
            prefer_stated_cost=prefer_stated_cost,
            allow_without_ledger=allow_without_ledger,
            spool=tuple(spool),
        )
        self._max_output_tokens = max_output_tokens
        self.options: Mapping[str, Any] = options._asdict()
        self.limits = Limits(ledger, budgets, zone)
        # Kept by C code: several steps of a call ask for the prices.
        self._prices = cache(lambda: shared_catalog() if catalog is None else catalog)
        self._clock = clock
        self._outbox = None if webhook is None else Outbox(ledger, webhook, clock)
        self.thresholds = Thresholds(ledger, sinks, self._outbox)
        self._parts = Parts(
            keeper=self,
            ledger=ledger,
            limits=self.limits,
            thresholds=self.thresholds,
            catalog=self._prices,
            clock=clock,
            options=options,
        )
        self.tripped = self._parts.refusals.tripped

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
            **options_of(settings)._asdict(),
            sinks=sinks,
            webhook=webhook_of(settings),
        )

    @property
    def catalog(self) -> Catalog:
        """The prices; loaded at first use."""
        return self._prices()

    @property
    def max_output_tokens(self) -> int:
        """The answer's length to hold for when nothing caps it."""
        return self._max_output_tokens

    @property
    def failures(self) -> int:
        """How many failures of the bookkeeping there were, each logged; none cost an answer."""
        return self._parts.failures.count

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
            who = who or process_name()
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
        return self._parts.outlook.prefers_cheaper(spec)

    def budgets_left(self, specs: Iterable[CallSpec]) -> list[Left]:
        """Say what is left of every budget that one of these calls would count in."""
        return self._parts.outlook.budgets_left(specs)

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
        with limited(self.ledger, Budget("block", limit, **facts)) as spending:
            yield spending

    @contextmanager
    def track(self) -> Iterator[Spending]:
        """Count what a block of code spends, without a limit."""
        with entered(Block(Spending(), None)) as spending:
            yield spending

    def sizer(self, model: str) -> PromptSizer:
        """Return what measures a prompt to *model*, by its bytes or as the settings ask for."""
        return self._parts.billing.sizer(model)

    def output_cap(self, prices: Prices | None, size: CallSize) -> int:
        """Return the answer tokens per choice that a capped call of this size is held for."""
        return self._parts.billing.output_cap(prices, size)

    def usual_answer(self, spec: CallSpec) -> int | None:
        """Return the length that 95 % of a model's answers do not exceed, once it is known."""
        return self._parts.outlook.usual_answer(spec)

    def expected_cost(self, spec: CallSpec) -> int | None:
        """Return what a call is expected to cost, in nano-dollars; `None` without a price.

        Its answer counts with the length that is usual for its model and feature, once that is
        known, otherwise with its cap.
        """
        return self._parts.outlook.expected_cost(spec)

    def now(self) -> datetime:
        """Return the current instant by the tracker's clock."""
        return self._clock()

    def affordable_cap(self, spec: CallSpec, refusal: Refusal) -> int:
        """Return the longest answer, in tokens per choice, that a bucket which refused would take.

        0 or less when not even the prompt fits.
        """
        return self._parts.outlook.affordable_cap(spec, refusal)

    def start(self, spec: CallSpec) -> OpenCall:
        """Hold what the call can cost at most; adopt the hold if this call has one already.

        Waits a moment when only calls in flight stand in the way, except on an event loop.

        Raises:
            BudgetExceeded: a budget cannot pay for it; nothing may be sent.
            PriceUnknown: a budget applies and no price is known.
            LedgerUnavailable: nothing can be held.
        """
        return self._parts.holding.start(spec)

    async def astart(self, spec: CallSpec) -> OpenCall:
        """Do what `start` does, and wait by awaiting."""
        return await self._parts.holding.astart(spec)

    def start_late(self, spec: CallSpec) -> OpenCall:
        """Open a call that was made already: it is recorded when it ends, and nothing is held."""
        return self._parts.opening.late(spec, self._clock())

    def refuse_if_spent(self, spec: CallSpec) -> None:
        """Stop a call of which nothing is known, where a budget is used up already.

        Raises:
            BudgetExceeded: a budget has nothing left.
            LedgerUnavailable: the ledger cannot be asked.
        """
        self._parts.holding.refuse_if_spent(spec)

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
        return self._parts.outlook.subject_of(spec)

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
        self._parts.extending.join(call, labels)

    def extend(self, call: OpenCall, output_tokens: int) -> None:
        """Hold more for a call whose answer grows beyond what was held for.

        Args:
            call: the call.
            output_tokens: the answer tokens, of all choices, to hold for from now on.

        Raises:
            BudgetExceeded: a budget cannot pay for a longer answer.
        """
        self._parts.extending.extend(call, output_tokens)

    def find(self, call_id: str) -> OpenCall | None:
        """Return the open call of that id."""
        return self._parts.open_calls.find(call_id)

    def close(self) -> None:
        """Close the ledger, after an attempt to send the alerts that wait."""
        if self._outbox is not None:
            self._outbox.close()
        self._parts.leases.close()
        self.ledger.close()

    def is_open(self, call: OpenCall) -> bool:
        """See `CallKeeper.is_open`."""
        return self._parts.open_calls.has(call)

    def release_call(self, call: OpenCall) -> None:
        """See `CallKeeper.release_call`."""
        self._parts.settling.release(call)

    def note_failure(self, what: str, *arguments: object) -> None:
        """Log a failure of the bookkeeping, with the exception being handled, and count it.

        It is noted for ``llmcost doctor`` too, without the *arguments*. Never raises.

        Args:
            what: what has failed, with places for *arguments* as in logging.
            arguments: what to put there.
        """
        self._parts.failures.note(what, *arguments)

    def end_call(
        self,
        call: OpenCall,
        status: Status,
        usage: Usage,
        served: str | None = None,
        detail: str = "",
    ) -> Outcome | None:
        """See `CallKeeper.end_call`."""
        return self._parts.settling.end(call, Ending(status, usage, served, detail))

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
        id_ = uuid.uuid4().hex if request_id is None else request_id
        return self._parts.recorder.call(spec_of(id_, model, provider, labels, tags), usage, at)

    def record_entry(self, entry: Entry) -> bool | None:
        """Write an entry of another ledger as it is, and charge it to the budgets of here.

        Returns:
            False when it is in the ledger already; `None` when the ledger cannot have it exactly,
            see `restoring.restore`.

        Raises:
            LedgerUnavailable: it could not be recorded.
        """
        return self._parts.recorder.entry(entry)
