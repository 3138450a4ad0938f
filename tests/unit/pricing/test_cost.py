from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llmcost_plugins.money import FINE_PER_NANO
from llmcost_plugins.pricing import Catalog, Prices, cost_of
from llmcost_plugins.pricing.cost import Line, recomputed_nano
from llmcost_plugins.pricing.entries import compile_prices
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
    "input_cost_per_image_token": 6e-9,
    "input_cost_per_video_token": 7e-9,
    "output_cost_per_token": 8e-9,
    "output_cost_per_reasoning_token": 9e-9,
    "output_cost_per_audio_token": 10e-9,
    "output_cost_per_image_token": 11e-9,
    "output_cost_per_video_token": 12e-9,
}


@pytest.mark.parametrize(("meter", "price"), list(zip(METERS, range(1, 13), strict=True)))
def test_each_meter_has_its_own_price(meter: str, price: int) -> None:
    cost = cost_of(Usage(**{meter: 100}), prices(**EACH))  # type: ignore[arg-type]  # meters only
    assert cost.nano == 100 * price
    assert cost.lines == (Line(meter, 100, price * FINE_PER_NANO),)
    assert cost.rates == {meter: f"0.0000000{price:02d}".rstrip("0")}


OTHERS = {
    "cache_read_input_audio_token_cost": 1e-9,
    "cache_read_input_image_token_cost": 2e-9,
    "cache_creation_input_audio_token_cost": 3e-9,
    "cache_creation_input_token_cost_above_12hr": 4e-9,
    "input_cost_per_query": 5e-9,
    "google_maps_grounding_cost_per_query": 6e-9,
    "citation_cost_per_token": 7e-9,
    "input_cost_per_image": 8e-9,
    "output_cost_per_image": 9e-9,
    "output_cost_per_image_2K": 10e-9,
    "input_cost_per_pixel": 11e-9,
    "output_cost_per_character": 12e-9,
    "input_cost_per_second": 13e-6,
    "output_cost_per_second_720p": 14e-6,
    "input_cost_per_audio_per_second": 15e-6,
    "output_cost_per_video_per_second": 16e-6,
    "input_cost_per_text_message": 17e-9,
    "ocr_cost_per_page": 18e-9,
    "annotation_cost_per_page": 19e-9,
    "code_interpreter_cost_per_session": 20e-9,
    "ocr_cost_per_credit": 21e-9,
    "input_cost_per_request": 22e-9,
}


@pytest.mark.parametrize(
    ("meter", "price"),
    list(
        zip(
            [
                "cache_read_audio",
                "cache_read_image",
                "cache_write_audio",
                "cache_write_12h",
                "query",
                "maps_search",
                "citation",
                "images_in",
                "images_out",
                "images_out_2k",
                "pixels_in",
                "characters_out",
                "ms_in",
                "ms_out_720p",
                "audio_ms_in",
                "video_ms_out",
                "messages_in",
                "pages",
                "annotated_pages",
                "code_sessions",
                "credits",
                "request",
            ],
            range(1, 23),
            strict=True,
        )
    ),
)
def test_each_further_meter_has_its_own_price(meter: str, price: int) -> None:
    fee = 0 if meter == "request" else 22
    assert nano(Usage(other={meter: 100}), **OTHERS) == 100 * price + fee


def test_a_fee_per_request_is_due_once_for_every_call_that_used_something() -> None:
    fee = {"input_cost_per_request": 5e-3}
    assert nano(Usage(input=1), **fee) == 1000 + 5_000_000
    assert nano(Usage(input=1, other={"request": 2}), **fee) == 1000 + 10_000_000
    assert nano(Usage(), **fee) == 0


@pytest.mark.parametrize(
    ("meter", "expected"),
    [("images_out_8k", 9), ("cache_read_video", 100), ("cache_write_2h", 400)],
)
def test_a_size_or_kind_without_a_price_has_that_of_its_whole(meter: str, expected: int) -> None:
    fields = {
        "output_cost_per_image": 9e-9,
        "cache_read_input_token_cost": 100e-9,
        "cache_creation_input_token_cost_above_1hr": 400e-9,
    }
    assert nano(Usage(other={meter: 1}), **fields) == expected


def test_a_meter_without_any_price_is_named_and_not_taken_for_free() -> None:
    cost = cost_of(Usage(input=2, other={"web_search": 3, "pages": 0, "query": 1}), prices())
    assert (cost.nano, cost.unpriced) == (2000, ("web_search", "query"))


