from decimal import Decimal, localcontext

import pytest

from llmcost_plugins.pricing.currencies import Currency, read_currency


def test_amounts_are_converted_exactly_whatever_the_context() -> None:
    with localcontext() as context:
        context.prec = 3
        currency = read_currency("CNY:7.123456")
        assert currency.of(Decimal("123456789.123456789")) == Decimal("879439005.222223004342784")


@pytest.mark.parametrize(
    ("usd", "text"), [("0", "0"), ("100", "712"), ("0.000000001", "0.00000000712"), ("-1", "-7.12")]
)
def test_an_amount_is_written_in_full(usd: str, text: str) -> None:
    assert Currency("CNY", Decimal("7.12")).string_of(Decimal(usd)) == text


def test_a_rate_is_units_for_one_dollar() -> None:
    with pytest.raises(ValueError, match="JPY for one USD; a good value"):
        read_currency("JPY:0.0066")


def test_a_rate_has_no_noise() -> None:
    with pytest.raises(ValueError, match="more than 12 digits"):
        read_currency("EUR:0.9200000000000001")
