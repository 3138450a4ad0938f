import os
import re
from datetime import timedelta
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcost_plugins.budgets import BudgetStatus, Unit
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger import Status
from llmcost_plugins.page import report_page, write_page
from llmcost_plugins.periods import Period
from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.usage import Trust, Usage
from tests.unit.page.pages import NOW, Book, nano

TAG = re.compile(r"<[^>]*>")


def status(**facts: Any) -> BudgetStatus:
    known: dict[str, Any] = {
        "scope": "team:alpha", "per": Period.DAY, "limit": Decimal(10), "spent": Decimal(2),
        "held": Decimal(1), "holds": 1, "resets_at": NOW + timedelta(hours=11),
    }  # fmt: skip
    return BudgetStatus(**{**known, **facts})


def tree(page: str) -> ET.Element:
    """Read a page as XML, in which nothing is forgiven."""
    body = page.removeprefix("<!DOCTYPE html>\n")
    return ET.fromstring(re.sub(r"<((?:meta|link)[^>]*)>", r"<\1/>", body))  # noqa: S314


def words(page: str) -> str:
    return TAG.sub(" ", page)


def rows_of(page: str, title: str) -> dict[str, list[str]]:
    """Return the cells of each row of the panel's table, by its head."""
    (panel,) = (one for one in tree(page).iter("section") if one.findtext("h2") == title)
    return {
        "".join(row.find("th").itertext()): ["".join(cell.itertext()) for cell in row.iter("td")]  # type: ignore[union-attr]
        for row in panel.iter("tr")
        if row.find("td") is not None
    }


def exact(page: str, title: str) -> Decimal:
    """Return the sum of the exact amounts in the first column of money of a panel's table body."""
    (panel,) = (one for one in tree(page).iter("section") if one.findtext("h2") == title)
    rows = (row for body in panel.iter("tbody") for row in body.iter("tr"))
    return sum((Decimal(next(row.iter("data")).attrib["value"]) for row in rows), Decimal(0))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 60 * 24),
            st.integers(0, 10**13),
            st.integers(0, 20),
            st.text("ab<", max_size=2),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_every_table_of_a_page_sums_to_what_the_ledger_has(
    calls: list[tuple[int, int, int, str]],
) -> None:
    book = Book()
    for hours, cost, model, feature in calls:
        book.add(NOW - timedelta(hours=hours), cost, f"m{model}", feature=feature or "z")
    page = book.page("total")
    spent = Decimal(sum(cost for _, cost, _, _ in calls)) / 10**9
    assert exact(page, "Models") == exact(page, "By feature") == spent
    if spent:
        titles = [one.text or "" for one in tree(page).iter("h2")]
        over_time = next(title for title in titles if title.startswith("Spend by"))
        (panel,) = (one for one in tree(page).iter("section") if one.findtext("h2") == over_time)
        totals = [
            list(row.iter("data"))[-1] for row in panel.iter("tr") if row.find("td") is not None
        ]
        *steps, total = (Decimal(one.attrib["value"]) for one in totals)
        assert sum(steps) == total == spent


def test_the_columns_are_as_tall_as_what_was_spent() -> None:
    book = Book()
    book.add(NOW - timedelta(days=1), nano("1"), "a")
    book.add(NOW, nano("3"), "a")
    book.add(NOW, nano("1"), "b")
    bars = [one for one in tree(book.page()).iter("rect") if one.get("class") in {"s0", "s1"}]
    tall = {
        (one.attrib["x"], one.attrib["class"]): float(one.attrib["height"])
        for one in bars
        if "y" in one.attrib
    }
    heights = list(tall.values())
    assert heights[:2] == [50, 150]  # of 200 for 4 dollars
    assert heights[2] == pytest.approx(50, abs=1)  # but for the gap below it


def test_the_same_facts_give_the_same_page() -> None:
    book = Book()
    book.add(NOW, 5, feature="x")
    assert book.page() == book.page()


def test_models_beyond_the_sixth_are_drawn_as_one_and_those_beyond_the_twelfth_listed_as_one() -> (
    None
):
    book = Book()
    for number in range(30):
        book.add(NOW, nano("1") + number, f"m{number}")
    page = book.page()
    assert "25 other models" in words(page)
    rows = rows_of(page, "Models")
    assert len(rows) == 14
    assert rows["18 others"][:2] == ["18", "$18.00"]


