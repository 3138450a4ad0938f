from dataclasses import replace
from functools import lru_cache

from hypothesis import given
from hypothesis import strategies as st

from llmcost_plugins.money import FINE_PER_NANO
from llmcost_plugins.pricing import CallSize, Catalog, Prices, cost_of, upper_bound
from llmcost_plugins.pricing.rates import TIERS, compile_prices
from llmcost_plugins.pricing.sources import packaged_snapshot
from llmcost_plugins.usage import COMPLETION_METERS, METERS, PROMPT_METERS, Usage


@lru_cache
def all_prices() -> list[Prices]:
    """Return the prices of all text models, those with the most rates first."""
    found = (compile_prices(name, entry) for name, entry in packaged_snapshot().models.items())
    return sorted((p for p in found if isinstance(p, Prices)), key=lambda p: -len(p.rates))


# Half of the examples are about the models with the most complicated prices.
MODELS = (st.integers(0, 300) | st.integers(0, len(all_prices()) - 1)).map(
    lambda n: all_prices()[n]
)
TOKENS = st.integers(0, 400_000) | st.sampled_from([0, 1, 128_000, 200_000, 200_001, 272_001])
ASKED = st.sampled_from([None, "flex", "priority", "auto", "default", "ultrafast", "fast"])


@st.composite
def usages(draw: st.DrawFn, tier: str | None = None) -> Usage:
    counts = {meter: draw(TOKENS) for meter in METERS}
    return Usage(**counts, service_tier=tier)  # type: ignore[arg-type]  # meters only


@given(MODELS, usages(), ASKED, st.sampled_from(METERS), st.integers(1, 100_000))
def test_more_answer_never_costs_less_and_more_prompt_within_a_band_neither(
    prices: Prices, usage: Usage, tier: str | None, meter: str, more: int
) -> None:
    usage = replace(usage, service_tier=tier)
    larger = replace(usage, **{meter: getattr(usage, meter) + more})
    crossed = any(usage.prompt_tokens <= t < larger.prompt_tokens for t in prices.thresholds)
    if not crossed:
        assert cost_of(larger, prices).nano >= cost_of(usage, prices).nano


@given(MODELS, usages(), ASKED, st.sampled_from(["cache_write_1h", "reasoning", "audio_out"]))
def test_moving_tokens_between_meters_of_one_price_changes_nothing(
    prices: Prices, usage: Usage, tier: str | None, meter: str
) -> None:
    whole = {"cache_write_1h": "cache_write_5m", "reasoning": "output", "audio_out": "output"}[
        meter
    ]
    rates = {key: rate for key, rate in prices.rates.items() if key[0] != meter}
    prices = replace(prices, rates=rates)
    moved = {whole: getattr(usage, whole) + getattr(usage, meter), meter: 0}
    before = cost_of(replace(usage, service_tier=tier), prices)
    after = cost_of(replace(usage, service_tier=tier, **moved), prices)
    assert before.nano == after.nano


@given(MODELS, usages(), ASKED)
def test_the_cost_is_the_sum_of_its_parts_rounded_once(
    prices: Prices, usage: Usage, tier: str | None
) -> None:
    cost = cost_of(replace(usage, service_tier=tier), prices)
    assert 2 * abs(cost.nano * FINE_PER_NANO - sum(cost.by_meter.values())) <= FINE_PER_NANO


@st.composite
def splits(draw: st.DrawFn, total: int, meters: tuple[str, ...]) -> dict[str, int]:
    """Spread at most *total* tokens over the meters."""
    found = {}
    for meter in draw(st.permutations(meters)):
        found[meter] = draw(st.integers(0, total) | st.just(total) | st.just(0))
        total -= found[meter]
    return found


SIZES = st.builds(CallSize, TOKENS, TOKENS, st.integers(1, 3), ASKED, st.booleans())


@given(st.data(), MODELS, SIZES)
def test_no_usage_within_the_size_costs_more_than_the_bound(
    data: st.DataObject, prices: Prices, size: CallSize
) -> None:
    text_in = PROMPT_METERS if size.audio else PROMPT_METERS[:4]
    text_out = COMPLETION_METERS if size.audio else COMPLETION_METERS[:2]
    cap = size.output_cap or 0
    most_in = min(size.prompt_bound, prices.max_input_tokens or size.prompt_bound)
    most_out = min(cap, prices.max_output_tokens or cap) * size.choices
    tier = size.service_tier
    billed = data.draw(st.sampled_from([None, *TIERS])) if tier == "auto" else tier
    counts = {**data.draw(splits(most_in, text_in)), **data.draw(splits(most_out, text_out))}
    usage = Usage(**counts, service_tier=billed)  # type: ignore[arg-type]  # meters only
    assert cost_of(usage, prices).nano <= upper_bound(size, prices, 4096)


@given(st.text(max_size=30) | st.sampled_from([p.model for p in all_prices()[:500]]), st.data())
def test_resolving_never_fails_and_says_why_there_is_no_price(
    name: str, data: st.DataObject
) -> None:
    provider = data.draw(st.sampled_from([None, "openai", "ollama", "google_vertexai", "nobody"]))
    found = shared().resolve(name, provider)
    assert (found.prices is None) == bool(found.reason)


@lru_cache
def shared() -> Catalog:
    return Catalog(packaged_snapshot())
