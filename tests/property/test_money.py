from decimal import Decimal, localcontext

from hypothesis import given
from hypothesis import strategies as st

from llmcost_plugins.money import (
    FINE_PER_NANO,
    format_usd,
    hold_nano,
    nano_to_usd,
    settle_nano,
    usd_string,
    usd_to_nano,
)

FINE = st.integers(0, 10**40)
NANO = st.integers(-(2**62), 2**62)


@given(FINE)
def test_rounding_a_cost_errs_by_at_most_half_a_nano_dollar(fine: int) -> None:
    assert 2 * abs(settle_nano(fine) * FINE_PER_NANO - fine) <= FINE_PER_NANO


@given(FINE)
def test_a_hold_is_at_least_the_estimate_and_less_than_a_nano_dollar_more(fine: int) -> None:
    assert 0 <= hold_nano(fine) * FINE_PER_NANO - fine < FINE_PER_NANO
    assert hold_nano(fine) >= settle_nano(fine)


@given(NANO, st.integers(1, 30))
def test_amounts_survive_every_form_in_every_decimal_context(nano: int, precision: int) -> None:
    with localcontext(prec=precision):
        assert usd_to_nano(nano_to_usd(nano)) == usd_to_nano(usd_string(nano)) == nano


@given(NANO)
def test_what_is_shown_is_close_and_of_the_same_sign(nano: int) -> None:
    shown = usd_to_nano(Decimal(format_usd(nano).replace("$", "").replace(",", "")))
    assert (shown > 0) == (nano > 0)
    assert abs(shown - nano) <= max(abs(nano) // 20, 0) or abs(nano) < 10
