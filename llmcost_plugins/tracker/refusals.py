"""Calls that get no hold: they are refused, or go on without one."""

from collections import deque
from typing import Final

from llmcost_plugins.calls import OpenCall
from llmcost_plugins.errors import BudgetExceeded, LedgerUnavailable, Refusal
from llmcost_plugins.ledger import Call, Hold, Ledger
from llmcost_plugins.thresholds import Thresholds
from llmcost_plugins.tracker.failures import Failures

_KEPT: Final = 100


class Refusals:
    """Judges calls that nothing could be held for, and keeps every refusal visible.

    Args:
        ledger: where refusals are recorded.
        thresholds: tells of calls that go on beyond a limit.
        failures: where calls that go on without a hold are noted.
        shadow: whether nothing is refused, and only recorded.
        unheld: whether calls under a budget may go on while the ledger cannot be used.

    Attributes:
        tripped: the last refusals, even those that someone's ``except`` has swallowed.
    """

    def __init__(
        self,
        ledger: Ledger,
        thresholds: Thresholds,
        failures: Failures,
        *,
        shadow: bool,
        unheld: bool,
    ) -> None:
        self.tripped: deque[BudgetExceeded] = deque(maxlen=_KEPT)
        self._ledger = ledger
        self._thresholds = thresholds
        self._failures = failures
        self._shadow = shadow
        self._unheld = unheld or shadow

    def go_on_after(self, call: OpenCall, error: BudgetExceeded | LedgerUnavailable) -> None:
        """Let a call go on without a hold if it may; raise *error* otherwise."""
        if isinstance(error, BudgetExceeded):
            self._note(call, error)
            raise error
        if call.buckets and not self._unheld:
            raise error
        call.unheld = True
        self._failures.note("the call %s goes on without a hold: %s", call.spec.id, error)

    def over_limit(self, hold: Hold, warning: Refusal) -> None:
        """Tell that a call goes on beyond a limit, and in shadow mode that it would not have."""
        if self._shadow:
            self._record(hold.call, warning)
        self._thresholds.over_limit(hold, warning)

    def _note(self, call: OpenCall, error: BudgetExceeded) -> None:
        if call.spec.has_alternative and error.refusal.may_fall_back:
            return
        # A copy: the error that is raised holds on to the frames of the call, and so to its prompt.
        self.tripped.append(BudgetExceeded(error.refusal, error.model, waited=error.waited))
        self._record(call.call, error.refusal)

    def _record(self, call: Call, refusal: Refusal) -> None:
        try:
            self._ledger.record_refusal(call, refusal)
        except LedgerUnavailable:
            self._failures.note("the refusal of the call %s could not be recorded", call.id)
