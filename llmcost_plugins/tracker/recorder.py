"""Recording what no integration has seen: calls made elsewhere, entries of another ledger."""

from collections.abc import Callable
from datetime import datetime

from llmcost_plugins.billing import Billing, Ending
from llmcost_plugins.blocks import current_blocks
from llmcost_plugins.budgets import Subject
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.ledger import Entry, Outcome, Status
from llmcost_plugins.limits import Limits
from llmcost_plugins.recording import RecordedCall, aware, served_from, usage_from
from llmcost_plugins.restoring import counted
from llmcost_plugins.tracker.call_buckets import CallBuckets
from llmcost_plugins.tracker.entry_writer import EntryWriter


class Recorder:
    """Charges what was used elsewhere to the budgets, of which none refuses it.

    Args:
        writer: writes the entries.
        billing: prices them.
        buckets: finds what a call is charged to.
        limits: the budgets in force.
        clock: returns the current aware instant.
    """

    def __init__(
        self,
        writer: EntryWriter,
        billing: Billing,
        buckets: CallBuckets,
        limits: Limits,
        clock: Callable[[], datetime],
    ) -> None:
        self._writer = writer
        self._billing = billing
        self._buckets = buckets
        self._limits = limits
        self._clock = clock

    def call(self, spec: CallSpec, report: object, at: datetime | None) -> Outcome | None:
        """Record a call that was made elsewhere; `None` when it is in the ledger already.

        Args:
            spec: the call.
            report: its `Usage`, or a provider's report.
            at: when it was made; now by default.

        Raises:
            ConfigurationError: no usage can be found in *report*, or *at* has no time zone.
            LedgerUnavailable: it could not be recorded, nor kept in the spool.
        """
        now = self._clock()
        self._writer.replay(now)
        usage = usage_from(report, spec.provider)
        call, touched = self._buckets.of(spec, now if at is None else aware(at))
        buckets = counted(call, touched)
        ending = Ending(Status.OK, usage, served_from(report), "")
        outcome = self._billing.outcome(RecordedCall(spec, call), ending, now)
        if not self._writer.record(call, outcome, buckets):
            return None
        for block in current_blocks():
            block.spending.add(outcome.cost, outcome.saved)
        return outcome

    def entry(self, entry: Entry) -> bool | None:
        """Write an entry of another ledger as it is; see `restoring.restore` for what is returned.

        Raises:
            LedgerUnavailable: it could not be recorded.
        """
        call, now = entry.call, self._clock()
        subject = Subject(call.model, call.provider, call.labels, call.run)
        buckets = counted(call, self._limits.book(now).buckets(subject, call.at))
        return self._writer.restore(entry, buckets, now)
