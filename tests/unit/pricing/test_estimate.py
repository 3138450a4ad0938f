from dataclasses import replace
from datetime import UTC, datetime, time

import pytest

from llmcost_plugins.money import FINE_PER_NANO
from llmcost_plugins.pricing import CallSize, Estimate, Mode, Prices, estimate, upper_bound
from llmcost_plugins.pricing.estimate import ceiling_estimate, output_bound, ratio_seen
from llmcost_plugins.pricing.rates import Band, OffPeak, OffPeakRule

NANO = FINE_PER_NANO
PRICES = Prices(
    "m",
    "p",
    {
        ("input", 0, ""): 10 * NANO,
        ("cache_write_5m", 0, ""): 12 * NANO,
        ("cache_write_1h", 0, ""): 20 * NANO,
        ("input", 1000, ""): 30 * NANO,
        ("input", 0, "priority"): 50 * NANO,
        ("input", 1000, "priority"): 40 * NANO,
        ("output", 0, ""): 100 * NANO,
        ("reasoning", 0, ""): 300 * NANO,
        ("output", 0, "flex"): 60 * NANO,
        ("audio_in", 0, ""): 70 * NANO,
        ("audio_out", 0, ""): 900 * NANO,
    },
    (1000,),
    5000,
    800,
)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (CallSize(100, 10), 100 * 20 + 10 * 300),
        (CallSize(1000, 10), 1000 * 20 + 10 * 300),
        (CallSize(1001, 10), 1001 * 30 + 10 * 300),
        (CallSize(100, 10, choices=3), 100 * 20 + 30 * 300),
        (CallSize(100, 10, choices=0), 100 * 20 + 10 * 300),
        (CallSize(100, None), 100 * 20 + 500 * 300),
        (CallSize(100, 10**6), 100 * 20 + 800 * 300),
        (CallSize(10**9, 0), 5000 * 30),
        (CallSize(1001, 0, service_tier="priority"), 1001 * 50),
        (CallSize(100, 10, service_tier="flex"), 100 * 20 + 10 * 60),
        (CallSize(100, 10, service_tier="auto"), 100 * 50 + 10 * 300),
        (CallSize(100, 10, media=frozenset({"audio"})), 100 * 70 + 10 * 900),
        (CallSize(100, 10, media=frozenset({"image", "video"})), 100 * 20 + 10 * 300),
        (CallSize(0, 0), 0),
    ],
)
def test_the_bound_takes_the_dearest_that_the_call_can_reach(size: CallSize, expected: int) -> None:
    assert upper_bound(size, PRICES, 500) == expected


def test_the_default_cap_is_limited_by_the_model() -> None:
    assert output_bound(CallSize(1, None), PRICES, 4096) == 800
    assert output_bound(CallSize(1, None), replace(PRICES, max_output_tokens=None), 4096) == 4096


def test_a_bound_is_rounded_up() -> None:
    prices = replace(PRICES, rates={("input", 0, ""): 1, ("output", 0, ""): 1})
    assert upper_bound(CallSize(1, 0), prices, 0) == 1


def test_a_ceiling_counts_stated_prices_per_million() -> None:
    size = CallSize(1000, 10, choices=2)
    expected = Estimate(10_600_000, Mode.BOUND, 1000, 20)
    assert ceiling_estimate(size, (10**10, 3 * 10**10), 0) == expected
    assert ceiling_estimate(CallSize(1, None), (1, 1), 4096).nano == 1


TEXT = CallSize(1000, 0, text_bytes=600)
COUNTED = replace(TEXT, text_tokens=150, tokenizer="words")


