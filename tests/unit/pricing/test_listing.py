from typing import Any

import pytest

from llmcost_plugins.pricing.entries import compile_prices
from llmcost_plugins.pricing.listing import (
    hours,
    multiplier_place,
    multipliers,
    unit_of,
    unit_prices,
)
from llmcost_plugins.pricing.rates import Prices
from llmcost_plugins.pricing.sources import packaged_snapshot
from llmcost_plugins.usage import METERS, UNITS


def compiled(**entry: Any) -> Prices:
    found = compile_prices("m", {"litellm_provider": "openai", **entry})
    assert isinstance(found, Prices), found
    return found


def test_prices_stand_in_order_each_with_when_it_holds() -> None:
    prices = compiled(
        output_cost_per_token=8e-06,
        input_cost_per_token=2e-06,
        cache_creation_input_token_cost_above_1hr=4e-06,
        cache_creation_input_token_cost_above_12hr=5e-06,
        cache_read_input_token_cost=1e-06,
        input_cost_per_token_above_200k_tokens=3e-06,
        input_cost_per_token_priority=6e-06,
        input_cost_per_token_above_200k_tokens_priority=7e-06,
        input_cost_per_token_batches=1e-06,
        input_cost_per_second=0.0006,
        output_cost_per_image_1024=0.25,
        search_context_cost_per_query={"search_context_size_low": 0.01},
    )
    assert [(line.meter, line.usd, line.when) for line in unit_prices(prices)] == [
        ("input", "0.000002", ""),
        ("cache_read", "0.000001", ""),
        ("cache_write_12h", "0.000005", ""),
        ("cache_write_1h", "0.000004", ""),
        ("output", "0.000008", ""),
        ("web_search", "0.01", ""),
        ("web_search_low", "0.01", ""),
        ("images_out_1024", "0.25", ""),
        ("ms_in", "0.0006", ""),
        ("input", "0.000003", "prompt > 200,000"),
        ("input", "0.000001", "batch"),
        ("input", "0.000006", "priority"),
        ("input", "0.000007", "priority, prompt > 200,000"),
    ]


def test_bands_and_cheaper_hours_are_listed() -> None:
    prices = compiled(
        tiered_pricing=[
            {"range": [0, 100], "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
            {"range": [100, 200], "input_cost_per_token": 3e-06, "output_cost_per_token": 4e-06},
        ],
        input_cost_per_token=9e-06,
        input_cost_per_image=0.01,
        off_peak_pricing={"hours_utc": "16:30-00:30", "output_cost_per_token": 1e-06},
    )
    assert [(line.meter, line.usd, line.when) for line in unit_prices(prices)] == [
        ("input", "0.000001", "prompt <= 100"),
        ("output", "0.000002", "prompt <= 100"),
        ("images_in", "0.01", ""),
        ("input", "0.000003", "prompt > 100"),
        ("output", "0.000004", "prompt > 100"),
        ("output", "0.000001", "off-peak"),
    ]


@pytest.mark.parametrize(
    ("meter", "name", "worth", "shown"),
    [
        *((meter, "token", 1, 10**6) for meter in METERS),
        ("cache_write_12h", "token", 1, 10**6),
        ("cache_read_audio", "token", 1, 10**6),
        ("citation", "token", 1, 10**6),
        ("ms_out_720p", "second", 1000, 1),
        ("audio_ms_in", "second", 1000, 1),
        ("images_out_1k", "image", 1, 1),
        ("web_search_high", "search", 1, 1),
        ("pixels_in", "pixel", 1, 10**6),
        ("multiplier", "multiplier", 1, 1),
    ],
)
def test_every_meter_has_a_unit(meter: str, name: str, worth: int, shown: int) -> None:
    assert unit_of(meter) == (name, worth, shown)


def test_no_unit_is_forgotten() -> None:
    assert all(unit_of(meter).name != meter or meter in {"request", "query"} for meter in UNITS)


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"hours_utc": "16:30-00:30"}, ["16:30-00:30 UTC"]),
        ({"hours_utc": ["01:00-02:00", "03:00-04:00"]}, ["01:00-02:00, 03:00-04:00 UTC"]),
        (
            {
                "windows": [
                    {"hours_utc": "00:00-00:00", "weekdays": [6, 7]},
                    {"hours_utc": "01:00-02:00", "weekdays": [1, 3]},
                    {"hours_utc": "03:00-04:00", "weekdays": [2]},
                ]
            },
            ["all day UTC, Sat-Sun", "01:00-02:00 UTC, Mon, Wed", "03:00-04:00 UTC, Tue"],
        ),
        (
            {
                "windows": [{"hours_utc": "01:00-02:00", "weekdays": [1, 2, 3, 4, 5]}],
                "weekday_timezone": "Asia/Shanghai",
            },
            ["01:00-02:00 UTC, Mon-Fri in Asia/Shanghai"],
        ),
    ],
)
def test_cheaper_hours_are_written_for_people(block: dict[str, Any], text: list[str]) -> None:
    prices = compiled(
        input_cost_per_token=1e-06,
        output_cost_per_token=1e-06,
        off_peak_pricing={**block, "input_cost_per_token": 5e-07},
    )
    assert prices.off_peak is not None
    assert hours(prices.off_peak) == text


def test_multipliers_are_listed_by_where_they_hold() -> None:
    prices = compiled(
        input_cost_per_token=1e-06,
        output_cost_per_token=1e-06,
        regional_processing_uplift_multiplier_eu=1.1,
        regional_endpoint_uplift_multiplier=1.25,
        fedramp_uplift_multiplier=2,
        provider_specific_entry={"fast": 6.0},
    )
    assert {multiplier_place(place): n for place, n in multipliers(prices).items()} == {
        "region eu": "1.1",
        "every region but global": "1.25",
        "FedRAMP": "2",
        "fast mode": "6",
    }


def test_every_model_of_the_snapshot_can_be_listed() -> None:
    models = packaged_snapshot().models
    listed = 0
    for name, entry in models.items():
        prices = compile_prices(name, entry)
        if isinstance(prices, Prices):
            lines = unit_prices(prices)
            assert len({line[:5] for line in lines}) == len(lines) > 0, name
            assert all(unit_of(line.meter).name for line in lines), name
            listed += 1
    assert listed > 5000
