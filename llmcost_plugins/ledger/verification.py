"""Does a ledger agree with itself? Everything that is kept is computed again from the entries."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from llmcost_plugins.budgets import Unit
from llmcost_plugins.ledger.bucket_keys import REPRICED_MARK, may_be_dropped
from llmcost_plugins.ledger.database import SCHEMA_VERSION, load_sql
from llmcost_plugins.ledger.slots import FOREVER, SLOT, Days, from_micros
from llmcost_plugins.money import usd_string
from llmcost_plugins.periods import Period

_MORE_THAN_A_DAY: Final = timedelta(hours=26)
_BY_SLOT: Final = ("slot", "model", "provider", "feature", "team", "project", "status")
_BY_PERSON: Final = ("slot", "user", "session", "status")
_SUMS: Final = {
    "calls": "calls",
    "cost": "USD",
    "saved": "USD saved",
    "fallback_saved": "USD saved by fallback",
    "prompt_tokens": "prompt tokens",
    "completion_tokens": "completion tokens",
    "inexact": "inexact",
    "unpriced": "unpriced",
}
_MONEY: Final = frozenset({"cost", "saved", "fallback_saved"})


@dataclass(frozen=True, slots=True)
class Difference:
    """Something in a ledger that is not as it must be, in words for people.

    Attributes:
        what: the thing, such as what was spent in a bucket.
        expected: how it must be by the entries.
        found: how it is.
    """

    what: str
    expected: str
    found: str


def find_differences(
    db: sqlite3.Connection, sql: Mapping[str, str], days: Days
) -> list[Difference]:
    """Check the whole ledger as *db* sees it, in one consistent read.

    A damaged file, or text that is no JSON, leaves nothing to compute with: what stands on it is
    not looked at then. *db* is good for one check.
    """
    check = _Check(db, sql, days)
    # Apart, since the write-ahead log grows for as long as one read lasts.
    if damage := list(check.file()):
        return damage
    db.execute("BEGIN")
    try:
        return (
            list(check.objects())
            or list(check.texts())
            or [*check.calls(), *check.buckets(), *check.sums()]
        )
    finally:
        db.execute("COMMIT")


class _Check:
    def __init__(self, db: sqlite3.Connection, sql: Mapping[str, str], days: Days) -> None:
        self._db = db
        self._sql = sql
        self._days = days

    def _rows(self, name: str, **facts: object) -> list[tuple[Any, ...]]:
        return self._db.execute(self._sql[name], facts).fetchall()

    def file(self) -> Iterator[Difference]:
        for (line,) in self._db.execute("PRAGMA quick_check"):
            if line != "ok":
                yield Difference("the file", "sound", line)

    def objects(self) -> Iterator[Difference]:
        """Compare tables, views and indexes with those of a new ledger, by name and columns."""
        with closing(sqlite3.connect(":memory:")) as new:
            new.executescript(load_sql("schema.sql"))
            expected = _by_name(new.execute(self._sql["objects"]))
        found = _by_name(self._rows("objects"))
        for kind, name in sorted(expected.keys() | found.keys()):
            known, there = expected.get((kind, name)), found.get((kind, name))
            if known != there:
                what = f"the {kind} {name!r} of schema {SCHEMA_VERSION}"
                yield Difference(what, _shape(known), _shape(there))

    def texts(self) -> Iterator[Difference]:
        for kind, call_id in self._rows("unreadable"):
            yield Difference(f"the {kind} of the call {call_id!r}", "JSON", "text that is no JSON")

    def calls(self) -> Iterator[Difference]:
        for call_id, count in self._rows("twice"):
            yield Difference(f"the call {call_id!r}", "one entry", f"{count} entries")
        since = self._purged()
        for (call_id,) in self._rows("orphans", since=since, mark=REPRICED_MARK):
            yield Difference(f"the correction {call_id!r}", "an entry that it corrects", "none")
        for (call_id,) in self._rows("held_and_written"):
            yield Difference(f"the call {call_id!r}", "a hold or an entry", "both")

    def buckets(self) -> Iterator[Difference]:
        charged = dict(self._rows("charged"))
        held = {key: (amount, calls) for key, amount, calls in self._rows("held")}
        for key, scope, period, starts, unit, filled, *state in self._rows("all_buckets"):
            in_hold, calls = held.pop(key, (0, 0))
            expected = (filled + charged.pop(key, 0), in_hold, calls)
            name = f"the bucket {scope!r}{_when(period, starts)}"
            names = ("spent", "held", "calls in flight")
            for word, must, is_ in zip(names, expected, state, strict=True):
                if must != is_:
                    shown = str if word == "calls in flight" else _amount(unit)
                    yield Difference(f"{word} in {name}", shown(must), shown(is_))
        missing = {key for key in charged if not may_be_dropped(key)}
        for key in sorted(missing | held.keys()):
            yield Difference(f"the bucket {key!r}, which calls were charged to", "there", "missing")

    def sums(self) -> Iterator[Difference]:
        """Compare the sums from the purge on: of older ones the entries are gone."""
        since = self._purged()
        slot = since + -since % SLOT
        yield from self._sums_in("totals", _BY_SLOT, "half_hour_of", slot)
        self._tell_days()
        day = -FOREVER if since == -FOREVER else self._first_day(since)
        yield from self._sums_in("totals_by_person", _BY_PERSON, "day_of", day)

    def _purged(self) -> int:
        rows = self._rows("purged_before")
        return rows[0][0] if rows else -FOREVER

    def _first_day(self, since: int) -> int:
        start = self._days.start_of(from_micros(since))
        return start if start == since else self._day_after(start)

    def _day_after(self, start: int) -> int:
        return self._days.start_of(from_micros(start) + _MORE_THAN_A_DAY)

    def _tell_days(self) -> None:
        """Write down when each day begins: a function of ours would fight for Python's lock."""
        self._db.execute(self._sql["make_days"])
        ((first, last),) = self._rows("span")
        if first is not None:
            starts = [self._days.start_of(from_micros(first))]
            while starts[-1] <= last:
                starts.append(self._day_after(starts[-1]))
            self._db.execute(self._sql["add_days"], (json.dumps(starts),))

    def _sums_in(
        self, table: str, by: tuple[str, ...], slot: str, since: int
    ) -> Iterator[Difference]:
        # All names in these statements are ours.
        groups = ", ".join(by)
        lines = self._sql["lines"].format(slot=self._sql[slot], source="entries")
        query = self._sql["sums_off"].format(groups=groups, lines=lines, table=table)
        marks = ", ".join("?" * len(by))
        kept = self._sql["sums_kept"].format(table=table, groups=groups, marks=marks)
        for row in self._db.execute(query, {"since": since}).fetchall():
            group, off = row[: len(by)], row[len(by) :]
            found = self._db.execute(kept, group).fetchone() or (0,) * len(off)
            expected = tuple(is_ + more for is_, more in zip(found, off, strict=True))
            what = f"the sums in {table} of {_group(by, group)}"
            yield Difference(what, _words(expected, off), _words(found, off))


