from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from hypothesis import given
from hypothesis import strategies as st

from llmcost_plugins.money import FINE_PER_NANO
from llmcost_plugins.pricing import CallSize, Catalog, Prices, cost_of, upper_bound
from llmcost_plugins.pricing.cost import pricer, recomputed_nano
from llmcost_plugins.pricing.entries import compile_prices
from llmcost_plugins.pricing.rates import BATCHES, part_of
from llmcost_plugins.pricing.sources import packaged_snapshot
from llmcost_plugins.usage import METERS, Usage


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
ASKED = st.sampled_from(
    [None, "flex", "priority", "auto", "default", "ultrafast", "balanced", "fast", "batch"]
)
REGIONS = st.sampled_from([None, "eu", "us", "us-east5", "global"])
START = datetime(2026, 1, 1, tzinfo=UTC)
TIMES = st.integers(0, 525_600).map(lambda n: START + timedelta(minutes=n)) | st.none()
OTHER = st.dictionaries(
    st.sampled_from(["cache_read_audio", "cache_write_12h", "web_search", "query", "images_out"]),
    st.integers(0, 1000),
)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    counts = {meter: draw(TOKENS) for meter in METERS}
    return Usage(
        **counts,  # type: ignore[arg-type]  # meters only
        other=draw(OTHER),
        service_tier=draw(ASKED),
        region=draw(REGIONS),
    )


@given(MODELS, usages(), TIMES, st.sampled_from(METERS), st.integers(1, 100_000))
def test_more_answer_never_costs_less_and_more_prompt_within_a_band_neither(
    prices: Prices, usage: Usage, at: datetime | None, meter: str, more: int
) -> None:
    larger = replace(usage, **{meter: getattr(usage, meter) + more})
    steps = (*prices.thresholds, *(band.upto for band in prices.bands))
    if not any(usage.prompt_tokens <= step < larger.prompt_tokens for step in steps):
        assert cost_of(larger, prices, at).nano >= cost_of(usage, prices, at).nano


@given(MODELS, usages(), TIMES, st.sampled_from([m for m in METERS if part_of(m)]))
def test_moving_tokens_between_meters_of_one_price_changes_nothing(
    prices: Prices, usage: Usage, at: datetime | None, meter: str
) -> None:
    whole = str(part_of(meter))
    rates = {key: rate for key, rate in prices.rates.items() if key[0] not in {meter, whole}}
    prices = replace(prices, rates=rates, bands=(), off_peak=None)
    moved = {whole: getattr(usage, whole) + getattr(usage, meter), meter: 0}
    before = cost_of(usage, prices, at)
    after = cost_of(replace(usage, **moved), prices, at)
    assert before.nano == after.nano


@given(MODELS, usages(), TIMES)
def test_the_cost_is_the_sum_of_its_parts_rounded_once_and_can_be_recomputed(
    prices: Prices, usage: Usage, at: datetime | None
) -> None:
    cost = cost_of(usage, prices, at)
    exact = sum(line.amount for line in cost.lines)
    assert 2 * abs(cost.nano * FINE_PER_NANO - exact) <= FINE_PER_NANO
    used = {line.meter: line.quantity for line in cost.lines}
    assert recomputed_nano(used, cost.rates) == cost.nano


@given(MODELS, usages(), TIMES.filter(bool))
def test_pricing_many_calls_says_of_each_what_its_cost_is(
    prices: Prices, usage: Usage, at: datetime
) -> None:
    plain = replace(usage, other={}, service_tier=None, region=None)
    cost = cost_of(plain, prices, at)
    counts = {meter: count for meter in METERS if (count := getattr(plain, meter))}
    assert pricer(prices)(counts, at) == (None if cost.unpriced else cost.nano)


@given(st.lists(st.tuples(MODELS, usages()), max_size=20))
def test_a_sum_of_n_entries_is_off_by_at_most_half_a_nano_each(
    calls: list[tuple[Prices, Usage]],
) -> None:
    costs = [cost_of(usage, prices) for prices, usage in calls]
    exact = sum(line.amount for cost in costs for line in cost.lines)
    off = abs(sum(cost.nano for cost in costs) * FINE_PER_NANO - exact)
    assert 2 * off <= len(costs) * FINE_PER_NANO


@given(MODELS, usages())
def test_every_token_has_a_price(prices: Prices, usage: Usage) -> None:
    if ("input", 0, "") in prices.rates and ("output", 0, "") in prices.rates:
        missing = cost_of(usage, prices).unpriced
        assert {"web_search", "query", "images_out"}.issuperset(missing)


@st.composite
def splits(draw: st.DrawFn, total: int, meters: list[str]) -> dict[str, int]:
    """Spread at most *total* tokens over the meters."""
    found = {}
    for meter in draw(st.permutations(meters)):
        found[meter] = draw(st.integers(0, total) | st.just(total) | st.just(0))
        total -= found[meter]
    return found


MEDIA = st.frozensets(st.sampled_from(["audio", "image", "video"]))
SIZES = st.builds(
    CallSize, TOKENS, TOKENS, st.integers(1, 3), ASKED, MEDIA, REGIONS, st.integers(0, 5)
)


def reachable_meters(prices: Prices, size: CallSize) -> tuple[list[str], list[str]]:
    """Return the meters that a call of that size may be billed by, prompt and answer side."""
    into = ["input", "cache_read", "cache_write_5m", "cache_write_1h"]
    into += [f"{kind}_in" for kind in size.media]
    out = ["output", "reasoning"]
    out += [meter for meter in ("image_out", "video_out") if (meter, 0, "") in prices.rates]
    return into, [*out, "audio_out"] if "audio" in size.media else out


@given(st.data(), MODELS, SIZES)
def test_no_usage_within_the_size_costs_more_than_the_bound(
    data: st.DataObject, prices: Prices, size: CallSize
) -> None:
    into, out = reachable_meters(prices, size)
    cap = size.output_cap or 0
    most_in = min(size.prompt_bound, prices.max_input_tokens or size.prompt_bound)
    most_out = min(cap, prices.max_output_tokens or cap) * size.choices
    tier = size.service_tier
    tiers = [None, *sorted(prices.tiers - {BATCHES}), "fast"]
    billed = data.draw(st.sampled_from(tiers)) if tier == "auto" else tier
    regions = [None, *(region for region in prices.uplifts if region not in {"fast", "fedramp"})]
    region = data.draw(st.sampled_from(regions)) if size.region is None else size.region
    counts = {**data.draw(splits(most_in, into)), **data.draw(splits(most_out, out))}
    search = data.draw(st.sampled_from(["web_search", "web_search_low", "web_search_high"]))
    usage = Usage(
        **counts,  # type: ignore[arg-type]  # meters only
        other={search: data.draw(st.integers(0, size.web_searches))},
        service_tier=billed,
        region=region,
    )
    assert cost_of(usage, prices, data.draw(TIMES)).nano <= upper_bound(size, prices, 4096)


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
