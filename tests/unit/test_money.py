from decimal import ROUND_UP, Context, Decimal, localcontext

import pytest

from llmcost_plugins.money import (
    FINE_PER_NANO,
    FINE_PER_USD,
    format_usd,
    hold_nano,
    nano_to_usd,
    rate_to_fine,
    settle_nano,
    usd_string,
    usd_to_nano,
)

HALF = FINE_PER_NANO // 2


@pytest.mark.parametrize(
    ("fine", "nano"),
    [
        (0, 0),
        (1, 0),
        (HALF - 1, 0),
        (HALF, 0),
        (HALF + 1, 1),
        (FINE_PER_NANO + HALF - 1, 1),
        (FINE_PER_NANO + HALF, 2),
        (2 * FINE_PER_NANO + HALF, 2),
        (2 * FINE_PER_NANO + HALF + 1, 3),
    ],
)
def test_a_true_cost_is_rounded_half_to_even(fine: int, nano: int) -> None:
    assert settle_nano(fine) == nano


@pytest.mark.parametrize(
    ("fine", "nano"),
    [(0, 0), (1, 1), (FINE_PER_NANO, 1), (FINE_PER_NANO + 1, 2), (2 * FINE_PER_NANO, 2)],
)
def test_an_estimate_is_rounded_up(fine: int, nano: int) -> None:
    assert hold_nano(fine) == nano


@pytest.mark.parametrize(
    ("price", "fine"),
    [
        (2.5e-06, 2_500_000 * 10**12),
        (2.9999900000000002e-06, 2_999_990 * 10**12),
        (5.0000000000000004e-08, 50_000 * 10**12),
        (1.3e-10, 130 * 10**12),
        (1.14285714286e-6, 1_142_857_142_860_000_000),
        (0.1 + 0.2, 3 * 10**23),
        ("0.0000025", 2_500_000 * 10**12),
        (Decimal("0.0000025"), 2_500_000 * 10**12),
        (1, FINE_PER_USD),
        (0, 0),
        (0.0, 0),
    ],
)
def test_a_price_is_read_exactly_and_without_float_noise(
    price: float | Decimal | str, fine: int
) -> None:
    assert rate_to_fine(price) == fine


@pytest.mark.parametrize(
    ("usd", "nano"),
    [
        ("0", 0),
        ("12.50", 12_500_000_000),
        (" 1 ", 10**9),
        ("0.000000001", 1),
        ("-0.5", -500_000_000),
        ("1e3", 10**12),
        (3, 3 * 10**9),
        (Decimal("9007199254740993.000000001"), 9007199254740993000000001),
        ("1." + "0" * 100, 10**9),
    ],
)
def test_an_amount_is_converted_exactly(usd: Decimal | str | int, nano: int) -> None:
    assert usd_to_nano(usd) == nano


@pytest.mark.parametrize(
    "usd",
    [
        "",
        "abc",
        "$5",
        "5 USD",
        "1,50",
        "nan",
        "sNaN",
        "inf",
        "-Infinity",
        "0.0000000001",
        "1." + "0" * 70 + "1",
        "1e999999",
        "1e-999999",
        "1e99999999999999999999999",
    ],
)
def test_what_is_no_amount_of_whole_nano_dollars_is_refused_by_name(usd: str) -> None:
    with pytest.raises(ArithmeticError) as caught:
        usd_to_nano(usd)
    assert repr(usd) in str(caught.value)


@pytest.mark.parametrize("nano", [0, 1, -1, 10**9, 2**62 - 1, -(2**62), 123_456_789])
def test_nano_dollars_survive_the_way_to_usd_and_back(nano: int) -> None:
    assert usd_to_nano(nano_to_usd(nano)) == nano
    assert usd_to_nano(usd_string(nano)) == nano


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0"), (1, "0.000000001"), (120_000, "0.00012"), (10**11, "100"), (-5 * 10**8, "-0.5")],
)
def test_the_string_for_json_is_plain_and_short(nano: int, text: str) -> None:
    assert usd_string(nano) == text


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (12, "$0.000000012"),
        (123_456, "$0.00012"),
        (1_234_567, "$0.0012"),
        (5_000_000, "$0.0050"),
        (12_345_678, "$0.0123"),
        (123_456_789, "$0.1235"),
        (999_999_999, "$1.0000"),
        (10**9, "$1.00"),
        (1_234_567_890_123, "$1,234.57"),
        (-1_500_000_000, "-$1.50"),
        (-1, "-$0.000000001"),
    ],
)
def test_an_amount_is_shown_with_the_digits_that_matter(nano: int, text: str) -> None:
    assert format_usd(nano) == text


def test_no_positive_amount_is_shown_as_zero() -> None:
    for exponent in range(12):
        for digits in (1, 4, 5, 9, 10**exponent + 1):
            shown = format_usd(digits * 10**exponent)
            assert Decimal(shown.replace("$", "").replace(",", "")) > 0


def test_the_callers_decimal_context_changes_nothing() -> None:
    with localcontext(Context(prec=2, rounding=ROUND_UP)):
        assert usd_to_nano("1234.567890123") == 1_234_567_890_123
        assert nano_to_usd(1_234_567_890_123) == Decimal("1234.567890123")
        assert usd_string(1_234_567_890_123) == "1234.567890123"
        assert rate_to_fine(1.23456789e-06) == 1_234_567_890_000_000_000
