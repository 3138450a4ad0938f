"""Writing entries: into the ledger, or into the spool while the ledger cannot take them."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from llmcost_plugins.budgets import Bucket
from llmcost_plugins.errors import LedgerUnavailable
from llmcost_plugins.ledger import Call, Entry, Ledger, Outcome, Settled
from llmcost_plugins.restoring import restore
from llmcost_plugins.spool import Spool
from llmcost_plugins.thresholds import Thresholds
from llmcost_plugins.tracker.failures import Failures

_log: Final = logging.getLogger("llmcost_plugins")


class EntryWriter:
    """Writes how calls went, and tells of the thresholds that calls without a hold reach.

    Args:
        ledger: where to.
        spool: what keeps entries that the ledger cannot take; `None` keeps none.
        thresholds: who is told.
        failures: where is noted what did not reach the ledger.
    """

    def __init__(
        self, ledger: Ledger, spool: Spool | None, thresholds: Thresholds, failures: Failures
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._thresholds = thresholds
        self._failures = failures

    def settle(self, call: Call, outcome: Outcome, buckets: Sequence[Bucket]) -> Settled | None:
        """Replace the hold of a call; return `None` when the ledger has it as ended.

        Raises:
            LedgerUnavailable: it could not be recorded, and there is no spool.
            OSError: nor could it be kept in the spool.
        """
        try:
            return self._ledger.settle(call, outcome)
        except LedgerUnavailable as error:
            self._keep(call, outcome, buckets, error)
            return Settled({})

    def record(
        self, call: Call, outcome: Outcome, buckets: Sequence[Bucket], *, tells: bool = True
    ) -> bool:
        """Charge a call that nothing is held for; return False when it is in the ledger already.

        Args:
            call: the call.
            outcome: how it went.
            buckets: what it is charged to.
            tells: whether somebody is told of thresholds.

        Raises:
            LedgerUnavailable: it could not be recorded, and there is no spool.
            OSError: nor could it be kept in the spool.
        """
        try:
            new = self._ledger.record(call, outcome, buckets)
        except LedgerUnavailable as error:
            self._keep(call, outcome, buckets, error)
            return True
        if new and tells:
            self._tell(call, buckets, outcome.finished_at)
        return new

    def restore(self, entry: Entry, buckets: Sequence[Bucket], now: datetime) -> bool | None:
        """Write an entry of another ledger as it is, see `restoring.restore`.

        Raises:
            LedgerUnavailable: it could not be recorded.
        """
        new = restore(self._ledger, entry, buckets)
        if new:
            self._tell(entry.call, buckets, now)
        return new

    def replay(self, now: datetime) -> None:
        """Write what waits in the spool, if the ledger can take it by now."""
        if self._spool is None or not self._spool.waits(now):
            return
        try:
            count = self._spool.replay(self._ledger)
        except (LedgerUnavailable, OSError):
            return  # what follows says that the ledger cannot be used; the files stay
        if count:
            _log.warning("%d entries that had waited for the ledger are in it now", count)

    def _keep(
        self, call: Call, outcome: Outcome, buckets: Sequence[Bucket], error: LedgerUnavailable
    ) -> None:
        if self._spool is None:
            raise error
        path = self._spool.add(call, outcome, buckets)
        self._failures.log("the entry of the call %s waits in %s: %s", call.id, path, error)

    def _tell(self, call: Call, buckets: Sequence[Bucket], now: datetime) -> None:
        try:
            self._thresholds.recorded(call, buckets, now)
        except LedgerUnavailable:
            self._failures.note("the budgets of the call %s could not be looked at", call.id)
