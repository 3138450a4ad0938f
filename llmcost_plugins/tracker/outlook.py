"""What routers and caps ask of a call before it is made. Nothing is held for an answer."""

from collections.abc import Callable, Iterable
from datetime import datetime

from llmcost_plugins.billing import Billing
from llmcost_plugins.budgets import Subject, Unit
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.errors import LedgerUnavailable, Refusal
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.limits import Limits
from llmcost_plugins.standing import Left, is_degraded, parts_left
from llmcost_plugins.tracker.call_buckets import CallBuckets


class Outlook:
    """Answers the questions of `CostTracker` that have the same names.

    An answer that needs a ledger which cannot be read is the one of a ledger without calls: the
    hold that follows says that it cannot be used.

    Args:
        ledger: where money is counted.
        billing: finds prices, and estimates.
        buckets: finds what a call would be charged to.
        limits: the budgets in force.
        clock: returns the current aware instant.
    """

    def __init__(
        self,
        ledger: Ledger,
        billing: Billing,
        buckets: CallBuckets,
        limits: Limits,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._billing = billing
        self._buckets = buckets
        self._limits = limits
        self._clock = clock

    def subject_of(self, spec: CallSpec) -> Subject:
        """Return what budgets and rules look at in a call."""
        call, _ = self._buckets.of(spec)
        return Subject(call.model, call.provider, call.labels, call.run or call.id)

    def prefers_cheaper(self, spec: CallSpec) -> bool:
        """Tell whether a budget of the call is past the part from which routers go cheaper."""
        if not self._limits.book(self._clock()).degrades:
            return False
        _, buckets = self._buckets.of(spec)
        try:
            return is_degraded(self._ledger, buckets)
        except LedgerUnavailable:
            return False

    def budgets_left(self, specs: Iterable[CallSpec]) -> list[Left]:
        """Say what is left of every budget that one of these calls would count in."""
        buckets = [bucket for spec in specs for bucket in self._buckets.of(spec)[1]]
        try:
            return parts_left(self._ledger, buckets)
        except LedgerUnavailable:
            return []

    def usual_answer(self, spec: CallSpec) -> int | None:
        """Return the length that 95 % of a model's answers do not exceed, once it is known."""
        call, _ = self._buckets.of(spec)
        try:
            return self._billing.usual_answer(call.model, call.labels.values.get("feature", ""))
        except LedgerUnavailable:
            return None

    def expected_cost(self, spec: CallSpec) -> int | None:
        """Return what a call is expected to cost, in nano-dollars; `None` without a price."""
        call, _ = self._buckets.of(spec)
        found = self._billing.resolve(spec.model, spec.provider)
        try:
            return self._billing.expected(spec, found, call.at, call.labels)
        except LedgerUnavailable:
            return None

    def affordable_cap(self, spec: CallSpec, refusal: Refusal) -> int:
        """Return the longest answer, in tokens per choice, that a bucket which refused would take.

        Raises:
            LedgerUnavailable: what earlier calls have shown cannot be read.
        """
        found = self._billing.resolve(spec.model, spec.provider)
        left = refusal.limit - refusal.spent - refusal.held
        return self._billing.affordable_cap(spec, found, self._clock(), left, Unit(refusal.unit))