@pytest.mark.parametrize(
    "odd", ["<script>alert(1)</script>", '"><b>', "&amp;", "é🎉", "שלום", "x" * 2000, "%", "]]>"]
)
def test_an_odd_label_is_shown_as_it_is(odd: str) -> None:
    book = Book()
    book.add(NOW, 5, odd, feature=odd)
    page = book.page(budgets=[status(scope=f"feature:{odd}")])
    assert tree(page).find(".//script") is None
    names = ["".join(one.itertext()) for one in tree(page).iter("bdi")]
    assert len(names) == 5  # legend and table of the chart, budget, model and feature
    for name in names:
        assert odd.startswith(name.removeprefix("feature:").removesuffix("…"))


def test_a_span_without_calls_says_so_and_shows_the_budgets() -> None:
    page = Book().page(budgets=[status()])
    assert "No calls are recorded in this span." in words(page)
    assert "team:alpha" in words(page)
    assert tree(page).find(".//svg[@class='plot']") is None


def test_calls_that_cost_nothing_are_listed_without_a_chart() -> None:
    book = Book()
    book.add(NOW, 0)
    page = book.page()
    assert rows_of(page, "Models")["m"][:3] == ["1", "$0.00", "-"]
    assert tree(page).find(".//svg[@class='plot']") is None


def test_corrections_below_nothing_do_not_spoil_the_chart() -> None:
    book = Book()
    book.add(NOW, nano("1"), "a")
    book.add(NOW - timedelta(days=1), -nano("0.25"), "a", status=Status.CORRECTION)
    page = book.page()
    assert all(float(one.get("height", 0)) >= 0 for one in tree(page).iter("rect"))
    assert exact(page, "Models") == Decimal("0.75")


def test_a_part_of_a_period_is_not_measured_against_the_whole_of_the_one_before() -> None:
    book = Book()
    book.add(NOW, nano("1"))
    book.add(NOW - timedelta(days=20), nano("4"))
    assert re.search(r"\$4\.00\s+in the whole period before", words(book.page()))
    book.add(NOW - timedelta(days=50), nano("2"))
    assert re.search(r"\+100% after\s+\$2\.00\s+in the period before", words(book.page("2026-02")))


def test_what_was_saved_is_told_by_its_cause() -> None:
    book = Book()
    book.add(NOW, nano("1"), preferred_model="dear", preferred_cost=nano("3"))
    book.add(NOW, 0, status=Status.CACHED, saved=nano("5"))
    page = words(book.page())
    assert re.search(r"\$7\.00\s+less than the\s+\$8\.00\s+that these calls would have cost", page)
    assert re.search(r"answered from the cache\s+\$5\.00", page)
    assert re.search(r"answered by cheaper models\s+\$2\.00", page)


def test_amounts_are_shown_in_a_currency_and_kept_in_dollars() -> None:
    book = Book()
    book.add(NOW, nano("1"))
    page = report_page(book.overview(), Currency("CNY", Decimal("7.12")))
    assert rows_of(page, "Models")["m"][1] == "7.12 CNY"
    assert exact(page, "Models") == 1
    assert "at 7.12 for 1 USD as stated" in words(page)


def test_estimated_and_unpriced_calls_are_always_told() -> None:
    book = Book()
    book.add(NOW, nano("1"))
    assert "0 of 1 calls (0%) rest on an estimate." in words(book.page())
    assert "0 of 1 calls (0%) have no known price" in words(book.page())
    book.add(NOW, 0, usage=Usage(input=1, trust=Trust.UNPRICED))
    assert "each, 1 without a known price" in words(book.page())


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, "within"),
        ({"spent": Decimal(7)}, "nearly used up"),
        ({"projected": Decimal(11)}, "on the way over"),
        ({"spent": Decimal(12)}, "used up"),
        ({"limit": Decimal(0), "spent": Decimal(0), "held": Decimal(0)}, "used up"),
        ({"spent": Decimal(5000)}, "50,010% used"),
        ({"unit": Unit.TOKENS}, "1 tokens held by 1 call"),
        ({"unit": Unit.REQUESTS, "holds": 2}, "1 requests held by 2 calls"),
        ({"per": Period.TOTAL, "resets_at": None}, "never starts anew"),
    ],
)
def test_a_budget_says_how_it_stands(facts: dict[str, Any], said: str) -> None:
    page = Book().page(budgets=[status(**facts)])
    assert said in words(page)