SEARCHES = {
    "search_context_cost_per_query": {
        "search_context_size_low": 1e-3,
        "search_context_size_medium": 2e-3,
        "search_context_size_high": 3e-3,
    }
}


@pytest.mark.parametrize(
    ("meter", "provider", "expected"),
    [
        ("web_search", "openai", 10_000_000),
        ("web_search_low", "openai", 5_000_000),
        ("web_search_high", "openai", 15_000_000),
        ("web_search", "perplexity", 5_000_000),
        ("web_search", "gemini", 2_000_000),
        ("web_search_high", "gemini", 3_000_000),
        ("web_search", "vertex_ai-language-models", 2_000_000),
        ("web_search", "vertex_ai-anthropic_models", 10_000_000),
    ],
)
def test_web_searches_cost_by_their_size_and_googles_older_models_once_a_prompt(
    meter: str, provider: str, expected: int
) -> None:
    usage = Usage(other={meter: 5})
    assert nano(usage, litellm_provider=provider, **SEARCHES) == expected


def test_googles_newer_models_cost_each_search() -> None:
    usage = Usage(other={"web_search": 5})
    fields = {"web_search_billing_unit": "per_query", "litellm_provider": "gemini", **SEARCHES}
    assert nano(usage, **fields) == 10_000_000


BATCH = {
    "input_cost_per_token_batches": 0.4e-6,
    "cache_read_input_token_cost": 0.1e-6,
    "output_cost_per_reasoning_token": 20e-6,
    "input_cost_per_token_above_200k_tokens": 2e-6,
    **SEARCHES,
}


@pytest.mark.parametrize(
    ("usage", "fields", "expected"),
    [
        (Usage(input=10, service_tier="batch"), BATCH, 4000),
        (Usage(input=200_001, service_tier="batch"), BATCH, 200_001 * 400),
        (Usage(cache_read=10, service_tier="batch"), BATCH, 1000),
        (
            Usage(cache_read=10, service_tier="batch"),
            {**BATCH, "cache_read_input_token_cost": 0.9e-6},
            4000,
        ),
        (Usage(cache_write_5m=10, service_tier="batch"), BATCH, 4000),
        (Usage(audio_in=10, service_tier="batch"), BATCH, 4000),
        (Usage(output=10, service_tier="batch"), BATCH, 50_000),
        (Usage(reasoning=10, service_tier="batch"), BATCH, 100_000),
        (Usage(other={"web_search": 1}, service_tier="batch"), BATCH, 2_000_000),
        (Usage(input=10, service_tier="batch"), {}, 5000),
        (
            Usage(cache_read=10, service_tier="batch"),
            {"cache_read_input_token_cost": 0.1e-6},
            500,
        ),
        (
            Usage(input=200_001, service_tier="batch"),
            {"input_cost_per_token_above_200k_tokens": 2e-6},
            200_001 * 1000,
        ),
        (
            Usage(cache_read=10, service_tier="batch"),
            {**BATCH, "cache_read_input_token_cost_batches": 0.05e-6},
            500,
        ),
    ],
)
def test_a_batch_costs_what_its_prices_say_or_half(
    usage: Usage, fields: dict[str, Any], expected: int
) -> None:
    assert nano(usage, **fields) == expected


BANDS = {
    "input_cost_per_token": None,
    "output_cost_per_token": None,
    "tiered_pricing": [
        {
            "range": [32_000.0, 128_000.0],
            "input_cost_per_token": 2e-6,
            "output_cost_per_token": 20e-6,
            "output_cost_per_reasoning_token": 40e-6,
            "cache_read_input_token_cost": 0.2e-6,
        },
        {"range": [0, 32_000], "input_cost_per_token": 1e-6, "output_cost_per_token": 10e-6},
    ],
}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(output=1), 10_000),
        (Usage(input=32_000, output=1), 32_000 * 1000 + 10_000),
        (Usage(input=32_001, output=1), 32_001 * 2000 + 20_000),
        (Usage(input=32_000, reasoning=1), 32_000 * 1000 + 10_000),
        (Usage(input=1, cache_read=32_000, reasoning=1), 2000 + 32_000 * 200 + 40_000),
        (Usage(input=1, cache_write_1h=10), 11 * 1000),
        (Usage(input=500_000), 500_000 * 2000),
        (Usage(input=1, output=1, service_tier="batch"), 500 + 5000),
    ],
)
def test_bands_of_prompt_lengths_replace_the_other_prices(usage: Usage, expected: int) -> None:
    fields = {key: value for key, value in {**PLAIN, **BANDS}.items() if value is not None}
    found = compile_prices("m", fields)
    assert isinstance(found, Prices), found
    assert cost_of(usage, found).nano == expected


