"""How buckets stand, for people."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from llmcost_plugins.budgets.amounts import Unit, amount_of
from llmcost_plugins.money import usd_to_nano
from llmcost_plugins.periods import Period


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """How a bucket stands. Amounts are USD, tokens or requests, see *unit*.

    Attributes:
        scope: the scope with its value.
        per: the period.
        limit: what may be spent; `None` when no budget of this process covers the bucket.
        spent: what has been settled.
        held: what is set aside for calls in flight.
        holds: how many calls those are.
        resets_at: the end of the period in UTC.
        unit: what is counted.
        projected: what will be spent by the end of the period if it goes on as in the period so
            far; `None` without an end, and in the first hundredth of the period, which tells
            nothing.
    """

    scope: str
    per: Period
    limit: Decimal | None
    spent: Decimal
    held: Decimal
    holds: int
    resets_at: datetime | None
    unit: Unit = Unit.USD
    projected: Decimal | None = None

    @property
    def left(self) -> Decimal | None:
        """What a new call can still be given; negative after an overdraft."""
        if self.limit is None:
            return None
        # Not by Decimal's minus, which rounds as the caller's context says.
        limit, spent, held = (self.count(one) for one in (self.limit, self.spent, self.held))
        return amount_of(limit - spent - held, self.unit)

    @property
    def used(self) -> Decimal:
        """The part of the limit that is spent and held; 1 without a limit, or with one of 0."""
        return (self.spent + self.held) / self.limit if self.limit else Decimal(1)

    def count(self, amount: Decimal) -> int:
        """Return an amount of this status as the ledger counts it: nano-dollars for USD."""
        return usd_to_nano(amount) if self.unit is Unit.USD else int(amount)
