from dataclasses import replace
from fractions import Fraction

import pytest

from llmcost_plugins.pricing.catalog import shared_catalog
from llmcost_plugins.pricing.cost import cost_of
from llmcost_plugins.testing import ModelPrice
from llmcost_plugins.testing.billing import TokenCounts
from llmcost_plugins.testing.pricelist import PUBLISHED, PriceList
from llmcost_plugins.usage import Usage

MILLION = 1_000_000


def test_the_cost_of_a_million_tokens_is_the_published_price() -> None:
    price = PUBLISHED["gpt-4o"]
    assert price.cost_nano(TokenCounts(prompt=1_000_000, cached=0, completion=0)) == 2_500_000_000
    assert (
        price.cost_nano(TokenCounts(prompt=1_000_000, cached=1_000_000, completion=0))
        == 1_250_000_000
    )
    assert price.cost_nano(TokenCounts(prompt=0, cached=0, completion=1_000_000)) == 10_000_000_000


def test_cached_tokens_are_part_of_the_prompt_and_not_billed_twice() -> None:
    cost = PUBLISHED["gpt-4o-mini"].cost_nano(TokenCounts(prompt=100, cached=40, completion=10))
    assert cost == 60 * 150 + 40 * 75 + 10 * 600


@pytest.mark.parametrize(("tokens", "nano"), [(1, 0), (3, 2), (5, 2), (7, 4)])
def test_half_a_nano_dollar_is_rounded_to_the_even_side(tokens: int, nano: int) -> None:
    half = ModelPrice(input="0.0005")
    assert half.cost_nano(TokenCounts(prompt=tokens, cached=0, completion=0)) == nano


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
    assert (
        ModelPrice(input="3").cost_nano(TokenCounts(prompt=10, cached=10, completion=0)) == 30_000
    )


@pytest.mark.parametrize("bad", [0.15, "", "-1", "1/3", "1e9", "free"])
def test_a_price_that_is_not_a_decimal_string_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="decimal string"):
        ModelPrice(input=bad)
    with pytest.raises(ValueError, match="decimal string"):
        ModelPrice(input="1", cached_input=bad)


USED_UP = {
    "prompt": Usage(input=MILLION),
    "cached": Usage(cache_read=MILLION),
    "written_5m": Usage(cache_write_5m=MILLION),
    "written_1h": Usage(cache_write_1h=MILLION),
    "completion": Usage(output=MILLION),
    "reasoning": Usage(reasoning=MILLION),
    "searches": Usage(other={"web_search": 3}),
}
PARTS = {"prompt": ("cached", "written_5m", "written_1h"), "completion": ("reasoning",)}
# The map has no price for these, though the provider has published one.
MISSING_IN_THE_MAP = {("claude-haiku-4-5", "searches")}


PRICED = [
    (model, meter)
    for model, price in PUBLISHED.items()
    for meter in USED_UP
    # Its "output" are search units, which the map prices by themselves.
    if not model.startswith("rerank")
    if meter != "searches" or price.web_search is not None
]


@pytest.mark.parametrize(("model", "meter"), PRICED)
def test_every_published_price_is_that_of_the_catalog(model: str, meter: str) -> None:
    price, catalog = PUBLISHED[model], shared_catalog()
    family = model.partition("-")[0]
    provider = {"claude": "anthropic", "gemini": "google_genai"}.get(family, "openai")
    prices = catalog.resolve(model, provider).prices
    assert prices is not None
    counts = {meter: 3 if meter == "searches" else MILLION}
    for whole, parts in PARTS.items():
        counts |= {whole: MILLION} if meter in parts else {}
    for tier in (None, *price.tiers):
        cost = cost_of(replace(USED_UP[meter], service_tier=tier), prices)
        if (model, meter) in MISSING_IN_THE_MAP:
            assert cost.unpriced
            continue
        assert not cost.unpriced
        assert price.cost_nano(TokenCounts(**counts), tier) == cost.nano


def test_what_is_written_to_a_cache_is_part_of_the_prompt_and_has_its_own_price() -> None:
    usage = TokenCounts(prompt=100, cached=40, written_5m=20, written_1h=10, completion=5)
    cost = PUBLISHED["claude-sonnet-4-5"].cost_nano(usage)
    assert cost == 30 * 3000 + 40 * 300 + 20 * 3750 + 10 * 6000 + 5 * 15_000
    own = ModelPrice(input="1", cached_input="0")
    assert own.cost_nano(TokenCounts(prompt=10, cached=4, written_5m=3, written_1h=3)) == 6000


def test_searches_are_paid_by_the_search_or_once_and_never_free() -> None:
    searched = TokenCounts(searches=3)
    assert ModelPrice(input="1", web_search="10").cost_nano(searched) == 30_000_000
    once = ModelPrice(input="1", web_search="35", web_search_once=True)
    assert once.cost_nano(searched) == 35_000_000
    assert once.cost_nano(TokenCounts()) == 0
    with pytest.raises(ValueError, match="no price for the web searches"):
        ModelPrice(input="1").cost_nano(searched)


def test_a_tier_costs_its_own_price_and_the_standard_one_where_it_has_none() -> None:
    price, usage = PUBLISHED["gpt-5"], TokenCounts(prompt=10, cached=4, completion=2, searches=1)
    assert price.cost_nano(usage) == 6 * 1250 + 4 * 125 + 2 * 10_000 + 10_000_000
    flex = Fraction(price.cost_nano(usage, "flex") - 10_000_000)
    assert flex == Fraction(price.cost_nano(usage) - 10_000_000, 2)
    assert price.cost_nano(usage, "default") == price.cost_nano(usage)
