"""The end of a call: its hold is replaced by what it has cost, or given back."""

from collections.abc import Callable
from datetime import datetime

from llmcost_plugins.billing import Billing, Ending
from llmcost_plugins.calls import OpenCall
from llmcost_plugins.ledger import Ledger, Outcome, Settled, Status
from llmcost_plugins.ledger.rules import charge_of
from llmcost_plugins.thresholds import Thresholds
from llmcost_plugins.tracker.entry_writer import EntryWriter
from llmcost_plugins.tracker.failures import Failures
from llmcost_plugins.tracker.open_calls import OpenCalls
from llmcost_plugins.usage import Trust


class Settling:
    """Ends calls, each once. Never raises: what fails is noted.

    Args:
        ledger: where the holds are.
        billing: prices calls, and learns from them.
        open_calls: those that have not ended.
        writer: writes the entries.
        thresholds: who is told.
        failures: where is noted what has failed.
        clock: returns the current aware instant.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that it brings together
        self,
        ledger: Ledger,
        billing: Billing,
        open_calls: OpenCalls,
        writer: EntryWriter,
        thresholds: Thresholds,
        failures: Failures,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._billing = billing
        self._open_calls = open_calls
        self._writer = writer
        self._thresholds = thresholds
        self._failures = failures
        self._clock = clock

    def end(self, call: OpenCall, ending: Ending) -> Outcome | None:
        """Settle a call unless it has ended before; return what was recorded when it did."""
        if not self._open_calls.end(call):
            return call.outcome
        try:
            outcome = self._billing.outcome(call, ending, self._clock())
            if call.unheld:
                settled = self._recorded(call, outcome)
            else:
                settled = self._writer.settle(call.call, outcome, call.buckets)
            if settled is not None:
                call.outcome, call.spent = outcome, settled.spent
                for block in call.blocks:
                    block.spending.add(outcome.cost, outcome.saved)
                self._thresholds.settled(call, outcome, settled)
            if ending.status is Status.OK and ending.usage.trust is Trust.PROVIDER:
                self._billing.learn(call, ending.usage)
        except Exception:  # noqa: BLE001 - the answer is paid for and must arrive
            self._failures.note(
                "the cost of the call %s to %r could not be recorded; its hold of the ledger stays "
                "until its lease ends at %s and counts as lost then",
                call.spec.id,
                call.spec.model,
                call.lease_until,
            )
        return call.outcome

    def release(self, call: OpenCall) -> None:
        """Give the money of a call back unless it has ended before."""
        if not self._open_calls.end(call) or call.unheld:
            return
        try:
            self._ledger.release(call.spec.id)
        except Exception:  # noqa: BLE001 - what stands in the way shows at the next hold
            self._failures.note("the hold of the call %s could not be given back", call.spec.id)

    def _recorded(self, call: OpenCall, outcome: Outcome) -> Settled | None:
        tells = any(charge_of(outcome))  # a cached answer reaches nothing
        new = self._writer.record(call.call, outcome, call.buckets, tells=tells)
        return Settled({}) if new else None
