"""`CostTracker`: one object that prices, holds, settles and records calls."""

import logging
import os
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from llmcost_plugins.budgets import Budget, BudgetBook, BudgetStatus, Subject
from llmcost_plugins.calibration import Calibration
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.errors import BudgetExceeded, LedgerUnavailable, PriceUnknown
from llmcost_plugins.guard import Guard
from llmcost_plugins.labels import STANDARD_LABELS, current_labels
from llmcost_plugins.ledger import Call, Hold, Ledger, Outcome, Status, open_ledger
from llmcost_plugins.money import round_to_nano
from llmcost_plugins.pricing import (
    CallSize,
    Catalog,
    Estimate,
    Line,
    Mode,
    Prices,
    Resolution,
    cost_of,
    estimate,
)
from llmcost_plugins.pricing.catalog import shared_catalog
from llmcost_plugins.pricing.estimate import ceiling_estimate, ceiling_nano, output_bound
from llmcost_plugins.pricing.policy import REFUSE, UnknownModelPolicy
from llmcost_plugins.pricing.sizes import PromptSizer
from llmcost_plugins.pricing.tokenizers import USUAL, Tokenizer, local_tokenizer, own_encoding
from llmcost_plugins.reports import budget_statuses
from llmcost_plugins.usage import Trust, Usage

if TYPE_CHECKING:
    from llmcost_plugins.settings import Settings

_log: Final = logging.getLogger("llmcost_plugins")
_TRIPPED_KEPT: Final = 100
_PRUNE_FROM: Final = 1024


def utc_now() -> datetime:
    """Return the current instant; the default clock."""
    return datetime.now(UTC)  # noqa: TID251 - the default clock


class _Priced(NamedTuple):
    """What a usage cost, by which prices, and how far that can be trusted."""

    nano: int
    lines: tuple[Line, ...]
    trust: Trust
    remark: str


