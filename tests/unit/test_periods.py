from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from llmcost_plugins.periods import Period, Window, window

BERLIN = ZoneInfo("Europe/Berlin")


def berlin(*date: int) -> datetime:
    return datetime(*date, tzinfo=BERLIN)  # type: ignore[misc, arg-type]  # year, month, day, …


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        (Period.HOUR, (2026, 5, 13, 14), (2026, 5, 13, 15)),
        (Period.DAY, (2026, 5, 13), (2026, 5, 14)),
        (Period.WEEK, (2026, 5, 11), (2026, 5, 18)),
        (Period.MONTH, (2026, 5, 1), (2026, 6, 1)),
        (Period.QUARTER, (2026, 4, 1), (2026, 7, 1)),
        (Period.YEAR, (2026, 1, 1), (2027, 1, 1)),
    ],
)
def test_periods_go_by_the_calendar_of_the_zone(
    period: Period, start: tuple[int, ...], end: tuple[int, ...]
) -> None:
    at = berlin(2026, 5, 13, 14, 35, 7, 9)
    expected = Window(berlin(*start).astimezone(UTC), berlin(*end).astimezone(UTC))
    for instant in (at, at.astimezone(UTC), at.astimezone(timezone(timedelta(hours=-9)))):
        assert window(period, instant, BERLIN) == expected


def test_the_same_instant_is_another_day_elsewhere() -> None:
    at = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    assert window(Period.YEAR, at, UTC).end == datetime(2027, 1, 1, tzinfo=UTC)
    assert window(Period.YEAR, at, BERLIN).start == berlin(2027, 1, 1)


def test_total_covers_all_time() -> None:
    span = window(Period.TOTAL, berlin(2026, 1, 1), BERLIN)
    assert span == Window(None, None)
    assert berlin(1970, 1, 1) in span


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25)])
def test_a_day_across_a_change_of_the_clock_is_shorter_or_longer(
    day: tuple[int, int, int], hours: int
) -> None:
    for hour in (0, 1, 4, 12, 23):
        span = window(Period.DAY, berlin(*day, hour), BERLIN)
        assert span.start is not None
        assert span.end is not None
        assert span.start == berlin(*day)
        assert span.end - span.start == timedelta(hours=hours)


def test_the_hour_that_the_clock_shows_twice_is_two_windows() -> None:
    first = berlin(2026, 10, 25, 2, 30)
    second = first.replace(fold=1)
    one, two = (window(Period.HOUR, at, BERLIN) for at in (first, second))
    assert one.start == datetime(2026, 10, 25, 0, tzinfo=UTC)
    assert one.end == two.start == datetime(2026, 10, 25, 1, tzinfo=UTC)
    assert two.end == datetime(2026, 10, 25, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "start", "end"),
    [
        ((2028, 2, 29), (2028, 2, 1), (2028, 3, 1)),
        ((2026, 12, 31), (2026, 12, 1), (2027, 1, 1)),
        ((2026, 1, 1), (2026, 1, 1), (2026, 2, 1)),
        ((2026, 1, 31), (2026, 1, 1), (2026, 2, 1)),
    ],
)
def test_months_end_where_the_next_one_starts(
    at: tuple[int, ...], start: tuple[int, ...], end: tuple[int, ...]
) -> None:
    assert window(Period.MONTH, berlin(*at, 23), BERLIN) == Window(berlin(*start), berlin(*end))


@pytest.mark.parametrize("month", range(1, 13))
def test_quarters_have_three_months(month: int) -> None:
    first = (month - 1) // 3 * 3 + 1
    span = window(Period.QUARTER, datetime(2026, month, 28, tzinfo=UTC), UTC)
    assert span.start == datetime(2026, first, 1, tzinfo=UTC)
    following = datetime(2027, 1, 1, tzinfo=UTC) if first == 10 else None
    assert span.end == (following or datetime(2026, first + 3, 1, tzinfo=UTC))


@pytest.mark.parametrize("day", range(4, 11))
def test_weeks_start_on_monday_even_across_a_year(day: int) -> None:
    at = datetime(2027, 1, 4, tzinfo=UTC) + timedelta(days=day - 4, hours=23)
    assert window(Period.WEEK, at, UTC).start == datetime(2027, 1, 4, tzinfo=UTC)
    assert window(Period.WEEK, datetime(2027, 1, 3, 23, tzinfo=UTC), UTC).start == datetime(
        2026, 12, 28, tzinfo=UTC
    )


def test_an_hour_starts_on_the_clock_of_a_zone_that_is_half_an_hour_off() -> None:
    span = window(Period.HOUR, datetime(2026, 5, 13, 14, 10, tzinfo=UTC), ZoneInfo("Asia/Kolkata"))
    assert span.start == datetime(2026, 5, 13, 13, 30, tzinfo=UTC)


def test_a_day_that_has_no_midnight_starts_with_its_first_instant() -> None:
    # In Beirut the clocks go from 24:00 to 1:00.
    span = window(Period.DAY, datetime(2026, 3, 29, 12, tzinfo=UTC), ZoneInfo("Asia/Beirut"))
    assert span.start == datetime(2026, 3, 28, 22, tzinfo=UTC)
    assert span.end == datetime(2026, 3, 29, 21, tzinfo=UTC)


@pytest.mark.parametrize("period", [p for p in Period if p is not Period.TOTAL])
def test_windows_touch_without_gap_or_overlap(period: Period) -> None:
    at = berlin(2026, 3, 28, 23, 59)
    for _ in range(30):
        span = window(period, at, BERLIN)
        assert span.start is not None
        assert span.end is not None
        assert at in span
        assert span.end not in span
        following = window(period, span.end, BERLIN)
        assert following.start == span.end
        at = span.end