def test_the_bar_of_a_budget_has_what_is_spent_held_and_projected_in_parts_of_its_limit() -> None:
    page = Book().page(budgets=[status(projected=Decimal(8))])
    (bar,) = (one for one in tree(page).iter("svg") if one.get("class") == "budget")
    found = {one.attrib["class"]: (one.get("x"), one.get("width")) for one in bar}
    assert found == {
        "track": ("0%", "100%"),
        "projected": ("30%", "50%"),
        "spent good": ("0%", "20%"),
        "held": ("20%", "10%"),
        "limit": (None, None),
    }


def test_the_bar_of_a_budget_far_beyond_its_limit_ends_at_twice_the_limit() -> None:
    page = Book().page(budgets=[status(spent=Decimal(5000), projected=Decimal(90000))])
    (bar,) = (one for one in tree(page).iter("svg") if one.get("class") == "budget")
    found = {one.attrib["class"]: one.get("width", one.get("x1")) for one in bar}
    assert found == {"track": "50%", "spent bad": "100%", "limit": "50%"}


def test_of_many_budgets_those_used_most_are_shown() -> None:
    many = [status(scope=f"user:u{number}", spent=Decimal(number) / 10) for number in range(40)]
    page = Book().page(budgets=[*many, status(scope="ended", limit=None)])
    shown = [one.text or "" for one in tree(page).iter("bdi")]
    assert shown == [f"user:u{number}" for number in range(39, 27, -1)]
    assert "and 28 more that are used less" in words(page)


def colours(style: str) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(int(value[place : place + 2], 16) for place in (0, 2, 4))
        for name, value in re.findall(r"--(\w+): #([0-9a-f]{6})", style)
    }


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Return the contrast of two colours as WCAG 2 defines it."""

    def light(colour: tuple[int, ...]) -> float:
        parts = (part / 255 for part in colour)
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, bright = sorted((light(one), light(other)))
    return (bright + 0.05) / (dark + 0.05)


def test_letters_and_charts_can_be_told_from_what_is_behind_them_by_day_and_by_night() -> None:
    style = tree(Book().page()).findtext(".//style") or ""
    rest, printed = style.split("@media print")
    day, night = rest.split("@media (prefers-color-scheme: dark)")
    for palette in (colours(day), colours(night), colours(printed)):
        for name in ("text", "soft", "good", "near", "bad"):
            assert contrast(palette[name], palette["card"]) >= 4.5, name
            assert contrast(palette[name], palette["page"]) >= 4.5, name
        drawn = [palette[name] for name in ("s0", "s1", "s2", "s3", "s4", "s5", "rest")]
        assert all(contrast(colour, palette["card"]) >= 3 for colour in drawn)
        assert all(one != other for one, other in combinations(drawn, 2))


def test_a_page_holds_no_address_no_script_and_no_style_outside_its_one_sheet() -> None:
    book = Book()
    book.add(NOW, 5, "a", feature="x", team="y")
    page = book.page(budgets=[status()])
    assert not re.search(r"https?:|//|@import|@font-face", page)
    for element in tree(page).iter():
        assert element.tag != "script"
        assert not {name for name in element.attrib if name == "style" or name.startswith("on")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pages"
    made.mkdir()
    return made


def test_a_page_is_written_for_its_owner_only_in_place_of_what_was_there(folder: Path) -> None:
    path = folder / "report.html"
    path.write_text("before")
    path.chmod(0o644)
    write_page(path, "é")
    assert path.read_text("utf-8") == "é"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".", "is a folder"),
        ("absent/x.html", "No such file"),
        ("/dev/null", "no regular file"),
        ("a\0b", "null"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_page_that_cannot_be_written_says_why(folder: Path, name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        write_page(os.path.join(folder, name), "x")  # noqa: PTH118 - which takes a zero byte
    assert list(folder.iterdir()) == []


def test_a_folder_that_nobody_may_look_into_is_named(unprivileged: Path) -> None:
    locked = unprivileged / "locked"
    locked.mkdir(mode=0o000)
    with pytest.raises(ConfigurationError, match="Permission denied; name a file in a folder"):
        write_page(locked / "report.html", "x")


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_neither_followed_nor_replaced(folder: Path, *, there: bool) -> None:
    target, link = folder / "target", folder / "link"
    if there:
        target.write_text("before")
    link.symlink_to(target)
    with pytest.raises(ConfigurationError, match="is a link; name the file itself"):
        write_page(link, "x")
    assert link.is_symlink()
    assert target.exists() == there
