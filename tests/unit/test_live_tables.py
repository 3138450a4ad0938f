import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from rich.console import Console

from llmcost_plugins import Budget
from llmcost_plugins.limits import Limits
from llmcost_plugins.live import Live, LiveWatch
from llmcost_plugins.live_tables import LiveView, spark
from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.usage import Trust, Usage
from tests.unit.page.pages import Book, nano

NOW = datetime(2026, 3, 10, 12, 20, tzinfo=UTC)


def busy(feature: str = "f", model: str = "gpt-4o", usage: Usage | None = None) -> Live:
    book = Book()
    for number in range(60):
        facts = {"usage": usage} if usage else {}
        book.add(
            NOW - timedelta(minutes=10 * number),
            nano("0.5"),
            model,
            feature=f"{feature}{number}",
            **facts,
        )
    limits = Limits(book.ledger, [Budget(f"user:u{n}", 1, "day") for n in range(30)], UTC)
    return LiveWatch(book.ledger, limits, UTC).look(NOW)


def shown(
    live: Live,
    width: int = 120,
    height: int = 60,
    currency: Currency | None = None,
    **facts: object,
) -> list[str]:
    console = Console(
        width=width, height=height, file=io.StringIO(), markup=False, color_system=None
    )
    console.print(LiveView(live, UTC, currency, **facts))  # type: ignore[arg-type]
    text = str(console.file.getvalue())  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


@pytest.mark.parametrize("width", [20, 60, 80, 120, 150, 250])
@pytest.mark.parametrize("height", [5, 12, 24, 30, 50, 100])
def test_a_view_fits_the_terminal_and_uses_it(width: int, height: int) -> None:
    lines = shown(busy("a very long name of a feature that goes on and on "), width, height)
    assert len(lines) < max(height, 10)
    if 24 <= height <= 50 and width >= 80:
        assert len(lines) >= height - 4
        for heading in ("Budget", "Feature", "Began"):
            assert any(heading in line for line in lines)


def test_a_view_for_good_has_ten_rows_of_each_however_low_the_terminal() -> None:
    lines = shown(busy(), height=5, whole=True)
    assert "Budgets (10 of 30)" in lines
    assert "Features, 24 hours (10 of 60)" in lines
    assert len([line for line in lines if "gpt-4o" in line]) == 10


def test_a_label_is_shown_as_it_is_and_cut_where_it_is_long() -> None:
    text = "\n".join(shown(busy("[/red]\u202e"), 200, whole=True))
    assert "[/red]\ufffd0" in text
    long = "\n".join(shown(busy("x" * 100), 200, whole=True))
    assert "x" * 20 + "…" in long
    assert "x" * 41 not in long


def test_an_amount_that_is_not_exact_says_so() -> None:
    guessed = Usage(input=1, trust=Trust.ESTIMATED)
    assert any("~$0.5000" in line for line in shown(busy(usage=guessed)))
    unknown = Usage(input=1, trust=Trust.UNPRICED)
    assert any("no price" in line for line in shown(busy(usage=unknown)))


def test_a_narrow_terminal_shows_whose_amounts_these_are_and_all_of_their_digits() -> None:
    lines = shown(busy(), 40, whole=True)
    assert max(map(len, lines)) <= 40
    assert "this hour $1.50   24 hours $30.00" in lines[1]
    for name, amount in (("user:u0", "$1.00"), ("f0", "$0.5000"), ("gpt-4o", "$0.5000")):
        assert any(name in line and amount in line.split() for line in lines)


def test_calls_without_a_price_are_counted_in_the_head() -> None:
    unknown = Usage(input=1, trust=Trust.UNPRICED)
    assert "60 calls, 60 without a price" in shown(busy(usage=unknown))[1]


def test_amounts_are_in_the_currency_of_the_settings() -> None:
    lines = shown(busy(), currency=Currency("CNY", Decimal(2)))
    assert "this hour 3.00 CNY" in "\n".join(lines)


def test_the_head_says_what_is_wrong() -> None:
    assert "the ledger is gone" in shown(busy(), message="the ledger is gone")[0]


@pytest.mark.parametrize(
    ("amounts", "line"),
    [
        (["0", "0"], "  "),
        (["1", "1"], "██"),
        (["0", "0.000000001", "7", "3.5"], " ▁█▅"),
        (["-1", "7"], " █"),
    ],
)
def test_hours_are_drawn_in_parts_of_the_dearest(amounts: Sequence[str], line: str) -> None:
    assert spark([Decimal(amount) for amount in amounts]) == line
