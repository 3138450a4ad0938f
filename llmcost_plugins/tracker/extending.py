"""Holding more for a call that is open: its answer grows, or someone else causes it as well."""

from dataclasses import replace

from llmcost_plugins.billing import Billing
from llmcost_plugins.calls import OpenCall
from llmcost_plugins.errors import BudgetExceeded, LedgerUnavailable
from llmcost_plugins.labels import Labels
from llmcost_plugins.ledger import Charge, Hold, Ledger
from llmcost_plugins.process_name import process_name
from llmcost_plugins.tracker.call_buckets import CallBuckets
from llmcost_plugins.tracker.failures import Failures
from llmcost_plugins.tracker.refusals import Refusals


class Extending:
    """Extends holds. See the verbs of `CostTracker` that have the same names.

    Args:
        ledger: where the holds are.
        billing: estimates longer answers.
        buckets: finds what a call is charged to.
        refusals: judges calls that are refused more.
        failures: where is noted what has failed.
        shadow: whether nothing is refused.
    """

    def __init__(  # noqa: PLR0913 - the parts that it brings together
        self,
        ledger: Ledger,
        billing: Billing,
        buckets: CallBuckets,
        refusals: Refusals,
        failures: Failures,
        *,
        shadow: bool,
    ) -> None:
        self._ledger = ledger
        self._billing = billing
        self._buckets = buckets
        self._refusals = refusals
        self._failures = failures
        self._shadow = shadow

    def extend(self, call: OpenCall, output_tokens: int) -> None:
        """Hold more for a call whose answer grows beyond what was held for."""
        try:
            larger = self._billing.estimate_of(call, output_tokens)
            if larger.nano <= call.estimate.nano and larger.output <= call.estimate.output:
                return
            charge = Charge(larger.nano, larger.prompt + larger.output)
            hold = Hold(call.call, charge, call.buckets, call.lease_until, process_name())
            result = self._ledger.extend(hold)
        except Exception:  # noqa: BLE001 - the answer is on its way, and will be paid for
            self._failures.note("the hold of the call %s could not be extended", call.spec.id)
            return
        if result.refusal is not None and not self._shadow:
            raise BudgetExceeded(result.refusal, call.spec.model)
        call.estimate = larger

    def join(self, call: OpenCall, labels: Labels) -> None:
        """Charge an open call to more labels, those of someone else who sees the same call."""
        known = call.call.labels
        merged = known.merged(labels).merged(known)
        if merged == known:
            return
        spec = replace(call.spec, labels=merged)
        joined, buckets = self._buckets.of(spec, call.call.at)
        charge = Charge(call.estimate.nano, call.estimate.prompt + call.estimate.output)
        hold = Hold(joined, charge, buckets, call.lease_until, process_name())
        try:
            refusal = self._ledger.extend(hold).refusal if buckets and not call.unheld else None
        except LedgerUnavailable as error:
            # Held already where it was first asked for; what joins is counted when it is settled.
            self._failures.note("the call %s could not be charged to more: %s", call.spec.id, error)
            return
        if refusal is not None:
            call.release()
            self._refusals.go_on_after(call, BudgetExceeded(refusal, call.spec.model))
        call.call, call.buckets = joined, buckets