def test_a_band_without_a_price_for_the_answer_leaves_it_to_the_model() -> None:
    table = [{"range": [0, 10], "input_cost_per_token": 5e-6}]
    assert nano(Usage(input=1, output=1), tiered_pricing=table) == 5000 + 10_000


OFF_PEAK = {
    "cache_read_input_token_cost": 0.1e-6,
    "off_peak_pricing": {
        "input_cost_per_token": 0.5e-6,
        "output_cost_per_token": 5e-6,
        "windows": [
            {"hours_utc": ["22:00-02:00", "10:00-12:00"], "weekdays": [1, 2, 3, 4, 5]},
            {"hours_utc": "00:00-00:00", "weekdays": [6, 7]},
        ],
        "weekday_timezone": "Asia/Shanghai",
    },
}


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-24T09:59:59", 21_000),
        ("2026-11-24T10:00:00", 10_500),
        ("2026-11-24T11:59:59", 10_500),
        ("2026-11-24T12:00:00", 21_000),
        ("2026-11-24T22:00:00", 10_500),
        ("2026-11-24T01:59:59", 10_500),
        ("2026-11-24T02:00:00", 21_000),
        ("2026-11-28T15:00:00", 10_500),  # a Saturday in Shanghai
        ("2026-11-27T16:00:00", 10_500),  # Friday in London, Saturday in Shanghai
        ("2026-11-29T16:00:00", 21_000),  # Sunday in London, Monday in Shanghai
    ],
)
def test_off_peak_prices_hold_in_their_hours_on_the_providers_days(at: str, expected: int) -> None:
    instant = datetime.fromisoformat(at).replace(tzinfo=UTC)
    usage = Usage(input=1, reasoning=2)
    assert cost_of(usage, prices(**OFF_PEAK), instant).nano == expected
    assert cost_of(usage, prices(**OFF_PEAK)).nano == 21_000


def test_off_peak_leaves_what_it_does_not_price_and_holds_every_day_without_weekdays() -> None:
    at = datetime(2026, 11, 28, 5, tzinfo=UTC)
    block = {"input_cost_per_token": 0.5e-6, "hours_utc": "04:00-06:00"}
    found = prices(cache_read_input_token_cost=0.1e-6, off_peak_pricing=block)
    usage = Usage(input=10, cache_read=10, cache_write_5m=10, output=1)
    assert cost_of(usage, found, at).nano == 5000 + 1000 + 5000 + 10_000


UPLIFTS = {
    "regional_processing_uplift_multiplier_eu": 1.1,
    "provider_specific_entry": {"us": 1.25, "fast": 2.0, "realtime_ga_only": 1, "au": "x"},
    **SEARCHES,
}


@pytest.mark.parametrize(
    ("region", "tier", "expected"),
    [
        (None, None, 20_000_000),
        ("eu", None, 22_000_000),
        ("EU", None, 22_000_000),
        ("us", None, 25_000_000),
        ("us", "fast", 50_000_000),
        (None, "fast", 40_000_000),
        ("global", None, 20_000_000),
        ("not_available", None, 20_000_000),
        ("au", None, 20_000_000),
    ],
)
def test_a_region_and_fast_mode_multiply_tokens_but_no_fees(
    region: str | None, tier: str | None, expected: int
) -> None:
    usage = Usage(input=20_000, other={"web_search": 1}, region=region, service_tier=tier)
    assert nano(usage, **UPLIFTS) == expected + 2_000_000


def test_vertex_asks_more_everywhere_but_at_its_global_endpoint() -> None:
    fields = {"regional_endpoint_uplift_multiplier": 1.1}
    for region, expected in (("us-east5", 1100), ("global", 1000), (None, 1000)):
        assert nano(Usage(input=1, region=region), **fields) == expected


def test_a_model_that_makes_images_only_prices_all_of_its_answer_so() -> None:
    fields = {"output_cost_per_token": 0, "output_cost_per_image_token": 40e-6}
    assert nano(Usage(output=1, image_out=1), **fields) == 80_000


