"""From what is known of a call before it is made, to what is held for it."""

from datetime import datetime

from llmcost_plugins.billing import Billing
from llmcost_plugins.blocks import current_blocks
from llmcost_plugins.calls import CallKeeper, CallSpec, OpenCall
from llmcost_plugins.errors import PriceUnknown
from llmcost_plugins.leases import Leases
from llmcost_plugins.ledger import Charge, Hold
from llmcost_plugins.pricing import Estimate, Mode
from llmcost_plugins.process_name import process_name
from llmcost_plugins.tracker.call_buckets import CallBuckets


class Opening:
    """Makes open calls and their holds; sets nothing aside.

    Args:
        keeper: who is asked to end the calls.
        billing: finds their prices, and estimates them.
        buckets: finds what they are charged to.
        leases: says how long their holds last.
        priced_only: whether a model without a price is refused under a budget.
    """

    def __init__(
        self,
        keeper: CallKeeper,
        billing: Billing,
        buckets: CallBuckets,
        leases: Leases,
        *,
        priced_only: bool,
    ) -> None:
        self._keeper = keeper
        self._billing = billing
        self._buckets = buckets
        self._leases = leases
        self._priced_only = priced_only

    def at_most(self, spec: CallSpec, now: datetime) -> tuple[OpenCall, Hold]:
        """Return a call with the hold of the most that it can cost.

        Raises:
            PriceUnknown: a budget applies and no price is known.
            LedgerUnavailable: what earlier calls have shown cannot be read.
        """
        found = self._billing.resolve(spec.model, spec.provider)
        call, buckets = self._buckets.of(spec, now, found)
        if self._priced_only and found.prices is None and buckets:
            raise PriceUnknown(spec.model, found.reason)
        most = self._billing.estimate(spec, found, now, call.labels.values.get("feature", ""))
        lease = self._leases.first(now, watched=spec.watched)
        opened = OpenCall(self._keeper, spec, call, found.prices, most, lease)
        opened.buckets, opened.blocks = buckets, current_blocks()
        charge = Charge(most.nano, most.prompt + most.output)
        return opened, Hold(call, charge, buckets, lease, process_name())

    def at_least(self, spec: CallSpec, now: datetime) -> tuple[OpenCall, Hold]:
        """Return a call with a hold that fits wherever a budget has anything left."""
        opened = self.late(spec, now)
        lease = self._leases.first(now, watched=True)
        least = Charge(1, 1)  # what costs nothing would fit into a budget with nothing left
        return opened, Hold(opened.call, least, opened.buckets, lease, process_name())

    def late(self, spec: CallSpec, now: datetime) -> OpenCall:
        """Return a call that was made already, and that nothing is held for."""
        found = self._billing.resolve(spec.model, spec.provider)
        call, buckets = self._buckets.of(spec, now, found)
        nothing = Estimate(0, Mode.BOUND, spec.size.prompt_bound, 0)
        opened = OpenCall(self._keeper, spec, call, found.prices, nothing, now)
        opened.buckets, opened.blocks, opened.unheld = buckets, current_blocks(), True
        return opened
