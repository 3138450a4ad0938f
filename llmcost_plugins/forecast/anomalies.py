"""Days that are out of the ordinary: many more calls than usual, or dearer ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from statistics import median
from typing import Final

from llmcost_plugins.budgets import Unit
from llmcost_plugins.forecast.bands import back_test
from llmcost_plugins.forecast.daily import TWO_WEEKS, expect
from llmcost_plugins.forecast.history import History, Past
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.money import NANO_PER_USD, format_usd, nano_to_usd, usd_to_nano

LEAST: Final = NANO_PER_USD
"""What an anomaly must have cost beyond the usual, in nano-dollars."""
_KNOWN_DAYS: Final = 4 * 7
_FEWEST_CALLS: Final = 20
_TAIL: Final = 0.01
_AT_LEAST: Final = 1.5
_JUMP: Final = 1.5


class Unusual(StrEnum):
    """What is out of the ordinary."""

    VOLUME = "volume"
    """More calls today than on 99 of 100 such days."""
    UNIT_COST = "unit cost"
    """A call costs half as much again as usual, or more."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something out of the ordinary today.

    Attributes:
        kind: what.
        model: of which model; empty for the calls of all.
        day: the day.
        now: how many calls there are today, or what one costs in USD.
        usual: the most calls of an ordinary day like this, or what one usually costs in USD.
        extra: what that has cost beyond the usual, in USD.
        spent: what the model has spent today, in USD.
    """

    kind: Unusual
    model: str
    day: date
    now: Decimal
    usual: Decimal
    extra: Decimal
    spent: Decimal

    def __str__(self) -> str:
        """Say it in one line."""
        whose = f"calls to {self.model!r}" if self.model else "calls"
        cost = f"{format_usd(usd_to_nano(self.extra))} more than usual"
        if self.kind is Unusual.VOLUME:
            return f"{self.now:,} {whose} today, ordinary are at most {self.usual:,}: {cost}"
        now, usual = (format_usd(usd_to_nano(one)) for one in (self.now, self.usual))
        return f"{whose} cost {now} each today, usually {usual}: {cost}"


def find_anomalies(ledger: Ledger, now: datetime, zone: tzinfo) -> list[Anomaly]:
    """Return what is out of the ordinary today: of all calls, and of each model.

    A day that runs is judged by what has come of it so far, so never for having too little. Nothing
    is said of what is known for less than four weeks (volume) or two weeks (unit cost).

    Raises:
        LedgerUnavailable: the ledger cannot be read.
    """
    history = History(ledger, ["model"], now, zone)
    day = now.astimezone(zone).date()
    found: list[Anomaly] = []
    for group in (None, *sorted(history.groups())):
        calls, cost = (history.past(unit, group) for unit in (Unit.REQUESTS, Unit.USD))
        model = group[0] if group else ""
        found += _volume(calls, cost, model, day)
        if model:  # of all calls together, another mix of models is no dearer call
            found += _unit_cost(calls, cost, model, day)
    return found


def _volume(calls: Past, cost: Past, model: str, day: date) -> Iterator[Anomaly]:
    if len(calls.days) < _KNOWN_DAYS or calls.today < _FEWEST_CALLS:
        return
    (expected,) = expect(calls.days, calls.first_weekday, 1)
    ratios = sorted(back_test(calls.days, calls.first_weekday, [1.0]))
    if not ratios or expected <= 0:
        return
    rank = min(len(ratios), int((1 - _TAIL) * (len(ratios) + 1)) + 1)
    most = int(expected * max(ratios[rank - 1], _AT_LEAST))
    if calls.today <= most:
        return
    extra = cost.today * (calls.today - most) // calls.today
    if extra >= LEAST:
        yield Anomaly(
            Unusual.VOLUME,
            model,
            day,
            Decimal(calls.today),
            Decimal(most),
            nano_to_usd(extra),
            nano_to_usd(cost.today),
        )


def _unit_cost(calls: Past, cost: Past, model: str, day: date) -> Iterator[Anomaly]:
    known = _unit_costs(calls.days, cost.days)[-2 * TWO_WEEKS :]
    if len(known) < TWO_WEEKS or calls.today < _FEWEST_CALLS:
        return
    usual, now = int(median(known)), cost.today // calls.today
    extra = cost.today - usual * calls.today
    if now >= _JUMP * usual and extra >= LEAST:
        yield Anomaly(
            Unusual.UNIT_COST,
            model,
            day,
            nano_to_usd(now),
            nano_to_usd(usual),
            nano_to_usd(extra),
            nano_to_usd(cost.today),
        )


def _unit_costs(calls: Sequence[int], cost: Sequence[int]) -> list[int]:
    """Return what a call has cost on each day that had enough; the newest days are last in both."""
    count = min(len(calls), len(cost))
    pairs = zip(calls[len(calls) - count :], cost[len(cost) - count :], strict=True)
    return [spent // made for made, spent in pairs if made >= _FEWEST_CALLS]
