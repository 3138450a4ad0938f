"""Budgets that are being spent much faster than they last: two rules of two windows each.

A rule speaks when both of its windows are above its factor: the long one says that it matters, the
short one that it still goes on, so that an alert does not come after the burst is over.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from llmcost_plugins.ledger import Entry, Ledger, Total
from llmcost_plugins.ledger.slots import SLOT, micros
from llmcost_plugins.money import NANO_PER_USD
from llmcost_plugins.periods import MICROSECOND, Period, Window

LEAST: Final = NANO_PER_USD
"""What the long window must have spent at least, in nano-dollars: cents at night wake nobody."""
LEAST_SHARE: Final = Fraction(1, 100)
"""The same as a part of the limit."""
_FIVE: Final = timedelta(minutes=5)
_HALF: Final = timedelta(minutes=30)
_HOUR: Final = timedelta(hours=1)


class BurnRule(NamedTuple):
    """When a budget counts as burning.

    Attributes:
        name: what it is called: ``fast`` or ``slow``.
        long: the window that says whether it matters.
        short: the window that says whether it goes on.
        factor: how many times faster than the limit lasts is too fast.
    """

    name: str
    long: timedelta
    short: timedelta
    factor: int


FAST: Final = BurnRule("fast", _HOUR, _FIVE, 14)
SLOW: Final = BurnRule("slow", 6 * _HOUR, _HALF, 6)
_OF_A_DAY: Final = (BurnRule("fast", _HOUR, _FIVE, 6), BurnRule("slow", 3 * _HOUR, _HALF, 3))
_LONGEST: Final = SLOW.long
_NO_RULE: Final = frozenset({Period.HOUR, Period.TOTAL})


@dataclass(frozen=True, slots=True)
class Burn:
    """A budget that burns.

    Attributes:
        rule: the rule that says so.
        spent: what the long window has spent, in nano-dollars.
        rate: how many times faster than the limit lasts.
    """

    rule: BurnRule
    spent: int
    rate: Decimal

    def __str__(self) -> str:
        """Say it in a few words."""
        hours = self.rule.long // _HOUR
        span = "the last hour" if hours == 1 else f"the last {hours} hours"
        return f"{self.rate} times as fast as it lasts in {span}"


def rules_of(period: Period) -> tuple[BurnRule, ...]:
    """Return the rules for a budget per *period*: of a day, others than of what lasts longer."""
    if period in _NO_RULE:
        return ()
    return _OF_A_DAY if period is Period.DAY else (FAST, SLOW)


def is_burning(rule: BurnRule, window: timedelta, spent: int, limit: int, span: Window) -> bool:
    """Tell whether a window that has spent so much is above the rule. Pure, in whole numbers."""
    if span.start is None or span.end is None:
        return False
    # spent / window >= factor * limit / length of the period
    length = (span.end - span.start) // MICROSECOND
    return spent * length >= rule.factor * limit * (window // MICROSECOND) and spent > 0


class Recent:
    """What the last hours have spent, by the labels that sums are kept of.

    Where a window begins within a half hour, of that half hour's sum as much as the window has of
    it; the five minutes are read from the entries.

    Args:
        ledger: where to look.
        now: the current instant.
    """

    def __init__(self, ledger: Ledger, now: datetime) -> None:
        self._ledger = ledger
        self._now = now
        self._slots: dict[tuple[str, ...], dict[tuple[str, ...], list[Total]]] = {}

    def burns(
        self, match: Mapping[str, str], period: Period, limit: int, span: Window
    ) -> list[Burn]:
        """Return by which rules the bucket of *match* burns."""
        found = []
        for rule in rules_of(period):
            spent = self._by_slots(match, rule.long)
            if spent < LEAST or spent < LEAST_SHARE * limit:
                continue
            if not is_burning(rule, rule.long, spent, limit, span):
                continue
            if is_burning(rule, rule.short, self._lately(match, rule.short), limit, span):
                found.append(Burn(rule, spent, _rate(spent, rule, limit, span)))
        return found

    def _lately(self, match: Mapping[str, str], window: timedelta) -> int:
        if window >= _HALF:
            return self._by_slots(match, window)
        entries = self._ledger.entries(since=self._now - window, until=self._now + MICROSECOND)
        return sum(one.outcome.cost for one in entries if _meets(one, match))

    def _by_slots(self, match: Mapping[str, str], window: timedelta) -> int:
        start, spent = micros(self._now - window), 0
        for total in self._totals(tuple(match)).get(tuple(match.values()), ()):
            slot = micros(datetime.fromisoformat(total.group[0]))
            inside = min(SLOT, slot + SLOT - start)
            spent += total.cost * inside // SLOT if inside > 0 else 0
        return spent

    def _totals(self, by: tuple[str, ...]) -> Mapping[tuple[str, ...], Iterable[Total]]:
        if by not in self._slots:
            groups: dict[tuple[str, ...], list[Total]] = defaultdict(list)
            for total in self._ledger.totals(["slot", *by], since=self._now - _LONGEST):
                groups[total.group[1:]].append(total)
            self._slots[by] = groups
        return self._slots[by]


def _rate(spent: int, rule: BurnRule, limit: int, span: Window) -> Decimal:
    assert span.start is not None  # noqa: S101 - it burns, so it has ends
    assert span.end is not None  # noqa: S101
    windows = (span.end - span.start) / rule.long
    return Decimal(f"{spent / limit * windows:.1f}")


def _meets(entry: Entry, match: Mapping[str, str]) -> bool:
    call = entry.call
    own = {"model": call.model, "provider": call.provider}
    return all(own.get(key, call.labels.values.get(key)) == value for key, value in match.items())
