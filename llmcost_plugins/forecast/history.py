"""What each day has brought, out of the sums that the ledger keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from itertools import dropwhile
from typing import Final

from llmcost_plugins.budgets import Unit
from llmcost_plugins.ledger import NO_CALL, Ledger, Status
from llmcost_plugins.ledger.slots import SLOT, micros
from llmcost_plugins.periods import Period, Window, window
from llmcost_plugins.usage import METERS

LOOK_BACK: Final = 90
"""How many complete days a forecast looks at."""
_WITHIN_DAYS: Final = 28
_ENOUGH_DAYS: Final = 7
_PERSONS: Final = frozenset({"user", "session"})
_DAY: Final = 24 * 60 * 60 * 1_000_000

Group = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Past:
    """What one group has brought, by the day.

    Attributes:
        days: complete days from the first that brought anything, oldest first, without a gap.
        first_weekday: the weekday of the first one, Monday is 0.
        today: what has come of the day that runs.
    """

    days: tuple[int, ...]
    first_weekday: int
    today: int


class History:
    """The last `LOOK_BACK` days of the ledger by some fields. Asks for a day at a time.

    A day at a time, because the ledger then adds up and gives back one sum for each group, where
    asking for half hours would bring 4,320 of them.

    Args:
        ledger: where to ask.
        by: some of `GROUPS`.
        now: the current instant.
        zone: whose days. Where midnight is within a half hour, they begin with that half hour.
    """

    def __init__(self, ledger: Ledger, by: Sequence[str], now: datetime, zone: tzinfo) -> None:
        today = now.astimezone(zone).date()
        self.first = today - timedelta(days=LOOK_BACK)
        self._weekday = self.first.weekday()
        self._counts: dict[Group, list[dict[Unit, int]]] = {}
        spans = [day_window(self.first + timedelta(days=n), zone) for n in range(LOOK_BACK + 1)]
        if not _PERSONS.isdisjoint(by) and any(_parts_a_slot(span) for span in spans):
            # The sums of persons are of whole days, which nobody can ask for by half hours.
            self._read(ledger, by, spans, zone)
            return
        for place, span in enumerate(spans):
            for total in ledger.totals([*by, "status"], since=span.start, until=span.end):
                tokens = total.prompt_tokens + total.completion_tokens
                *group, status = total.group
                self._add(place, tuple(group), Status(status), total.cost, tokens, total.calls)

    def groups(self) -> list[Group]:
        """Return the groups that have brought anything."""
        return list(self._counts)

    def past(self, unit: Unit, group: Group | None = None) -> Past:
        """Return what a group has brought; without one, all of them together."""
        days = [0] * (LOOK_BACK + 1)
        chosen = self._counts.values() if group is None else [self._counts.get(group, ())]
        for counts in chosen:
            for place, count in enumerate(counts):
                days[place] += count.get(unit, 0)
        *before, today = days
        known = tuple(dropwhile(lambda count: count <= 0, before))
        first = self._weekday + LOOK_BACK - len(known)
        # A day with more corrections than spending is below zero, and means nothing here.
        return Past(tuple(max(0, count) for count in known), first % 7, today)

    def expected_from(self, unit: Unit, group: Group | None = None) -> Past:
        """Return what `past` does; of calls that cost nothing at all, as many days of zero."""
        past = self.past(unit, group)
        if past.days:
            return past
        chosen = self._counts.values() if group is None else [self._counts.get(group, ())]
        first = min(
            (place for rows in chosen for place, row in enumerate(rows) if row), default=LOOK_BACK
        )
        days = (0,) * (LOOK_BACK - min(first, LOOK_BACK))
        return Past(days, (self._weekday + LOOK_BACK - len(days)) % 7, past.today)

    def _read(
        self, ledger: Ledger, by: Sequence[str], spans: Sequence[Window], zone: tzinfo
    ) -> None:
        for one in ledger.used(since=spans[0].start, until=spans[-1].end):
            group = tuple(one.labels.values.get(field, "") for field in by)
            place = (one.at.astimezone(zone).date() - self.first).days
            tokens = sum(int(one.counts.get(meter, 0)) for meter in METERS)
            calls = 0 if one.status in NO_CALL else 1
            self._add(place, group, one.status, one.cost, tokens, calls)

    def _add(  # noqa: PLR0913, PLR0917 - what a line adds
        self, place: int, group: Group, status: Status, cost: int, tokens: int, calls: int
    ) -> None:
        rows = self._counts.setdefault(group, [{} for _ in range(LOOK_BACK + 1)])
        counts = rows[place] or dict.fromkeys(Unit, 0)
        counts[Unit.USD] += cost
        if status is not Status.CACHED:  # what a cache has answered counts in no budget
            counts[Unit.TOKENS] += tokens
            counts[Unit.REQUESTS] += 0 if status in NO_CALL else calls
        rows[place] = counts


def _parts_a_slot(span: Window) -> bool:
    """Tell whether a day begins within a half hour, as in Kathmandu (UTC+5:45)."""
    return span.start is not None and micros(span.start) % SLOT != 0


def day_window(day: date, zone: tzinfo) -> Window:
    """Return the span of a day of the calendar."""
    return window(Period.DAY, datetime(day.year, day.month, day.day, 12, tzinfo=zone), zone)


def share_left_today(ledger: Ledger, now: datetime, zone: tzinfo) -> float:
    """Return the part of a day's spending that comes after this time of day.

    By the half hours of the last four weeks, of all calls together; with less than a week of them,
    the part of the day that is left.
    """
    today = window(Period.DAY, now, zone)
    assert today.start is not None  # noqa: S101 - a day has ends
    assert today.end is not None  # noqa: S101
    uniform = (today.end - now) / (today.end - today.start)
    since = day_window(today.start.astimezone(zone).date() - timedelta(days=_WITHIN_DAYS), zone)
    at = _time_of_day(now, zone)
    after = whole = 0.0
    seen = set()
    for total in ledger.totals(["slot"], since=since.start, until=today.start):
        slot = datetime.fromisoformat(total.group[0])
        seen.add(slot.astimezone(zone).date())
        whole += total.cost
        # Of the half hour that contains this time of day, the part that is behind it.
        after += total.cost * min(1.0, max(0.0, (_time_of_day(slot, zone) + SLOT - at) / SLOT))
    return after / whole if whole > 0 and len(seen) >= _ENOUGH_DAYS else uniform


def _time_of_day(instant: datetime, zone: tzinfo) -> int:
    offset = instant.astimezone(zone).utcoffset() or timedelta(0)
    return (micros(instant) + offset // timedelta(microseconds=1)) % _DAY
