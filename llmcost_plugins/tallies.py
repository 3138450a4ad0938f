"""Sums by group, out of sums that the ledger keeps and out of entries."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime, tzinfo
from itertools import product
from typing import Final

from llmcost_plugins.ledger import NO_CALL, Entry, Status, Total
from llmcost_plugins.ledger.rules import sums_of
from llmcost_plugins.reports import Details, ReportRow, row_of

LABEL: Final = "label."
_IN_ORDER: Final = frozenset({"day", "hour"})


@dataclass(slots=True)
class _Sums:
    counts: list[int] = field(default_factory=lambda: [0] * 10)
    meters: Counter[str] = field(default_factory=Counter)
    fell_back: int = 0

    def add(self, counts: Sequence[int]) -> None:
        self.counts = [one + other for one, other in zip(self.counts, counts, strict=True)]

    def look_into(self, entry: Entry) -> None:
        outcome = entry.outcome
        self.meters.update(outcome.usage.counts())
        self.fell_back += bool(outcome.preferred_model) and outcome.status not in NO_CALL


class Tally:
    """What is summed for one report: by group, and all calls once.

    Args:
        by: the groups, see `CostReporter.report`.
        zone: whose days and hours.
        detailed: whether to sum what only entries tell, too.
    """

    def __init__(self, by: Sequence[str], zone: tzinfo, *, detailed: bool = False) -> None:
        self._by = by
        self._zone = zone
        self._detailed = detailed
        self._groups: dict[tuple[str, ...], _Sums] = {}
        self._total = _Sums()

    def add_total(self, total: Total) -> None:
        """Add sums that the ledger keeps; days and hours are slots there."""
        counts = astuple(total)[1:]
        if not any(counts):
            return  # without groups there is a line of zeros, too
        group = tuple(
            self._moment(name, datetime.fromisoformat(value)) if name in _IN_ORDER else value
            for name, value in zip(self._by, total.group, strict=True)
        )
        for sums in (self._of(group), self._total):
            sums.add(counts)

    def add_entry(self, entry: Entry) -> None:
        """Add an entry: to each group that it is in, and once to the total."""
        counts = _counts(entry)
        for sums in (*map(self._of, self._groups_of(entry)), self._total):
            sums.add(counts)
            if self._detailed:
                sums.look_into(entry)

    def rows(self) -> list[ReportRow]:
        """Return a row for each group: days and hours in order, all else dearest first."""
        rows = [self._row(group, sums) for group, sums in self._groups.items()]
        if _IN_ORDER.intersection(self._by):
            return sorted(rows, key=lambda row: row.group)
        return sorted(rows, key=lambda row: (-row.cost, -row.saved, row.group))

    def total(self) -> ReportRow:
        """Return the sums of all."""
        return self._row((), self._total)

    def _of(self, group: tuple[str, ...]) -> _Sums:
        return self._groups.setdefault(group, _Sums())

    def _row(self, group: tuple[str, ...], sums: _Sums) -> ReportRow:
        details = Details(dict(sums.meters), sums.fell_back) if self._detailed else None
        return row_of(Total(group, *sums.counts), details)

    def _groups_of(self, entry: Entry) -> Iterator[tuple[str, ...]]:
        return product(*(self._values(entry, one) for one in self._by))

    def _values(self, entry: Entry, by: str) -> Sequence[str]:
        call = entry.call
        if by == "tag":
            return tuple(dict.fromkeys(call.labels.tags)) or ("",)
        if by in _IN_ORDER:
            return (self._moment(by, call.at),)
        if by == "model":
            return (call.model,)
        if by == "provider":
            return (call.provider,)
        if by == "status":
            return (entry.outcome.status.value,)
        return (call.labels.values.get(by.removeprefix(LABEL), ""),)

    def _moment(self, by: str, at: datetime) -> str:
        if by == "hour":
            return hour_key(at, self._zone)
        return at.astimezone(self._zone).date().isoformat()


def hour_key(at: datetime, zone: tzinfo) -> str:
    """Return how a report names the hour of an instant; the one that comes twice by its offset."""
    return f"{at.astimezone(zone):%Y-%m-%dT%H:00%z}"


def _counts(entry: Entry) -> tuple[int, ...]:
    status, (_, *sums) = entry.outcome.status, sums_of(entry.outcome)
    refused = entry.count if status is Status.REFUSED else 0
    return (int(status not in NO_CALL), refused, int(status is Status.CACHED), *sums)