def test_earlier_prices_hold_until_the_users_own_begin() -> None:
    first = datetime(2026, 11, 1, tzinfo=UTC)
    second = datetime(2026, 12, 1, tzinfo=UTC)
    old, middle = prices(), prices(input_cost_per_token=2e-6)
    now = replace(prices(input_cost_per_token=3e-6), earlier=((second, middle), (first, old)))
    usage = Usage(input=1)
    assert cost_of(usage, now, first - timedelta(seconds=1)).nano == 1000
    assert cost_of(usage, now, first).nano == 2000
    assert cost_of(usage, now, second - timedelta(seconds=1)).nano == 2000
    assert cost_of(usage, now, second).nano == 3000
    assert cost_of(usage, now).nano == 3000


def test_a_cost_is_recomputed_from_its_lines() -> None:
    usage = Usage(input=12_345, cache_read=678, reasoning=9, other={"web_search": 3})
    cost = cost_of(usage, prices(**UPLIFTS, output_cost_per_reasoning_token=1.3e-10))
    lines = {line.meter: line.quantity for line in cost.lines}
    assert recomputed_nano(lines, cost.rates) == cost.nano


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
        (Usage(input=1, output=1, service_tier="scale"), 11_000),
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
        ({"input_cost_per_token": 1.0}, "taken for a mistake"),
        ({"tiered_pricing": [{"range": [0, 1]}]}, "tiered_pricing has a structure"),
        ({"tiered_pricing": [{"input_cost_per_token": 1e-6}]}, "tiered_pricing has a structure"),
        ({"tiered_pricing": {"range": [0, 1]}}, "tiered_pricing has a structure"),
        ({"off_peak_pricing": ["02:00-03:00"]}, "off_peak_pricing has a structure"),
        ({"off_peak_pricing": {"hours_utc": "2 to 3"}}, "hours that cannot be read: '2 to 3'"),
        ({"off_peak_pricing": {"windows": [{"hours_utc": [5]}]}}, "cannot be read: 5"),
        ({"output_cost_per_token": 0.0011}, "more than 0.001 USD, which is taken for a mistake"),
        ({"output_cost_per_image": 10.5}, "more than 10.0 USD"),
        ({"search_context_cost_per_query": {"search_context_size_low": -1}}, "not a price"),
    ],
)
def test_an_entry_that_cannot_be_priced_says_why(fields: dict[str, Any], reason: str) -> None:
    assert reason in str(compile_prices("m", {**PLAIN, **fields}))


@pytest.mark.parametrize("missing", ["input_cost_per_token", "output_cost_per_token"])
def test_a_chat_model_needs_both_sides(missing: str) -> None:
    entry = {key: value for key, value in PLAIN.items() if key != missing}
    assert "only one side" in str(compile_prices("m", entry))
    assert isinstance(compile_prices("m", {**entry, "mode": "embedding"}), Prices)
    for mode in ("chat", "embedding"):
        entry = {"litellm_provider": "openai", "mode": mode}
        assert "no price" in str(compile_prices("m", entry))
        assert "says 0" in str(compile_prices("m", {**entry, "input_cost_per_token": 0}))


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


def test_what_is_odd_about_an_entry_is_used_and_said() -> None:
    found = prices(
        output_cost_per_token=0.5e-6,
        cache_read_input_token_cost=2e-6,
        cache_creation_input_token_cost=0.5e-6,
        input_cost_per_smell=1,
        retired="1.80.0",
    )
    assert found.remarks == (
        "input_cost_per_smell is not understood and not used",
        "an answer costs less than a prompt; the two may be swapped",
        "a cached token costs more than an uncached one",
        "a written token costs less than an uncached one",
    )
    assert found.retired == "1.80.0"
    assert prices().remarks == ()


def test_a_price_that_the_user_states_may_be_zero() -> None:
    fields = {"input_cost_per_token": 0, "output_cost_per_token": 0, "stated_by_user": True}
    assert nano(Usage(input=1, output=1), **fields) == 0


def test_a_price_that_the_user_states_may_be_as_high_as_it_likes() -> None:
    assert nano(Usage(output=1), output_cost_per_token=0.5, stated_by_user=True) == 500_000_000


def test_a_zone_that_this_machine_does_not_know_is_taken_as_utc() -> None:
    block = {**OFF_PEAK["off_peak_pricing"], "weekday_timezone": "Mars/Olympus"}  # type: ignore[dict-item]  # a mapping
    at = datetime(2026, 11, 27, 16, tzinfo=UTC)
    assert cost_of(Usage(input=1), prices(off_peak_pricing=block), at).nano == 1000
