from typing import Any

import pytest

from llmcost_plugins.money import FINE_PER_NANO
from llmcost_plugins.pricing import Catalog, Prices, cost_of
from llmcost_plugins.pricing.rates import compile_prices
from llmcost_plugins.pricing.sources import packaged_snapshot
from llmcost_plugins.usage import METERS, Usage

PLAIN: dict[str, Any] = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 1e-6,
    "output_cost_per_token": 10e-6,
}


def prices(**fields: object) -> Prices:
    found = compile_prices("m", {**PLAIN, **fields})
    assert isinstance(found, Prices), found
    return found


def nano(usage: Usage, **fields: object) -> int:
    return cost_of(usage, prices(**fields)).nano


EACH = {
    "input_cost_per_token": 1e-9,
    "cache_read_input_token_cost": 2e-9,
    "cache_creation_input_token_cost": 3e-9,
    "cache_creation_input_token_cost_above_1hr": 4e-9,
    "input_cost_per_audio_token": 5e-9,
    "output_cost_per_token": 6e-9,
    "output_cost_per_reasoning_token": 7e-9,
    "output_cost_per_audio_token": 8e-9,
}


@pytest.mark.parametrize(("meter", "price"), list(zip(METERS, range(1, 9), strict=True)))
def test_each_meter_has_its_own_price(meter: str, price: int) -> None:
    cost = cost_of(Usage(**{meter: 100}), prices(**EACH))  # type: ignore[arg-type]  # meters only
    assert cost.nano == 100 * price
    assert cost.by_meter == {meter: 100 * price * FINE_PER_NANO}


@pytest.mark.parametrize(
    ("meter", "price"),
    [
        ("cache_read", 1000),
        ("cache_write_5m", 1000),
        ("cache_write_1h", 1000),
        ("audio_in", 1000),
        ("reasoning", 10_000),
        ("audio_out", 10_000),
    ],
)
def test_a_meter_without_a_price_has_that_of_its_side(meter: str, price: int) -> None:
    assert nano(Usage(**{meter: 1})) == price  # type: ignore[arg-type]  # meters only


def test_an_explicit_zero_is_a_price() -> None:
    assert nano(Usage(cache_write_5m=1, cache_write_1h=1), cache_creation_input_token_cost=0) == 0


def test_one_hour_writes_without_a_price_cost_as_others_do() -> None:
    assert nano(Usage(cache_write_1h=1), cache_creation_input_token_cost=1.25e-6) == 1250


LONG = {
    "input_cost_per_token_above_200k_tokens": 2e-6,
    "output_cost_per_token_above_200k_tokens": 20e-6,
    "input_cost_per_token_above_272k_tokens": 3e-6,
}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(input=200_000, output=1), 200_000 * 1000 + 10_000),
        (Usage(input=200_001, output=1), 200_001 * 2000 + 20_000),
        (Usage(input=1, cache_read=200_000, output=1), 200_001 * 2000 + 20_000),
        (Usage(input=1, cache_write_5m=100_000, cache_write_1h=100_000), 200_001 * 2000),
        (Usage(input=272_000), 272_000 * 2000),
        (Usage(input=272_001, output=1), 272_001 * 3000 + 20_000),
        (Usage(input=1, output=300_000), 1000 + 300_000 * 10_000),
    ],
)
def test_a_long_prompt_is_dearer_as_a_whole(usage: Usage, expected: int) -> None:
    assert nano(usage, **LONG) == expected


def test_xais_long_prompts_begin_at_the_threshold() -> None:
    assert nano(Usage(input=200_000), litellm_provider="xai", **LONG) == 200_000 * 2000
    assert nano(Usage(input=199_999), litellm_provider="xai", **LONG) == 199_999 * 1000


def test_fireworks_reads_its_cache_at_half_price() -> None:
    own = {"cache_read_input_token_cost": 0.3e-6}
    assert nano(Usage(cache_read=1), litellm_provider="fireworks_ai") == 500
    assert nano(Usage(cache_read=1), litellm_provider="fireworks_ai", **own) == 300


