"""Noticing that a bucket has reached a part of its limit, once for all processes."""

import threading
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from llmcost_plugins.alerts import BudgetEvent, Kind, Sink, tell
from llmcost_plugins.budgets import Bucket, Unit
from llmcost_plugins.calls import OpenCall
from llmcost_plugins.errors import Refusal
from llmcost_plugins.ledger import Hold, Ledger, Outcome, Settled

_OVER: Final = "over"
_KEPT: Final = 10_000


class Thresholds:
    """Tells sinks when a budget's threshold is reached, its limit passed, or overdrawn.

    Args:
        ledger: keeps what was told, so that each is told once.
        sinks: who is told.
    """

    def __init__(self, ledger: Ledger, sinks: Sequence[Sink]) -> None:
        self._ledger = ledger
        self._sinks = sinks
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
            for share in bucket.budget.warn_at:
                if spent >= share * bucket.limit and self._first(bucket.key, str(share), call):
                    self._tell(Kind.THRESHOLD, bucket, spent, call, share)
            over = spent > bucket.limit and outcome.cost > call.estimate.nano
            if over and self._first(bucket.key, Kind.OVERDRAFT, call):
                self._tell(Kind.OVERDRAFT, bucket, spent, call)

    def over_limit(self, hold: Hold, warning: Refusal) -> None:
        """Tell that a call goes on beyond the limit of a budget that only warns."""
        bucket = next((b for b in hold.buckets if b.scope == warning.scope), None)
        key = bucket.key if bucket else warning.scope
        with self._lock:
            known = (key, _OVER) in self._told
            self._told.add((key, _OVER))
        if known or not self._ledger_says_first(key, _OVER, hold):
            return
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
        tell(event, self._sinks)

    def _ledger_says_first(self, key: str, threshold: str, hold: Hold) -> bool:
        return self._ledger.tell(key, threshold, hold.call.at)

    def _first(self, key: str, threshold: str, call: OpenCall) -> bool:
        with self._lock:
            if (key, threshold) in self._told:
                return False
            if len(self._told) >= _KEPT:
                self._told.clear()
            self._told.add((key, threshold))
        return self._ledger.tell(key, threshold, call.call.at)

    def _tell(
        self, kind: Kind, bucket: Bucket, spent: int, call: OpenCall, share: Decimal | None = None
    ) -> None:
        event = BudgetEvent(
            kind=kind,
            scope=bucket.scope,
            period=bucket.budget.per.value,
            unit=bucket.unit,
            limit=bucket.limit,
            spent=spent,
            at=call.call.at,
            threshold=share,
            model=call.spec.model,
        )
        tell(event, self._sinks)
