from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from llmcost_plugins.page.timeline import timeline
from tests.unit.page.pages import NOW, Book


def marks(book: Book, period: str, now: datetime = NOW) -> list[str]:
    axis = timeline(book.overview(period, now))
    return [axis.unit, *(step.mark for step in axis.steps)]


def test_a_running_month_has_every_day_up_to_now_with_calls_or_without() -> None:
    book = Book()
    book.add(NOW - timedelta(days=3), 1)
    assert marks(book, "month") == ["day", *(f"Mar {day}" for day in range(1, 11))]


def test_a_month_that_is_over_has_all_its_days() -> None:
    assert len(marks(Book(), "2026-02")) == 1 + 28


def test_a_day_has_its_hours() -> None:
    assert marks(Book(), "day") == ["hour", *(f"{hour:02}:00" for hour in range(13))]


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_day_on_which_the_clocks_change_has_its_own_number_of_hours(day: str, hours: int) -> None:
    book = Book(ZoneInfo("Europe/Berlin"))
    assert len(marks(book, day, NOW + timedelta(days=300))) == 1 + hours


def test_an_hour_of_a_zone_that_is_half_an_hour_off_is_there_once() -> None:
    found = marks(Book(ZoneInfo("Asia/Kolkata")), "2026-03-01")
    assert found == ["hour", *(f"{hour:02}:00" for hour in range(24))]


@pytest.mark.parametrize(
    ("ago", "unit", "steps"),
    [(1, "day", 2), (200, "week", 30), (1000, "month", 34), (8000, "year", 23)],
)
def test_the_longer_the_past_the_longer_the_steps(ago: int, unit: str, steps: int) -> None:
    book = Book()
    book.add(NOW - timedelta(days=ago), 1)
    found = marks(book, "total")
    assert found[0] == unit
    assert len(found) == 1 + steps


@pytest.mark.parametrize("ago", [0, 1, 200, 1000, 8000])
def test_each_call_is_in_a_step(ago: int) -> None:
    book = Book()
    book.add(NOW - timedelta(days=ago), 1)
    book.add(NOW + timedelta(days=2), 1)  # of a machine whose clock is ahead
    found = book.overview("total")
    axis = timeline(found)
    known = {step.key for step in axis.steps}
    assert {axis.key_of(row.group[0]) for row in found.times.rows} <= known


def test_a_span_of_a_thousand_years_begins_with_its_first_call() -> None:
    book = Book()
    book.add(NOW, 1)
    found = book.overview("total")
    since = datetime(1026, 1, 1, tzinfo=UTC)
    from llmcost_plugins.overview import overview
    from llmcost_plugins.reporter import CostReporter

    reporter = CostReporter(book.ledger, UTC)
    found = overview(reporter, reporter.between(since, None, now=NOW), now=NOW)
    assert [step.mark for step in timeline(found).steps] == ["Mar 10"]