TIERS = {
    "input_cost_per_token_flex": 0.5e-6,
    "input_cost_per_token_priority": 2e-6,
    "output_cost_per_token_priority": 17e-6,
    "output_cost_per_reasoning_token": 12e-6,
    "cache_read_input_token_cost": 0.1e-6,
    "cache_read_input_token_cost_priority": 0.2e-6,
    "input_cost_per_token_above_200k_tokens": 3e-6,
    "input_cost_per_token_above_200k_tokens_priority": 6e-6,
}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(input=1, output=1), 11_000),
        (Usage(input=1, output=1, service_tier="default"), 11_000),
        (Usage(input=1, output=1, service_tier="auto"), 11_000),
        (Usage(input=1, output=1, service_tier="flex"), 10_500),
        (Usage(input=1, output=1, service_tier="priority"), 19_000),
        (Usage(input=1, output=1, service_tier="fast"), 19_000),
        (Usage(cache_read=10, service_tier="flex"), 1000),
        (Usage(cache_read=10, service_tier="priority"), 2000),
        (Usage(reasoning=1), 12_000),
        (Usage(reasoning=1, service_tier="flex"), 12_000),
        (Usage(reasoning=1, service_tier="priority"), 17_000),
        (Usage(input=200_001, service_tier="flex"), 200_001 * 3000),
        (Usage(input=200_001, service_tier="priority"), 200_001 * 6000),
        (Usage(input=200_001, output=1, service_tier="priority"), 200_001 * 6000 + 17_000),
    ],
)
def test_a_service_tier_has_its_own_prices(usage: Usage, expected: int) -> None:
    assert nano(usage, **TIERS) == expected


def test_the_whole_cost_is_rounded_once() -> None:
    half = {"input_cost_per_token": 0.5e-9, "output_cost_per_token": 0.5e-9}
    assert nano(Usage(input=1, output=1), **half) == 1
    assert nano(Usage(input=1), **half) == 0
    assert nano(Usage(input=3), **half) == 2


@pytest.mark.parametrize(
    ("model", "usage", "usd_nano"),
    [
        ("gpt-4o", Usage(input=1000, cache_read=1000, output=1000), 13_750_000),
        ("gpt-4o-mini", Usage(input=1000, cache_read=1000, output=1000), 825_000),
        (
            "claude-sonnet-4-20250514",
            Usage(
                input=1000, cache_read=1000, cache_write_5m=1000, cache_write_1h=1000, output=1000
            ),
            3_000_000 + 300_000 + 3_750_000 + 6_000_000 + 15_000_000,
        ),
    ],
)
def test_well_known_models_cost_what_their_providers_publish(
    model: str, usage: Usage, usd_nano: int
) -> None:
    found = Catalog(packaged_snapshot()).resolve(model)
    assert found.prices is not None
    assert cost_of(usage, found.prices).nano == usd_nano


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"input_cost_per_token": 0, "output_cost_per_token": 0}, "says 0"),
        ({"output_cost_per_token": None}, "not a price"),
        ({"input_cost_per_token": "1e-6"}, "not a price"),
        ({"input_cost_per_token": -1e-6}, "not a price"),
        ({"input_cost_per_token": float("nan")}, "not a price"),
        ({"input_cost_per_token": float("inf")}, "not a price"),
        ({"input_cost_per_token": True}, "not a price"),
        ({"input_cost_per_token": 1.0}, "not a price"),
        ({"tiered_pricing": [{"range": [0, 1]}]}, "cannot compute: tiered_pricing"),
        ({"off_peak_pricing": {"a": 1}}, "cannot compute: off_peak_pricing"),
        ({"input_cost_per_request": 0.005}, "cannot compute: input_cost_per_request"),
    ],
)
def test_an_entry_that_cannot_be_priced_says_why(fields: dict[str, Any], reason: str) -> None:
    assert reason in str(compile_prices("m", {**PLAIN, **fields}))


@pytest.mark.parametrize("missing", ["input_cost_per_token", "output_cost_per_token"])
def test_a_chat_model_needs_both_sides(missing: str) -> None:
    entry = {key: value for key, value in PLAIN.items() if key != missing}
    assert "only one side" in str(compile_prices("m", entry))
    assert isinstance(compile_prices("m", {**entry, "mode": "embedding"}), Prices)
    assert "no token price" in str(compile_prices("m", {"litellm_provider": "openai"}))


@pytest.mark.parametrize(
    ("field", "value", "limit"),
    [
        ("max_output_tokens", 8, 8),
        ("max_output_tokens", 8.0, 8),
        ("max_tokens", 8, 8),
        ("max_output_tokens", 0, None),
        ("max_output_tokens", "8", None),
        ("max_output_tokens", True, None),
    ],
)
def test_a_limit_is_read_where_it_is_a_number(field: str, value: object, limit: object) -> None:
    assert prices(**{field: value}).max_output_tokens == limit
