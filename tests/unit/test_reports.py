from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from llmcost_plugins import ConfigurationError, Usage
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.reporter import CostReporter, named_window
from llmcost_plugins.testing import FakeClock
from tests.unit.trackers import NOON, make_tracker

GROUPINGS = ["model", "day", "hour", "user", "label.region", "status", "provider"]


def filled(ledger: Ledger, clock: FakeClock) -> Decimal:
    tracker = make_tracker(ledger, clock)
    for number in range(12):
        tracker.record_usage(
            ("gpt-4o", "gpt-4o-mini")[number % 2],
            Usage(input=100 + number, output=number),
            at=NOON - timedelta(hours=7 * number),
            user=f"u{number % 3}",
            region="eu" if number % 4 else None,
            tags=["a", "b"][: number % 3],
        )
    return sum((Decimal(e.outcome.cost) for e in ledger.entries()), Decimal(0)) / 10**9


@pytest.mark.parametrize("by", GROUPINGS)
def test_the_rows_of_every_grouping_sum_to_the_entries(
    ledger: Ledger, clock: FakeClock, by: str
) -> None:
    expected = filled(ledger, clock)
    report = CostReporter(ledger, UTC).report([by], "month", now=NOON)
    assert sum(row.cost for row in report.rows) == report.total.cost == expected
    assert len(report.rows) > 0


def test_a_call_with_two_tags_is_in_both_rows_and_once_in_the_total(
    ledger: Ledger, clock: FakeClock
) -> None:
    make_tracker(ledger, clock).record_usage("gpt-4o", Usage(input=1000), tags=["a", "b"])
    report = CostReporter(ledger, UTC).report(["tag"], "day", now=NOON)
    assert [(row.group, row.cost) for row in report.rows] == [
        (("a",), Decimal("0.0025")),
        (("b",), Decimal("0.0025")),
    ]
    assert (report.total.cost, report.scanned) == (Decimal("0.0025"), True)


def test_the_period_before_is_compared(ledger: Ledger, clock: FakeClock) -> None:
    make_tracker(ledger, clock).record_usage(
        "gpt-4o", Usage(input=1000), at=NOON - timedelta(days=1)
    )
    report = CostReporter(ledger, UTC).report((), "2026-03-10", now=NOON)
    assert report.total.cost == 0
    assert report.previous is not None
    assert report.previous.cost == Decimal("0.0025")


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("2026-11", datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        ("2026-Q4", datetime(2026, 10, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-11-03", datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 4, tzinfo=UTC)),
        ("last-month", datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
        ("mtd", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 10, 12, 30, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_a_period_has_its_name(name: str, start: datetime, end: datetime) -> None:
    span = named_window(name, NOON, UTC)
    assert (span.start, span.end) == (start, end)


@pytest.mark.parametrize("name", ["2026-13", "fortnight", "2026-Q5", "0000", "2026-02-30"])
def test_what_is_no_period_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        named_window(name, NOON, UTC)


def test_an_unknown_group_is_refused_by_name(ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="'colour'"):
        CostReporter(ledger, UTC).report(["colour"], now=NOON)


def test_the_month_to_date_has_the_call_of_just_now(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock)
    at = NOON + timedelta(minutes=17)
    tracker.record_usage("gpt-4o", Usage(input=1000), at=at - timedelta(seconds=1))
    report = CostReporter(ledger, UTC).report(["model"], "mtd", now=at)
    assert report.total.cost == Decimal("0.0025")
