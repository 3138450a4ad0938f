"""What a page says of the rest of a span that runs."""

from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest

from llmcost_plugins.forecast import Forecast, Forecaster
from llmcost_plugins.limits import Limits
from llmcost_plugins.page import report_page
from llmcost_plugins.page.timeline import timeline
from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.reporter import CostReporter
from tests.unit.page.pages import NOW, Book, nano
from tests.unit.page.test_page import tree, words


def book_of(days: int, zone: Any = UTC) -> Book:
    """Spend 1 or 2 dollars in turn at noon on each of the days before today."""
    book = Book(zone)
    for ago in range(1, days + 1):
        book.add(NOW - timedelta(days=ago, minutes=30), nano(str(1 + ago % 2)))
    return book


def forecast_of(book: Book, period: str = "month") -> Forecast | None:
    reporter = CostReporter(book.ledger, book.zone)
    limits = Limits(book.ledger, (), book.zone)
    forecaster = Forecaster(book.ledger, limits, clock=lambda: NOW, zone=book.zone)
    return forecaster.rest_of(reporter.report((), period, now=NOW).span)


def page_of(book: Book, period: str = "month", currency: Currency | None = None) -> str:
    return report_page(book.overview(period, forecast=forecast_of(book, period)), currency)


def end_of(page: str) -> ET.Element:
    (end,) = (one for one in tree(page).iter("div") if one.get("class") == "end")
    return end


def dashed(page: str) -> list[ET.Element]:
    (plot,) = (one for one in tree(page).iter("svg") if one.get("class") == "plot")
    return [one for one in plot.iter("rect") if one.get("class") == "expected"]


def test_each_day_to_come_is_drawn_and_the_table_adds_up_to_what_is_still_expected() -> None:
    book = book_of(60)
    forecast = forecast_of(book)
    assert forecast is not None
    assert forecast.expected is not None
    page = page_of(book)
    assert len(dashed(page)) == 21  # of the 31 days; all of today's comes before noon
    (table,) = (one for one in tree(page).iter("div") if one.get("class") == "scroll ahead")
    *days, total = (Decimal(one.attrib["value"]) for one in table.iter("data"))
    assert sum(days) == total == forecast.expected - forecast.spent
    assert "still expected" in words(page)
    (plot,) = (one for one in tree(page).iter("svg") if one.get("class") == "plot")
    assert plot.attrib["aria-label"] == "Spend by day and model, and what is still expected"
    hints = [one.text or "" for one in plot.iter("title")]
    assert hints[0].startswith("Sun 2026-03-01: $")
    assert hints[30].startswith("Tue 2026-03-31\nstill expected: $")


def test_the_end_is_told_in_words_and_drawn_in_parts_of_its_band() -> None:
    book = book_of(60)
    forecast = forecast_of(book)
    assert forecast is not None
    end = end_of(page_of(book))
    assert [Decimal(one.attrib["value"]) for one in end.iter("data")] == [
        forecast.expected,
        forecast.low,
        forecast.high,
    ]
    text = "".join(end.itertext())
    assert "80% band: $" in text
    assert f"{forecast.basis}" in text
    (bar,) = (one for one in end.iter("svg") if one.get("class") == "budget")
    drawn = {one.attrib["class"]: one for one in bar.iter("rect")}
    assert set(drawn) == {"range", "expected", "sofar"}
    assert forecast.high is not None
    spent = float(drawn["sofar"].attrib["width"].rstrip("%"))
    assert spent == pytest.approx(float(100 * forecast.spent / forecast.high), abs=0.001)


def test_a_rough_band_is_called_one() -> None:
    text = "".join(end_of(page_of(book_of(8))).itertext())
    assert "rough band: $" in text
    assert "low confidence" in text
    assert "80%" not in text


@pytest.mark.parametrize("days", [0, 1, 2])
def test_with_too_little_data_nothing_is_said_of_the_end(days: int) -> None:
    book = book_of(days)
    book.add(NOW, nano("1"))
    page = page_of(book)
    assert "expected" not in words(page.partition("</style>")[2])
    assert timeline(book.overview()).steps[-1].mark == "Mar 10"


@pytest.mark.parametrize("period", ["2026-02", "last-month", "total", "mtd", "hour", "2026-04"])
def test_a_span_that_is_over_or_has_no_end_has_no_forecast(period: str) -> None:
    assert forecast_of(book_of(60), period) is None


def test_a_span_of_one_day_has_the_bar_and_no_dashed_hours() -> None:
    book = book_of(60)
    for ago in range(1, 61):
        book.add(NOW - timedelta(days=ago) + timedelta(hours=5), nano("1"))
    book.add(NOW, nano("1"))
    page = page_of(book, "day")
    assert dashed(page) == []
    assert end_of(page) is not None


def test_a_year_is_drawn_to_its_end_by_weeks() -> None:
    book = book_of(60)
    found = book.overview("year", forecast=forecast_of(book, "year"))
    axis = timeline(found, to_the_end=True)
    assert (axis.unit, axis.steps[-1].name) == ("week", "week of 2026-12-28")
    forecast = found.forecast
    assert forecast is not None
    assert forecast.expected is not None
    page = report_page(found)
    (table,) = (one for one in tree(page).iter("div") if one.get("class") == "scroll ahead")
    *_, total = (Decimal(one.attrib["value"]) for one in table.iter("data"))
    assert total == forecast.expected - forecast.spent


def test_the_days_are_those_of_the_zone_and_amounts_those_of_the_currency() -> None:
    book = book_of(60, ZoneInfo("Asia/Tokyo"))  # where it is 21:30
    page = page_of(book, currency=Currency("CNY", Decimal(7)))
    assert len(dashed(page)) == 21
    assert "CNY" in "".join(end_of(page).itertext())


def test_a_forecast_of_a_span_is_that_of_its_period() -> None:
    book = book_of(60)
    limits = Limits(book.ledger, (), UTC)
    forecaster = Forecaster(book.ledger, limits, clock=lambda: NOW, zone=UTC)
    (month,) = forecaster.spend((), "month")
    assert forecaster.rest_of(month.span) == month
