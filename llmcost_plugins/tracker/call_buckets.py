"""What a call is to the ledger, and the buckets that it touches."""

from collections.abc import Callable
from datetime import datetime

from llmcost_plugins.billing import Billing
from llmcost_plugins.blocks import current_blocks
from llmcost_plugins.budgets import Action, Bucket, Subject
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.labels import current_labels
from llmcost_plugins.ledger import Call
from llmcost_plugins.limits import Limits
from llmcost_plugins.pricing import Resolution


class CallBuckets:
    """Finds the buckets of calls: those of the budgets in force, and of the blocks around.

    Args:
        billing: finds the model in the catalog.
        limits: the budgets in force.
        clock: returns the current aware instant.
        shadow: whether the buckets refuse nothing, and only warn.
    """

    def __init__(
        self, billing: Billing, limits: Limits, clock: Callable[[], datetime], *, shadow: bool
    ) -> None:
        self._billing = billing
        self._limits = limits
        self._clock = clock
        self._shadow = shadow

    def of(
        self, spec: CallSpec, now: datetime | None = None, found: Resolution | None = None
    ) -> tuple[Call, list[Bucket]]:
        """Return the call as the ledger knows it, and every bucket that it touches.

        Args:
            spec: the call.
            now: when it is made; by default at this instant.
            found: its model in the catalog, where the caller knows that.
        """
        now = now or self._clock()
        found = found or self._billing.resolve(spec.model, spec.provider)
        labels = spec.defaults.merged(current_labels()).merged(spec.labels)
        run = spec.run or spec.id
        call = Call(spec.id, now, found.model, spec.model, found.provider, labels, run)
        subject = Subject(found.model, found.provider, labels, run)
        buckets = self._limits.book(now).buckets(subject, now)
        blocks = current_blocks()
        if blocks:
            buckets += [block.bucket for block in blocks if block.bucket is not None]
        return call, [_warning(bucket) for bucket in buckets] if self._shadow else buckets


def _warning(bucket: Bucket) -> Bucket:
    """Return a bucket that refuses nothing."""
    return bucket.softened() if bucket.budget.on_exceed is not Action.WARN else bucket