def _by_name(rows: Iterable[tuple[str, str, str | None]]) -> dict[tuple[str, str], str]:
    return {(kind, name): columns or "" for kind, name, columns in rows}


def _shape(columns: str | None) -> str:
    if columns is None:
        return "missing"
    return f"the columns {columns}" if columns else "there"


def _when(period: str, starts: int | None) -> str:
    if period == Period.TOTAL or starts is None:
        return ""
    return f" per {period} from {from_micros(starts).isoformat()}"


def _amount(unit: str) -> Callable[[int], str]:
    if unit == Unit.USD:
        return lambda count: f"{usd_string(count)} USD"
    return lambda count: f"{count} {unit}"


def _group(by: tuple[str, ...], group: tuple[Any, ...]) -> str:
    named = [f"{key} {value!r}" for key, value in zip(by[1:], group[1:], strict=True) if value]
    return ", ".join([*named, f"from {from_micros(group[0]).isoformat()}"])


def _words(sums: tuple[int, ...], off: tuple[int, ...]) -> str:
    """Write those sums that are off."""
    words = []
    for (name, unit), value, more in zip(_SUMS.items(), sums, off, strict=True):
        if more:
            words.append(f"{usd_string(value) if name in _MONEY else value} {unit}")
    return ", ".join(words)
