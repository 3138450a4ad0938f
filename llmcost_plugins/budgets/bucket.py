"""Buckets: the rows that money is counted in."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from llmcost_plugins.budgets.amounts import Unit
from llmcost_plugins.budgets.budget import Action, Budget
from llmcost_plugins.money import count_string


@dataclass(frozen=True, slots=True)
class Bucket:
    """One scope value in one period: the row that money is counted in.

    Attributes:
        key: its identity in the ledger.
        scope: the scope with its value, e.g. ``user:u1``.
        limit: nano-dollars, tokens or requests.
        starts_at: the start of the period in UTC; `None` when it covers all time.
        resets_at: its end, likewise.
        match: what an entry must have to belong here, e.g. ``{"user": "u1"}``.
        budget: the budget it comes from.
        unit: what it counts.
    """

    key: str
    scope: str
    limit: int
    starts_at: datetime | None
    resets_at: datetime | None
    match: Mapping[str, str]
    budget: Budget
    unit: Unit = Unit.USD

    @property
    def name(self) -> str:
        """Its scope and period as budgets are written, e.g. ``team:alpha/month``; or ``block``."""
        scope = self.scope.partition(":")[0] if "block" in self.match else self.scope
        return scope if self.budget.per == "total" else f"{scope}/{self.budget.per}"

    def amount(self, count: int) -> str:
        """Write what it counts as a plain number: USD, tokens or requests."""
        return count_string(count, self.unit)

    def softened(self) -> "Bucket":
        """Return the same bucket with a budget that only warns."""
        return replace(self, budget=_softened(self.budget))


@lru_cache(maxsize=1024)
def _softened(budget: Budget) -> Budget:
    return Budget(
        budget.scope,
        budget.limit if budget.unit is Unit.USD else int(budget.limit),
        budget.per,
        Action.WARN,
        unit=budget.unit,
        warn_at=budget.warn_at,
    )
