"""The budgets in force: those of code and settings, overlaid by what was set in the ledger."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

from llmcost_plugins.budgets import Budget, BudgetBook, BudgetKey
from llmcost_plugins.errors import LedgerUnavailable
from llmcost_plugins.ledger import Ledger

_LOOK_EVERY: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class InForce:
    """One budget, and where it comes from.

    Attributes:
        budget: the budget; `None` where the ledger says that its scope has none.
        key: its scope, period and unit.
        source: ``ledger``, ``code`` or ``settings``.
    """

    budget: Budget | None
    key: BudgetKey
    source: str


class Limits:
    """Which budgets hold now. A change in the ledger is seen by every process within a second.

    Args:
        ledger: where budgets are set while running.
        settings: budgets of environment and file.
        zone: the calendar of their periods.

    Raises:
        ConfigurationError: two of *settings* cover the same scope, period and unit.
    """

    def __init__(self, ledger: Ledger, settings: Iterable[Budget], zone: tzinfo) -> None:
        self._ledger = ledger
        self._zone = zone
        self._lock = threading.Lock()
        self._settings = {budget.key: budget for budget in BudgetBook(settings, zone).budgets}
        self._code: dict[BudgetKey, Budget] = {}
        self._set: dict[BudgetKey, Budget | None] = {}
        self._revision = 0
        self._look_at: datetime | None = None
        self._book = self._made()

    @property
    def zone(self) -> tzinfo:
        """The calendar of the periods."""
        return self._zone

    @property
    def own(self) -> tuple[Budget, ...]:
        """The budgets of this process: those of the settings and of code, not the ledger's."""
        with self._lock:
            return tuple({**self._settings, **self._code}.values())

    def add(self, budget: Budget) -> None:
        """Set a budget for this process; it wins over one of the settings that covers the same."""
        with self._lock:
            self._code[budget.key] = budget
            self._book = self._made()

    def book(self, now: datetime) -> BudgetBook:
        """Return the budgets in force; looks into the ledger once a second at most."""
        due = self._look_at is None or not self._look_at - _LOOK_EVERY <= now < self._look_at
        if due:
            self._look(now)
        return self._book

    def in_force(self, now: datetime) -> list[InForce]:
        """Return every budget with its source, for people."""
        self._look(now)
        found = [InForce(budget, key, "ledger") for key, budget in self._set.items()]
        for source, budgets in (("code", self._code), ("settings", self._settings)):
            seen = {one.key for one in found}
            found += [InForce(b, key, source) for key, b in budgets.items() if key not in seen]
        return sorted(found, key=lambda one: one.key)

    def look_again(self) -> None:
        """Make the next question look into the ledger."""
        self._look_at = None

    def _look(self, now: datetime) -> None:
        with self._lock:
            self._look_at = now + _LOOK_EVERY
            try:
                if not self._ledger.exists():
                    return  # a question does not make a ledger where there is none
                revision = self._ledger.revision()
                if revision != self._revision:
                    self._set, self._revision = self._ledger.budgets(), revision
                    self._book = self._made()
            except LedgerUnavailable:
                return  # the hold that follows says so

    def _made(self) -> BudgetBook:
        merged: dict[BudgetKey, Budget | None] = {**self._settings, **self._code, **self._set}
        return BudgetBook([budget for budget in merged.values() if budget], self._zone)
