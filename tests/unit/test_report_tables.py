import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from llmcost_plugins.periods import Window
from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.report_tables import report_csv, report_json, report_markdown, report_table
from llmcost_plugins.reporter import Report
from llmcost_plugins.reports import Details, ReportRow

MARCH = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
FEBRUARY = Window(datetime(2026, 2, 1, tzinfo=UTC), MARCH.start)
YUAN = Currency("CNY", Decimal("7.12"))


def row(*group: str, cost: str = "1", **facts: Any) -> ReportRow:
    counts = dict.fromkeys(["refused", "cached", "inexact", "unpriced"], 0)
    tokens = {"prompt_tokens": 1000, "completion_tokens": 10}
    money = {"cost": Decimal(cost), "saved": Decimal(0), "fallback_saved": Decimal(0)}
    return ReportRow(group, **{"calls": 4, **counts, **tokens, **money, **facts})


def report(*rows: ReportRow, total: ReportRow | None = None, **facts: Any) -> Report:
    before = {"previous": row(cost="0.5"), "before": FEBRUARY, **facts}
    return Report(
        ("tag",), rows, total or replace(rows[0], group=()), span=MARCH, scanned=True, **before
    )


def shown(found: Report, currency: Currency | None = None, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(report_table(found, "Spend", UTC, currency))
    text = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    return str(text)


@pytest.mark.parametrize("label", ["[/red]", "[bold]x", "a|b", "\x1b[2J", "=x()", "<b>", "`a`"])
def test_a_label_is_shown_as_it_is_and_does_nothing(label: str) -> None:
    found = report(row(label))
    table, markdown = shown(found), report_markdown(found, "Spend", UTC)
    assert "\x1b" not in table + markdown
    if label.isprintable():
        assert label in table
    line = next(line for line in markdown.splitlines() if "4 |" in line)
    assert line.replace("\\|", "").count("|") == markdown.splitlines()[2].count("|")
    assert json.loads(report_json(found))["rows"][0]["tag"] == label


def test_shares_of_what_is_not_exact_are_shown_even_when_zero() -> None:
    for text in (shown(report(row("a"))), report_markdown(report(row("a")), "Spend", UTC)):
        assert "estimated: 0 of 4 calls (0%)" in text
        assert "unpriced, and missing in the cost: 0 of 4 calls (0%)" in text
    some = shown(report(row("a", inexact=1, unpriced=2)))
    assert "estimated: 1 of 4 calls (25.0%)" in some
    assert "2 of 4 calls (50.0%)" in some


def test_what_was_cached_fell_back_and_was_refused_is_shown_when_there_is_some() -> None:
    facts: dict[str, Any] = {
        "cached": 1,
        "refused": 7,
        "saved": Decimal(2),
        "fallback_saved": Decimal(3),
    }
    text = shown(report(row("a", **facts)))
    for heading, value in (("Cached", "1 (25.0%)"), ("Refused", "7"), ("Saved", "$2.00")):
        assert heading in text
        assert value in text
    assert "Fell back" in text
    assert "Cached" not in shown(report(row("a")))


def test_the_period_before_is_shown_with_the_change() -> None:
    text = shown(report(row("a")))
    assert "before, since 2026-02-01 until 2026-03-01 (UTC): $0.5000, 4 calls; now +100%" in text
    assert "before" not in shown(report(row("a"), previous=None, before=None))
    nothing = shown(report(row("a"), previous=row(cost="0", calls=0)))
    assert "$0.00, 0 calls" in nothing
    assert "now" not in nothing


def test_total_and_previous_are_in_json_and_csv_so_that_tags_need_not_be_summed() -> None:
    found = report(row("x"), row("y"), total=row(cost="1", calls=4))
    document = json.loads(report_json(found))
    assert [one["calls"] for one in document["rows"]] == [4, 4]
    assert (document["total"]["cost_usd"], document["previous"]["cost_usd"]) == ("1", "0.5")
    lines = list(csv.DictReader(io.StringIO(report_csv(found))))
    assert [(one["tag"], one["line"], one["cost_usd"]) for one in lines] == [
        ("x", "row", "1"),
        ("y", "row", "1"),
        ("", "total", "1"),
        ("", "previous", "0.5"),
    ]


def test_amounts_in_a_currency_are_labelled_everywhere() -> None:
    found = report(row("a", cost="0.000000001", saved=Decimal(1)))
    assert "0.000000007 CNY" in shown(found, YUAN)
    for text in (shown(found, YUAN), report_markdown(found, "Spend", UTC, YUAN)):
        assert "amounts in CNY, at 7.12 for 1 USD as stated" in text
        assert "$" not in text
    total = json.loads(report_json(found, YUAN))["total"]
    assert (total["cost_usd"], total["cost_cny"]) == ("0.000000001", "0.00000000712")
    assert "saved_usd,saved_cny" in report_csv(found, YUAN)


def test_meters_have_columns_of_their_own_in_a_detailed_report() -> None:
    details = Details({"output": 5, "web_search": 1, "input": 2 * 10**9}, fell_back=2)
    found = report(row("a", details=details))
    text = shown(found)
    assert text.index("input") < text.index("output") < text.index("web_search")
    assert "2,000M" in text
    assert "2 (50.0%)" in text
    first, total, previous = csv.DictReader(io.StringIO(report_csv(found)))
    assert first["meter.input"] == total["meter.input"] == "2000000000"
    # The entries before were not read: not known is not zero.
    assert previous["meter.input"] == previous["fell_back"] == ""


def test_an_empty_report_has_its_total_in_every_form() -> None:
    found = report(total=row(calls=0, cost="0", prompt_tokens=0, completion_tokens=0))
    assert "total" in shown(found)
    assert "**total**" in report_markdown(found, "Spend", UTC)
    assert json.loads(report_json(found))["total"]["average_usd"] is None
    assert [one["line"] for one in csv.DictReader(io.StringIO(report_csv(found)))] == [
        "total",
        "previous",
    ]


def test_eight_columns_of_large_numbers_fit_80_characters() -> None:
    large = row("a", calls=10**7, cost="98765.43", prompt_tokens=10**10, completion_tokens=10**9)
    lines = shown(report(large), width=80).splitlines()
    assert any("10,000M+1,000M" in line and "$98,765.43" in line for line in lines)
