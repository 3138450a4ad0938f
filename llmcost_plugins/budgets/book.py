"""The budgets in force, and the buckets that a call touches."""

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from typing import Final

from llmcost_plugins.budgets.amounts import Unit
from llmcost_plugins.budgets.bucket import Bucket
from llmcost_plugins.budgets.budget import Budget, BudgetKey
from llmcost_plugins.budgets.scopes import ANY, parse_scope, write_scope
from llmcost_plugins.budgets.subjects import Subject, value_of
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.periods import Window, window

_BUCKETS_KEPT: Final = 4096


class BudgetBook:
    """The budgets in force, ready to be asked which buckets a call touches.

    Attributes:
        budgets: the budgets.
        label_keys: the label keys that some budget looks at.
        degrades: whether some budget makes routers prefer cheaper models before its limit is
            reached.

    Raises:
        ConfigurationError: two budgets cover the same scope and period.
    """

    def __init__(self, budgets: Iterable[Budget], zone: tzinfo = UTC) -> None:
        self.budgets = tuple(budgets)
        self._covers = [_Cover(budget, zone) for budget in self.budgets]
        keys = {key for cover in self._covers for key, _ in cover.parts}
        self.label_keys = frozenset(keys - {"global", "run", "block", "model", "provider"})
        self.degrades = any(budget.degrade_at is not None for budget in self.budgets)
        seen: set[BudgetKey] = set()
        for budget in self.budgets:
            if budget.key in seen:
                msg = (
                    f"two budgets cover the scope {budget.scope!r} per {budget.per.value} in "
                    f"{budget.unit}; keep one of them"
                )
                raise ConfigurationError(msg)
            seen.add(budget.key)

    def buckets(self, subject: Subject, at: datetime) -> list[Bucket]:
        """Return the bucket of every budget that covers a call made at the instant *at*."""
        found = [cover.bucket(subject, at) for cover in self._covers]
        return [bucket for bucket in found if bucket is not None]


class _Cover:
    """One budget with the buckets it has had in the current period, by the values of its scope."""

    __slots__ = ("_budget", "_keys", "_period", "_wanted", "_zone", "parts")

    def __init__(self, budget: Budget, zone: tzinfo) -> None:
        self._budget = budget
        self._zone = zone
        self.parts = parse_scope(budget.scope)
        asked = [(key, wanted) for key, wanted in self.parts if key != "global"]
        self._keys = tuple(key for key, _ in asked)
        self._wanted = tuple("" if wanted == ANY else wanted for _, wanted in asked)
        # One attribute: a call of the old period and one of the new may come from two threads.
        self._period: tuple[Window, dict[tuple[str, ...], Bucket]] | None = None

    def bucket(self, subject: Subject, at: datetime) -> Bucket | None:
        """Return the bucket of a call; `None` when the budget does not cover it."""
        values = []
        for key, wanted in zip(self._keys, self._wanted, strict=True):
            value = value_of(key, subject)
            if value is None or (wanted and value != wanted):
                return None
            values.append(value)
        period = self._period
        if period is None or at not in period[0]:
            period = self._period = (window(self._budget.per, at, self._zone), {})
        span, known = period
        bucket = known.get(tuple(values))
        if bucket is None:
            bucket = self._made(span, values)
            if len(known) >= _BUCKETS_KEPT:
                known.clear()
            known[tuple(values)] = bucket
        return bucket

    def _made(self, span: Window, values: list[str]) -> Bucket:
        budget = self._budget
        match = dict(zip(self._keys, values, strict=True))
        begins = span.start.isoformat() if span.start else ""
        unit = () if budget.unit is Unit.USD else (budget.unit,)
        return Bucket(
            key=_join_key((budget.scope, budget.per, begins, *values, *unit)),
            scope=write_scope(match.items()) or budget.scope,
            limit=budget.limit_count,
            starts_at=span.start,
            resets_at=span.end,
            match=match,
            budget=budget,
            unit=budget.unit,
        )


def _join_key(parts: Iterable[str]) -> str:
    """Join to a key that no other parts are joined to."""
    return "|".join([part.replace("\\", "\\\\").replace("|", "\\|") for part in parts])
