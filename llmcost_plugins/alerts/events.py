"""What somebody should be told of: a threshold reached, a limit passed, an unusual day."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from llmcost_plugins.budgets import Unit
from llmcost_plugins.money import format_count

_log: Final = logging.getLogger("llmcost_plugins")


class Kind(StrEnum):
    """What has happened."""

    THRESHOLD = "threshold"
    """A bucket has reached a part of its limit; told once for all processes."""
    OVER_LIMIT = "over_limit"
    """A call that does not fit goes on, because its budget only warns or nothing is enforced."""
    OVERDRAFT = "overdraft"
    """The provider has billed more than was held, and the limit is passed by it."""
    PROJECTED = "projected"
    """As it went so far, the period will end above a part of the limit; told once for all."""
    BURN_RATE = "burn_rate"
    """A bucket is being spent many times faster than it lasts; told once a period for all."""
    ANOMALY = "anomaly"
    """Many more calls than usual, or much dearer ones, today; told once a day for all."""


@dataclass(frozen=True, slots=True)
class BudgetEvent:
    """Something that concerns a budget, or for `Kind.ANOMALY` a day.

    Counts are nano-dollars, tokens or requests, see *unit*.

    Attributes:
        kind: what has happened.
        scope: the scope with its value, e.g. ``user:u1``.
        period: the budget's period, ``run`` or ``block``.
        unit: what the budget counts.
        limit: the limit; for an anomaly, what is usual.
        spent: what is spent; for an anomaly, today.
        at: when.
        threshold: the part of the limit that was reached, for that kind.
        model: the model of the call that did it; empty for a projection.
        projected: where the period will end as it went so far, for that kind.
        words: what is unusual, for a burn rate and an anomaly.
    """

    kind: Kind
    scope: str
    period: str
    unit: Unit
    limit: int
    spent: int
    at: datetime
    threshold: Decimal | None = None
    model: str = ""
    projected: int | None = None
    words: str = ""

    def __str__(self) -> str:
        """Say it in one line."""
        if self.kind is Kind.ANOMALY:
            return f"out of the ordinary: {self.words}"
        spent, limit = format_count(self.spent, self.unit), format_count(self.limit, self.unit)
        what = f"budget {self.scope!r} per {self.period}"
        if self.kind is Kind.THRESHOLD:
            return f"{what} has reached {self.threshold:.0%}: {spent} of {limit} spent"
        if self.kind is Kind.PROJECTED:
            end = format_count(self.projected or 0, self.unit)
            return f"{what} is on the way to {end} of {limit}: {spent} spent so far"
        if self.kind is Kind.BURN_RATE:
            return f"{what} is being spent {self.words}: {spent} of {limit} spent"
        if self.kind is Kind.OVERDRAFT:
            return f"{what} is overdrawn: {spent} of {limit} spent, by a call to {self.model!r}"
        # The call's hold does not fit: the limit itself need not be reached.
        call = f"a call to {self.model!r}, which goes on"
        return f"{what} does not pay for {call}: {spent} of {limit} spent"


Sink = Callable[[BudgetEvent], None]


def log_event(event: BudgetEvent) -> None:
    """Write an event to the log, as a warning."""
    _log.warning("%s", event)


def tell(event: BudgetEvent, sinks: Sequence[Sink]) -> None:
    """Hand an event to every sink; one that fails is logged and costs no call."""
    for sink in sinks:
        try:
            sink(event)
        except Exception:  # noqa: BLE001 - someone else's code, in the middle of a call
            _log.exception("a sink of budget events has failed on: %s", event)
