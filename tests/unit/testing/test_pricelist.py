import pytest

from llmcost_plugins.testing import ModelPrice
from llmcost_plugins.testing.pricelist import PUBLISHED, PriceList


def test_the_cost_of_a_million_tokens_is_the_published_price() -> None:
    price = PUBLISHED["gpt-4o"]
    assert price.cost_nano(prompt=1_000_000, cached=0, completion=0) == 2_500_000_000
    assert price.cost_nano(prompt=1_000_000, cached=1_000_000, completion=0) == 1_250_000_000
    assert price.cost_nano(prompt=0, cached=0, completion=1_000_000) == 10_000_000_000


def test_cached_tokens_are_part_of_the_prompt_and_not_billed_twice() -> None:
    cost = PUBLISHED["gpt-4o-mini"].cost_nano(prompt=100, cached=40, completion=10)
    assert cost == 60 * 150 + 40 * 75 + 10 * 600


@pytest.mark.parametrize(("tokens", "nano"), [(1, 0), (3, 2), (5, 2), (7, 4)])
def test_half_a_nano_dollar_is_rounded_to_the_even_side(tokens: int, nano: int) -> None:
    half = ModelPrice(input="0.0005")
    assert half.cost_nano(prompt=tokens, cached=0, completion=0) == nano


def test_every_snapshot_can_be_requested_at_the_same_price() -> None:
    prices = PriceList()
    for name, price in PUBLISHED.items():
        served = prices.served_name(name)
        assert prices.find(served) == price
        assert prices.served_name(served) == served


def test_overrides_add_and_replace_models() -> None:
    own = ModelPrice(input="1", output="2")
    prices = PriceList({"mine": own, "gpt-4o": own})
    assert prices.find("mine") == prices.find("gpt-4o") == own
    assert prices.served_name("gpt-4o") == "gpt-4o"


def test_without_a_cached_price_cached_tokens_cost_as_input() -> None:
    assert ModelPrice(input="3").cost_nano(prompt=10, cached=10, completion=0) == 30_000


@pytest.mark.parametrize("bad", [0.15, "", "-1", "1/3", "1e9", "free"])
def test_a_price_that_is_not_a_decimal_string_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="decimal string"):
        ModelPrice(input=bad)
    with pytest.raises(ValueError, match="decimal string"):
        ModelPrice(input="1", cached_input=bad)
