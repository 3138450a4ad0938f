"""Noticing that a bucket has reached a part of its limit, once for all processes."""

import threading
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from llmcost_plugins.alerts import BudgetEvent, Kind, Outbox, Sink, payload_of, tell
from llmcost_plugins.budgets import Bucket, Unit
from llmcost_plugins.calls import OpenCall
from llmcost_plugins.errors import Refusal
from llmcost_plugins.ledger import Call, Hold, Ledger, Outcome, Settled
from llmcost_plugins.ledger.rules import period_in_words

_OVER: Final = "over"
_KEPT: Final = 10_000


class Thresholds:
    """Tells sinks when a budget's threshold is reached, its limit passed, or overdrawn.

    Args:
        ledger: keeps what was told, so that each is told once.
        sinks: who is told in this process.
        outbox: sends what waits in the ledger; `None` leaves that to other processes.
    """

    def __init__(self, ledger: Ledger, sinks: Sequence[Sink], outbox: Outbox | None = None) -> None:
        self._ledger = ledger
        self._sinks = sinks
        self._outbox = outbox
        self._lock = threading.Lock()
        self._told: set[tuple[str, str]] = set()

    def settled(self, call: OpenCall, outcome: Outcome, settled: Settled) -> None:
        """Look at the buckets of a call that has been settled.

        Raises:
            LedgerUnavailable: it cannot be noted that somebody is told.
        """
        for bucket in call.buckets:
            spent = settled.spent.get(bucket.key)
            if spent is None or not bucket.limit:
                continue
            more_than_held = outcome.cost > call.estimate.nano
            self._look(bucket, spent, call.call.at, call.spec.model, may_overdraw=more_than_held)
        if self._outbox is not None:
            self._outbox.look(call.call.at)

    def recorded(self, call: Call, buckets: Sequence[Bucket], now: datetime) -> None:
        """Look at the buckets of a call that was made elsewhere; of a period that is over, at none.

        Args:
            call: the call; nothing was held for it.
            buckets: what it was charged to.
            now: the current instant, when somebody is told.

        Raises:
            LedgerUnavailable: they cannot be looked at, or it cannot be noted that somebody is
                told.
        """
        current = [
            bucket
            for bucket in buckets
            if bucket.limit and (bucket.resets_at is None or bucket.resets_at > now)
        ]
        if current:
            standing = self._ledger.standing([bucket.key for bucket in current])
            for bucket in current:
                spent, _ = standing.get(bucket.key, (0, 0))
                self._look(bucket, spent, now, call.requested, may_overdraw=True)
        if self._outbox is not None:
            self._outbox.look(now)

    def _look(
        self, bucket: Bucket, spent: int, at: datetime, model: str, *, may_overdraw: bool
    ) -> None:
        """Tell of the thresholds that are reached; over the network of the highest alone."""
        reached = [share for share in bucket.budget.warn_at if spent >= share * bucket.limit]
        for share in reached:
            event = _event(Kind.THRESHOLD, bucket, spent, at, model, share)
            self._once(bucket.key, str(share), event, sends=share == reached[-1])
        if may_overdraw and spent > bucket.limit:
            event = _event(Kind.OVERDRAFT, bucket, spent, at, model)
            self._once(bucket.key, Kind.OVERDRAFT, event)

    def over_limit(self, hold: Hold, warning: Refusal) -> None:
        """Tell that a call goes on beyond the limit of a budget that only warns."""
        bucket = next((b for b in hold.buckets if b.scope == warning.scope), None)
        event = BudgetEvent(
            kind=Kind.OVER_LIMIT,
            scope=warning.scope,
            period=warning.period,
            unit=Unit(warning.unit),
            limit=warning.limit,
            spent=warning.spent,
            at=hold.call.at,
            model=hold.call.requested,
        )
        self._once(bucket.key if bucket else warning.scope, _OVER, event)

    def projected(self, key: str, event: BudgetEvent) -> None:
        """Tell that a period will end above a part of its limit.

        Raises:
            LedgerUnavailable: it cannot be noted that somebody is told.
        """
        self._once(key, f"{event.kind}:{event.threshold}", event)

    def unusual(self, key: str, what: str, event: BudgetEvent) -> None:
        """Tell that a bucket burns or a day is out of the ordinary, once for each *what*.

        Raises:
            LedgerUnavailable: it cannot be noted that somebody is told.
        """
        self._once(key, f"{event.kind}:{what}", event)

    def _once(self, key: str, threshold: str, event: BudgetEvent, *, sends: bool = True) -> None:
        with self._lock:
            if (key, threshold) in self._told:
                return
            if len(self._told) >= _KEPT:
                self._told.clear()
            self._told.add((key, threshold))
        payload = payload_of(event) if sends else ""
        if not self._ledger.tell(key, threshold, event.at, payload):
            return
        if payload and self._outbox is not None:
            self._outbox.wake()
        tell(event, self._sinks)


def _event(  # noqa: PLR0913, PLR0917 - the facts of an event
    kind: Kind, bucket: Bucket, spent: int, at: datetime, model: str, share: Decimal | None = None
) -> BudgetEvent:
    return BudgetEvent(
        kind=kind,
        scope=bucket.scope,
        period=period_in_words(bucket),
        unit=bucket.unit,
        limit=bucket.limit,
        spent=spent,
        at=at,
        threshold=share,
        model=model,
    )