class CostTracker:
    """Prices, holds, settles and records calls. Safe to share between threads and tasks.

    Args:
        ledger: where money is counted.
        budgets: what may be spent; more than one may cover a call, and all must agree.
        catalog: the prices; by default those shared by the process.
        clock: returns the current aware instant.
        zone: the calendar of the budgets.
        hold_wait: how long a call waits for calls in flight to settle.
        call_max: the longest a call may take; then its hold counts as lost.
        max_output_tokens: the answer's length to hold for when nothing caps it.
        unknown_model: what happens under a budget to a model without a price.
        estimate_mode: how prompts are measured before a call.
        prefer_stated_cost: whether a cost that the provider itself states is what counts, instead
            of that of the price map. (Of a model without a price it always is.)
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
        call_max: timedelta = timedelta(seconds=900),
        max_output_tokens: int = 4096,
        unknown_model: UnknownModelPolicy = REFUSE,
        estimate_mode: Mode = Mode.BOUND,
        prefer_stated_cost: bool = False,
    ) -> None:
        self.ledger = ledger
        self.zone = zone
        self.max_output_tokens = max_output_tokens
        self.tripped: deque[BudgetExceeded] = deque(maxlen=_TRIPPED_KEPT)
        self.failures = 0
        self._book = BudgetBook(budgets, zone)
        self._label_keys = frozenset(STANDARD_LABELS) | self._book.label_keys
        self._catalog = catalog
        self._clock = clock
        self._guard = Guard(ledger, hold_wait)
        self._call_max = call_max
        self._unknown_model = unknown_model
        self._mode = estimate_mode
        self._calibration = Calibration(ledger) if estimate_mode is Mode.CALIBRATED else None
        self._prefer_stated_cost = prefer_stated_cost
        self._open: dict[str, OpenCall] = {}
        # Reentrant: the garbage collector may end an abandoned stream wherever this thread is.
        self._lock = threading.RLock()
        self._process = (0, "")

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Build from the environment variables; *overrides* are fields of `Settings`.

        Raises:
            ConfigurationError: a setting cannot be used.
        """
        # Not at the top: pydantic-settings takes longer to import than all of the rest.
        from llmcost_plugins.settings import Settings

        return cls.from_settings(Settings.from_env(**overrides))

    @classmethod
    def from_settings(cls, settings: "Settings") -> Self:
        """Build from settings.

        Raises:
            ConfigurationError: a file of prices cannot be used.
        """
        catalog = shared_catalog(settings.fetched_prices, settings.prices)
        return cls(
            open_ledger(settings.ledger, settings.timezone),
            settings.budgets,
            catalog=catalog,
            zone=settings.timezone,
            hold_wait=settings.hold_wait,
            call_max=settings.call_max,
            max_output_tokens=settings.max_output_tokens,
            unknown_model=settings.unknown_model,
            estimate_mode=settings.estimate,
            prefer_stated_cost=settings.prefer_stated_cost,
        )

    @property
    def catalog(self) -> Catalog:
        """The prices; loaded at first use."""
        if self._catalog is None:
            self._catalog = shared_catalog()
        return self._catalog

    @property
    def label_keys(self) -> frozenset[str]:
        """The label keys that adapters take from metadata: the standard ones, and the budgets'."""
        return self._label_keys

    def budgets(self) -> list[BudgetStatus]:
        """Say how every bucket of the current periods stands."""
        return budget_statuses(self.ledger, self._book.budgets, self._clock(), self.zone)

    def sizer(self, model: str) -> PromptSizer:
        """Return what measures a prompt to *model*, by its bytes or as the settings ask for."""
        return PromptSizer(model, self._tokenizer(model))

    def _tokenizer(self, model: str) -> Tokenizer | None:
        if self._mode is Mode.BOUND:
            return None
        own = own_encoding(model)
        if own is not None:
            return local_tokenizer(own)
        return local_tokenizer(USUAL) if self._mode is Mode.CALIBRATED else None

    def output_cap(self, prices: Prices | None, size: CallSize) -> int:
        """Return the answer tokens per choice that a call of this size is held for."""
        if prices is None:
            return self.max_output_tokens if size.output_cap is None else size.output_cap
        return output_bound(size, prices, self.max_output_tokens)

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
        call, hold = self._prepare(spec)
        try:
            self._guard.hold(hold, may_wait=lambda: self._may_wait(call))
        except BudgetExceeded as error:
            self._note_refusal(call, error)
            raise
        return self._opened(call)

    async def astart(self, spec: CallSpec) -> OpenCall:
        """Do what `start` does, and wait by awaiting."""
        adopted = self._open.get(spec.id)
        if adopted is not None:
            return adopted
        call, hold = self._prepare(spec)
        try:
            await self._guard.ahold(hold, may_wait=lambda: self._may_wait(call))
        except BudgetExceeded as error:
            self._note_refusal(call, error)
            raise
        return self._opened(call)

    def find(self, call_id: str) -> OpenCall | None:
        """Return the open call of that id."""
        return self._open.get(call_id)

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()

    def _prepare(self, spec: CallSpec) -> tuple[OpenCall, Hold]:
        found = self.catalog.resolve(spec.model, spec.provider)
        now = self._clock()
        prices = found.prices
        provider = found.provider
        labels = spec.defaults.merged(current_labels()).merged(spec.labels)
        run = spec.run or spec.id
        buckets = self._book.buckets(Subject(found.model, provider, labels, run), now)
        if prices is None and buckets and self._unknown_model.refuse:
            raise PriceUnknown(spec.model, found.reason)
        most = self._estimate(spec, found, now)
        call = Call(spec.id, now, found.model, spec.model, provider, labels, run)
        lease = now + self._call_max
        opened = OpenCall(self, spec, call, prices, most, lease)
        return opened, Hold(call, most.nano, buckets, lease, self._owner_name())

    def _estimate(self, spec: CallSpec, found: Resolution, now: datetime) -> Estimate:
        size, cap = spec.size, self.max_output_tokens
        if found.prices is None:
            return ceiling_estimate(size, self._unknown_model.ceiling, cap)
        own = bool(size.tokenizer) and size.tokenizer == own_encoding(spec.model)
        learned = self._calibration
        return estimate(
            size,
            found.prices,
            cap,
            at=now,
            own_tokenizer=own,
            ratio=learned.ratio(found.model, size.measure) if learned and not own else None,
        )

    def _opened(self, call: OpenCall) -> OpenCall:
        with self._lock:
            if len(self._open) >= _PRUNE_FROM:
                self._prune(call.call.at)
            return self._open.setdefault(call.spec.id, call)

    def _prune(self, now: datetime) -> None:
        """Forget calls whose hold the ledger counts as lost by now."""
        for call_id in [id_ for id_, call in self._open.items() if call.lease_until < now]:
            del self._open[call_id]

    def _may_wait(self, call: OpenCall) -> bool:
        """Tell whether the money in the way could be settled while this thread or task waits."""
        if not call.spec.may_wait:
            return False
        mine, now = call.owner, call.call.at
        # A copy: other threads open and end calls meanwhile.
        others = list(self._open.values())
        return not any(other.owner == mine and other.lease_until > now for other in others)

    def _note_refusal(self, call: OpenCall, error: BudgetExceeded) -> None:
        """Keep a refusal visible, even where someone's ``except`` swallows the error."""
        if call.spec.has_alternative and error.refusal.may_fall_back:
            return
        # A copy: the error that is raised holds on to the frames of the call, and so to its prompt.
        self.tripped.append(BudgetExceeded(error.refusal, error.model, waited=error.waited))
        try:
            self.ledger.record_refusal(call.call, error.refusal)
        except LedgerUnavailable:
            self.note_failure("the refusal of the call %s could not be recorded", call.spec.id)

    def _close_call(self, opened: OpenCall) -> bool:
        """Note the end of a call; return False when it had ended before."""
        with self._lock:
            first, opened.settled = not opened.settled, True
            # It may have been forgotten: a call that outlives its lease still ends once.
            if self._open.get(opened.spec.id) is opened:
                del self._open[opened.spec.id]
        return first

    def is_open(self, call: OpenCall) -> bool:
        """See `CallKeeper.is_open`."""
        return self._open.get(call.spec.id) is call

    def release_call(self, call: OpenCall) -> None:
        """See `CallKeeper.release_call`."""
        if not self._close_call(call):
            return
        try:
            self.ledger.release(call.spec.id)
        except Exception:  # noqa: BLE001 - what stands in the way shows at the next hold
            self.note_failure("the hold of the call %s could not be given back", call.spec.id)

    def note_failure(self, what: str, *arguments: object) -> None:
        """Log a failure of the bookkeeping, with the exception being handled, and count it.

        Args:
            what: what has failed, with places for *arguments* as in logging.
            arguments: what to put there.
        """
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
            outcome = self._price(call, status, usage, served, detail)
            if self.ledger.settle(call.call, outcome):
                call.outcome = outcome
            if self._calibration and status is Status.OK and usage.trust is Trust.PROVIDER:
                self._calibration.note(call.call.model, call.spec.size, usage.prompt_tokens)
        except Exception:  # noqa: BLE001 - the answer is paid for and must arrive
            self.note_failure(
                "the cost of the call %s to %r could not be recorded; its hold of the ledger stays "
                "until its lease ends at %s and counts as lost then",
                call.spec.id,
                call.spec.model,
                call.lease_until,
            )
        return call.outcome

    def _price(
        self, opened: OpenCall, status: Status, usage: Usage, served: str | None, detail: str
    ) -> Outcome:
        priced = self._cost(opened, usage, served)
        spec, at = opened.spec, opened.call.at
        preferred = preferred_cost = None
        if spec.preferred is not None and status is Status.OK:
            found = self.catalog.resolve(spec.preferred, spec.preferred_provider)
            if found.prices:
                preferred = found.model
                preferred_cost = cost_of(usage, found.prices, at).nano
        free = status is Status.CACHED
        return Outcome(
            status=status,
            usage=usage if priced.trust is usage.trust else replace(usage, trust=priced.trust),
            cost=0 if free else priced.nano,
            finished_at=self._clock(),
            served=served,
            saved=priced.nano if free else 0,
            preferred_model=preferred,
            preferred_cost=preferred_cost,
            fingerprint=self.catalog.fingerprint,
            detail="; ".join(part for part in (detail, usage.note, priced.remark) if part),
            lines=priced.lines,
        )

    def _cost(self, opened: OpenCall, usage: Usage, served: str | None) -> "_Priced":
        found = self._billed_as(opened.spec, served)
        stated = usage.stated_cost
        # A stated 0 is no stand-in: too many say it of what they have not priced.
        if stated is not None and (
            self._prefer_stated_cost or (found.prices is None and stated > 0)
        ):
            remark = "the cost is the one that the provider states"
            return _Priced(round_to_nano(stated), (), usage.trust, remark)
        if found.prices is None:
            ceiling = self._unknown_model.ceiling
            if ceiling == (0, 0):
                return _Priced(0, (), Trust.UNPRICED, found.reason)
            nano = ceiling_nano(usage.prompt_tokens, usage.completion_tokens, ceiling)
            return _Priced(nano, (), Trust.ESTIMATED, "")
        cost = cost_of(usage, found.prices, opened.call.at)
        if cost.unpriced:
            missing = ", ".join(cost.unpriced)
            return _Priced(cost.nano, cost.lines, Trust.UNPRICED, f"no price for {missing}")
        certain = found.match.is_certain or usage.trust is not Trust.PROVIDER
        trust = usage.trust if certain else Trust.ESTIMATED
        return _Priced(cost.nano, cost.lines, trust, "" if certain else f"priced as {found.model}")

    def _billed_as(self, spec: CallSpec, served: str | None) -> Resolution:
        """Return what to price by: the served snapshot, if the catalog knows exactly that one.

        A price that the user has stated for the requested name is not replaced by a list price.
        """
        found = self.catalog.resolve(spec.model, spec.provider)
        if not served or served == spec.model:
            return found
        precise = self.catalog.resolve(served, spec.provider)
        if found.prices is None:
            return precise
        if precise.prices is None or not precise.match.is_certain:
            return found
        return found if found.prices.by_user and not precise.prices.by_user else precise

    def _owner_name(self) -> str:
        pid = os.getpid()
        if self._process[0] != pid:
            self._process = (pid, f"{socket.gethostname()}:{pid}")
        return self._process[1]


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