@pytest.mark.parametrize(
    ("size", "own", "ratio", "prompt", "mode"),
    [
        (TEXT, False, None, 1000, Mode.BOUND),
        (TEXT, True, None, 1000, Mode.BOUND),
        (COUNTED, False, None, 1000, Mode.BOUND),
        (COUNTED, True, None, 550, Mode.EXACT),
        (COUNTED, True, 100, 550, Mode.EXACT),
        (TEXT, False, 250_000, 400 + 173, Mode.CALIBRATED),  # 600 * 0.25 * 1.15 = 172.5
        (COUNTED, False, 1_400_000, 400 + 242, Mode.CALIBRATED),  # 150 * 1.4 * 1.15 = 241.5
        (TEXT, False, 5_000_000, 1000, Mode.CALIBRATED),  # never more than its bytes
        (TEXT, False, 0, 400, Mode.CALIBRATED),
    ],
)
def test_an_estimate_says_how_it_measured_the_prompt(
    size: CallSize, own: bool, ratio: int | None, prompt: int, mode: Mode
) -> None:
    found = estimate(size, PRICES, 0, own_tokenizer=own, ratio=ratio)
    assert found == Estimate(prompt * 20, mode, prompt, 0)


@pytest.mark.parametrize(
    ("size", "prompt_tokens", "ratio"),
    [
        (TEXT, 400 + 150, 250_000),
        (TEXT, 300, 0),
        (COUNTED, 400 + 210, 1_400_000),
        (TEXT, 400 + 601, None),  # more tokens than bytes: there was more than the text
        (replace(TEXT, text_bytes=255), 900, None),
        (replace(TEXT, media=frozenset({"image"})), 550, None),
        (replace(TEXT, web_searches=1), 550, None),
        (replace(COUNTED, text_tokens=0), 550, None),
    ],
)
def test_a_finished_call_shows_a_ratio_if_it_was_text_of_some_length(
    size: CallSize, prompt_tokens: int, ratio: int | None
) -> None:
    assert ratio_seen(size, prompt_tokens) == ratio


def test_regions_that_a_request_need_not_name_are_held_for() -> None:
    prices = replace(PRICES, uplifts={"eu": (11, 10), "fast": (2, 1), "fedramp": (3, 1)})
    assert upper_bound(CallSize(1000, 0), prices, 0) == 22_000
    assert upper_bound(CallSize(1000, 0, region="global"), prices, 0) == 20_000
    assert upper_bound(CallSize(1000, 0, region="eu"), prices, 0) == 22_000
    assert upper_bound(CallSize(1000, 0, region="global", service_tier="fast"), prices, 0) == 40_000


def test_fees_are_held_for() -> None:
    rates = {
        **PRICES.rates,
        ("request", 0, ""): 5 * NANO,
        ("web_search", 0, ""): 100 * NANO,
        ("web_search_high", 0, ""): 300 * NANO,
    }
    prices = replace(PRICES, rates=rates)
    assert upper_bound(CallSize(0, 0), prices, 0) == 5
    assert upper_bound(CallSize(0, 0, web_searches=4), prices, 0) == 5 + 1200
    once = replace(prices, once=frozenset({"web_search"}))
    assert upper_bound(CallSize(0, 0, web_searches=4), once, 0) == 5 + 300


def test_a_model_that_makes_images_may_do_so_unasked() -> None:
    prices = replace(PRICES, rates={**PRICES.rates, ("image_out", 0, ""): 700 * NANO})
    assert upper_bound(CallSize(0, 10), prices, 0) == 7000


def test_bands_and_off_peak_prices_are_held_for_at_their_dearest() -> None:
    bands = (Band(100, {"input": 40 * NANO}), Band(500, {"input": 15 * NANO}))
    prices = replace(PRICES, bands=bands)
    assert upper_bound(CallSize(300, 0), prices, 0) == 300 * 40
    night = OffPeakRule(((time(0), time(0)),), frozenset())
    cheap = replace(PRICES, off_peak=OffPeak({"input": 1}, (night,)))
    assert estimate(CallSize(1000, 0), cheap, 0, at=datetime(2026, 1, 1, tzinfo=UTC)).nano == 20_000
