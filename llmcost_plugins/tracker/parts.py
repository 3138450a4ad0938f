"""What a tracker is made of: each part is made once, and given to those that work with it."""

import threading
from collections.abc import Callable
from datetime import datetime

from llmcost_plugins.billing import Billing
from llmcost_plugins.calls import CallKeeper
from llmcost_plugins.guard import Guard
from llmcost_plugins.leases import Leases
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.limits import Limits
from llmcost_plugins.pricing import Catalog
from llmcost_plugins.spool import Spool
from llmcost_plugins.thresholds import Thresholds
from llmcost_plugins.tracker.call_buckets import CallBuckets
from llmcost_plugins.tracker.entry_writer import EntryWriter
from llmcost_plugins.tracker.extending import Extending
from llmcost_plugins.tracker.failures import Failures
from llmcost_plugins.tracker.holding import Holding
from llmcost_plugins.tracker.open_calls import OpenCalls
from llmcost_plugins.tracker.opening import Opening
from llmcost_plugins.tracker.options import Options
from llmcost_plugins.tracker.outlook import Outlook
from llmcost_plugins.tracker.recorder import Recorder
from llmcost_plugins.tracker.refusals import Refusals
from llmcost_plugins.tracker.settling import Settling


class Parts:
    """The parts of one tracker.

    Args:
        keeper: the tracker, which calls ask for their end.
        ledger: where money is counted.
        limits: the budgets in force.
        thresholds: who is told of them.
        catalog: returns the prices.
        clock: returns the current aware instant.
        options: how calls are held for.
    """

    def __init__(  # noqa: PLR0913 - keyword-only, and what all parts come from
        self,
        *,
        keeper: CallKeeper,
        ledger: Ledger,
        limits: Limits,
        thresholds: Thresholds,
        catalog: Callable[[], Catalog],
        clock: Callable[[], datetime],
        options: Options,
    ) -> None:
        shadow = options.shadow
        # One lock for both: an abandoned stream may be ended by the garbage collector while this
        # thread is inside either, and two would be taken in one order here and the other there.
        lock = threading.RLock()
        self.failures = failures = Failures(lock, options.spool, clock)
        self.leases = Leases(ledger, clock, lease=options.hold_lease, call_max=options.call_max)
        self.open_calls = OpenCalls(self.leases, lock)
        self.billing = billing = Billing(catalog, ledger, options.policies)
        buckets = CallBuckets(billing, limits, clock, shadow=shadow)
        spool = Spool(options.spool) if options.spool else None
        writer = EntryWriter(ledger, spool, thresholds, failures)
        self.refusals = Refusals(
            ledger, thresholds, failures, shadow=shadow, unheld=options.allow_without_ledger
        )
        self.outlook = Outlook(ledger, billing, buckets, limits, clock)
        priced_only = options.unknown_model.refuse and not shadow
        self.opening = Opening(keeper, billing, buckets, self.leases, priced_only=priced_only)
        self.holding = Holding(
            ledger,
            Guard(ledger, options.hold_wait, self.refusals.over_limit),
            self.opening,
            self.open_calls,
            self.refusals,
            writer,
            clock,
        )
        self.extending = Extending(ledger, billing, buckets, self.refusals, failures, shadow=shadow)
        self.settling = Settling(
            ledger, billing, self.open_calls, writer, thresholds, failures, clock
        )
        self.recorder = Recorder(writer, billing, buckets, limits, clock)
