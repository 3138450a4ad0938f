from dataclasses import replace

import pytest

from llmcost_plugins.money import FINE_PER_NANO
from llmcost_plugins.pricing import CallSize, Prices, upper_bound
from llmcost_plugins.pricing.estimate import ceiling_bound, output_bound

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
        (CallSize(100, 10, audio=True), 100 * 70 + 10 * 900),
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
    assert ceiling_bound(CallSize(1000, 10, choices=2), (10**10, 3 * 10**10), 0) == 10_600_000
    assert ceiling_bound(CallSize(1, None), (1, 1), 4096) == 1
