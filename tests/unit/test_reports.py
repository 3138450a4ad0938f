from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from llmcost_plugins import ConfigurationError, Usage
from llmcost_plugins.labels import Labels
from llmcost_plugins.ledger import Call, Ledger, Outcome, Status
from llmcost_plugins.periods import Window
from llmcost_plugins.reporter import CostReporter
from llmcost_plugins.spans import named_window
from llmcost_plugins.testing import FakeClock
from tests.unit.trackers import NOON, make_tracker

GROUPINGS = ["model", "day", "hour", "user", "label.region", "status", "provider"]
KATHMANDU = ZoneInfo("Asia/Kathmandu")  # UTC+5:45: its days begin within a half hour


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


def test_one_group_in_place_of_a_list_is_refused_with_the_list(ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match=r"by='team' is one group; pass \['team'\]"):
        CostReporter(ledger, UTC).report("team", now=NOON)


def test_the_name_of_a_time_zone_is_no_time_zone(ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match=r"pass ZoneInfo\('Europe/Berlin'\) or UTC"):
        CostReporter(ledger, "Europe/Berlin")  # type: ignore[arg-type]  # what users get wrong


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


@pytest.mark.parametrize("by", [["hour"], ["day"], ["day", "model"], ["user"], ["user", "model"]])
def test_kept_sums_and_entries_agree_row_by_row(
    ledger: Ledger, clock: FakeClock, by: list[str]
) -> None:
    filled(ledger, clock)
    reporter = CostReporter(ledger, UTC)
    kept, read = (reporter.report(by, "month", now=NOON, detailed=how) for how in (False, True))
    assert [replace(row, details=None) for row in read.rows] == list(kept.rows)
    assert replace(read.total, details=None) == kept.total
    assert (kept.scanned, read.scanned) == (by == ["user", "model"], True)


def test_days_that_begin_within_a_half_hour_have_their_own_calls(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock)
    midnight = datetime(2026, 3, 10, tzinfo=KATHMANDU)
    for minutes in (-5, 5, 10):
        at = midnight + timedelta(minutes=minutes)
        tracker.record_usage("gpt-4o", Usage(input=1000), at=at, request_id=str(minutes))
    reporter = CostReporter(ledger, KATHMANDU)
    days = reporter.report(["day"], "2026-03", now=NOON).rows
    assert [(row.group, row.calls) for row in days] == [(("2026-03-09",), 1), (("2026-03-10",), 2)]
    one = reporter.report([], "2026-03-10", now=NOON)
    assert one.previous is not None
    assert (one.total.calls, one.previous.calls) == (2, 1)


@pytest.mark.parametrize(
    ("since", "until", "calls"), [(0, 5, 1), (0, 6, 2), (1, 34, 3), (1, 35, 4), (6, 7, 0)]
)
def test_a_span_within_half_hours_loses_no_call_and_adds_none(
    ledger: Ledger, clock: FakeClock, since: int, until: int, calls: int
) -> None:
    tracker = make_tracker(ledger, clock)
    for minutes in (0, 5, 31, 33, 34):
        at = NOON + timedelta(minutes=minutes)
        tracker.record_usage("gpt-4o", Usage(input=1000), at=at, request_id=str(minutes))
    start, end = (NOON + timedelta(minutes=minutes) for minutes in (since, until))
    assert CostReporter(ledger, UTC).between(start, end, now=NOON).total.calls == calls


def test_a_span_is_compared_with_as_many_days_before_it(ledger: Ledger) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start, end = (datetime(2026, 3, day, tzinfo=berlin) for day in (27, 31))  # 29th: 23 hours
    report = CostReporter(ledger, berlin).between(start, end, now=NOON)
    assert report.before == Window(datetime(2026, 3, 23, tzinfo=berlin), start)
    assert CostReporter(ledger, berlin).between(None, end, now=NOON).previous is None


def test_a_span_that_ends_before_it_begins_is_refused(ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="is not before"):
        CostReporter(ledger, UTC).between(NOON, NOON, now=NOON)


def test_average_and_shares_are_of_the_calls(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock)
    for number, model in enumerate(["gpt-4o", "gpt-4o", "no-such-model"]):
        tracker.record_usage(model, Usage(input=1000), request_id=str(number))
    total = CostReporter(ledger, UTC).report(now=NOON).total
    assert total.average == Decimal("0.001666667")
    assert total.share(total.unpriced) == Decimal("0.3333")
    assert total.share(total.cached) == 0


def test_savings_tell_what_caches_and_cheaper_models_saved(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock)
    usage = Usage(input=1000)
    call = Call("c", NOON, "gpt-4o-mini", "gpt-4o-mini", "openai", Labels(), "c")
    cheaper = Outcome(Status.OK, usage, 150_000, NOON, preferred_model="gpt-4o",
                      preferred_cost=2_500_000)  # fmt: skip
    cached = Outcome(Status.CACHED, usage, 0, NOON, saved=2_500_000)
    ledger.record(call, cheaper, [])
    ledger.record(replace(call, id="d"), cached, [])
    saved = tracker.savings("day")
    assert (saved.cheaper_models, saved.caching) == (Decimal("0.00235"), Decimal("0.0025"))
    assert (saved.total, saved.spent) == (Decimal("0.00485"), Decimal("0.00015"))
    details = CostReporter(ledger, UTC).report(now=NOON, detailed=True).total.details
    assert details is not None
    assert (details.fell_back, details.meters) == (1, {"input": 2000})
