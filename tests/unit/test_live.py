from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from llmcost_plugins import Budget
from llmcost_plugins.ledger import Ledger, Status
from llmcost_plugins.ledger.memory import MemoryLedger
from llmcost_plugins.limits import Limits
from llmcost_plugins.live import LiveWatch
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.usage import Usage
from tests.unit.page.pages import Book, nano
from tests.unit.trackers import MOST, make_tracker, spec

NOW = datetime(2026, 3, 10, 12, 20, tzinfo=UTC)


def look(
    ledger: Ledger, *budgets: Budget, now: datetime = NOW, zone: Any = UTC, most: int = 50
) -> Any:
    return LiveWatch(ledger, Limits(ledger, budgets, zone), zone, most=most).look(now)


def test_spend_is_told_of_each_of_the_last_24_hours() -> None:
    book = Book()
    for hours, usd in ((0, "1"), (1, "2"), (23, "3"), (24, "50")):
        book.add(NOW - timedelta(hours=hours), nano(usd))
    live = look(book.ledger)
    assert live.hours == (Decimal(3), *[Decimal(0)] * 21, Decimal(2), Decimal(1))
    assert live.hour.cost == 1
    assert live.day.cost == sum(live.hours) == 6
    assert live.day.calls == 3


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "Europe/Berlin"])
def test_the_hours_add_up_in_any_time_zone(zone: str) -> None:
    book = Book(ZoneInfo(zone))
    for minutes in range(0, 22 * 60, 25):
        book.add(NOW - timedelta(minutes=minutes), nano("1") + minutes)
    live = look(book.ledger, zone=ZoneInfo(zone))
    assert sum(live.hours) == live.day.cost
    assert live.day.calls == 53


def test_features_are_told_the_dearest_first() -> None:
    book = Book()
    book.add(NOW, 1, feature="cheap")
    book.add(NOW, 5, feature="dear")
    assert [row.group[0] for row in look(book.ledger).features] == ["dear", "cheap"]


@pytest.mark.parametrize("apart", [1, 60, 3600])
def test_the_last_calls_are_told_however_far_they_lie_apart(apart: int) -> None:
    book = Book()
    for number in range(20):
        book.add(NOW - timedelta(seconds=number * apart), number)
    found = look(book.ledger, most=5).calls
    assert [entry.outcome.cost for entry in found] == [0, 1, 2, 3, 4]


def test_a_call_by_a_clock_that_is_ahead_is_told_and_a_correction_is_no_call() -> None:
    book = Book()
    book.add(NOW + timedelta(minutes=3), 7)
    book.add(NOW, 8, status=Status.CORRECTION)
    assert [entry.outcome.cost for entry in look(book.ledger).calls] == [7]


def test_refusals_are_told_with_the_budget_that_refused() -> None:
    clock = FakeClock(NOW)
    tracker = make_tracker(MemoryLedger(), clock, Budget("global", Decimal(MOST) / 10**9, "day"))
    watching = LiveWatch(tracker.ledger, tracker.limits, UTC)
    tracker.start(spec())
    assert watching.look(NOW).refusals == ()
    from llmcost_plugins import BudgetExceeded

    for number in range(3):
        with pytest.raises(BudgetExceeded):
            tracker.start(spec())
        (refusal,) = watching.look(NOW).refusals
        assert refusal.outcome.detail == "budget global per day"
        assert refusal.count == number + 1
    assert watching.look(NOW).day.refused == 3
    tracker.close()


def test_budgets_are_told_the_most_used_first_and_nothing_is_written() -> None:
    clock = FakeClock(NOW)
    known = [Budget("global", 1, "day"), Budget("feature:*", "0.01", "day"), Budget("team:x", 1)]
    tracker = make_tracker(MemoryLedger(), clock, *known)
    tracker.start(spec())
    clock.advance(timedelta(hours=3))  # its lease has ended
    live = LiveWatch(tracker.ledger, tracker.limits, UTC).look(clock())
    assert [one.scope for one in live.budgets] == ["global", "feature:*", "team:x"]
    assert live.budgets[0].holds == 1
    assert list(tracker.ledger.entries()) == []
    tracker.close()


def test_a_look_reads_few_entries_of_many() -> None:
    book, read = Book(), count()
    for number in range(3000):
        book.add(NOW - timedelta(seconds=20 * number), 1)
    entries = book.ledger.entries

    class Counted(MemoryLedger):
        def entries(self, **span: Any) -> Any:
            for entry in entries(**span):
                next(read)
                yield entry

    counted = Counted()
    counted.__dict__.update(book.ledger.__dict__)
    assert len(look(counted, most=10).calls) == 10
    assert next(read) < 100


def test_of_no_ledger_nothing_is_told_and_none_is_made(tmp_path: Any) -> None:
    from llmcost_plugins.ledger import open_ledger

    path = tmp_path / "none.db"
    with open_ledger(f"sqlite:///{path}") as ledger:
        live = look(ledger, Budget("global", 1, "day"))
    assert (live.day.calls, live.calls, live.refusals) == (0, (), ())
    assert [one.scope for one in live.budgets] == ["global"]
    assert not path.exists()


def test_usage_of_a_call_is_told() -> None:
    book = Book()
    book.add(NOW, 1, usage=Usage(input=5, output=3))
    (call,) = look(book.ledger).calls
    assert call.outcome.usage == Usage(input=5, output=3)
