from decimal import Decimal
from typing import Any

import pytest

from llmcost_plugins.pricing.comparing import Change, compiled, differences
from llmcost_plugins.pricing.maps import PriceMap

BASE = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 2e-06,
    "output_cost_per_token": 4e-06,
}


def compared(old: dict[str, Any], new: dict[str, Any]) -> Any:
    return differences(*(compiled(PriceMap(models), models) for models in (old, new)))


def test_equal_maps_do_not_differ() -> None:
    found = compared({"a": BASE}, {"a": BASE | {"max_output_tokens": 5, "supports_vision": True}})
    assert not found
    assert found.changed == ()


def test_models_that_one_map_has_no_price_of_are_added_or_removed() -> None:
    unpriced = {"mode": "chat"}
    found = compared(
        {"a": BASE, "old": BASE, "was": BASE, "is": unpriced}, {"a": BASE, "new": BASE, "is": BASE}
    )
    assert found
    assert (found.added, found.removed, found.changed) == (("is", "new"), ("old", "was"), ())


def test_a_changed_price_is_told_with_both_sides() -> None:
    found = compared({"a": BASE}, {"a": BASE | {"input_cost_per_token": 3e-06}})
    (change,) = found.changed
    assert change == Change("a", "input", "", "token", Decimal("0.000002"), Decimal("0.000003"))
    assert change.percent == Decimal("50.0")
    assert change.factor == Decimal("1.5")


def test_tiers_lengths_and_multipliers_are_compared_too() -> None:
    old = BASE | {"input_cost_per_token_flex": 1e-06, "fedramp_uplift_multiplier": 1.1}
    new = BASE | {"input_cost_per_token_above_200k_tokens": 1e-06, "fedramp_uplift_multiplier": 1.2}
    found = compared({"a": old}, {"a": new})
    assert [(c.meter, c.when, c.unit, c.old, c.new) for c in found.changed] == [
        ("input", "flex", "token", Decimal("0.000001"), None),
        ("multiplier", "FedRAMP", "", Decimal("1.1"), Decimal("1.2")),
        ("input", "prompt > 200,000", "token", None, Decimal("0.000001")),
    ]
    assert [change.percent for change in found.changed] == [None, Decimal("9.1"), None]
    assert [change.factor for change in found.changed][::2] == [1, 1]


@pytest.mark.parametrize(
    ("old", "new", "factor", "percent"),
    [("1", "4", "4", "300.0"), ("4", "1", "4", "-75.0"), ("0", "1", "Infinity", None)],
)
def test_a_factor_is_the_same_up_and_down(
    old: str, new: str, factor: str, percent: str | None
) -> None:
    change = Change("a", "input", "", "token", Decimal(old), Decimal(new))
    assert change.factor == Decimal(factor)
    assert change.percent == (None if percent is None else Decimal(percent))
    assert Change("a", "input", "", "token", Decimal(new), Decimal(old)).factor == change.factor


def test_a_price_that_stays_at_nothing_has_not_changed() -> None:
    assert Change("a", "input", "", "token", Decimal(0), Decimal(0)).factor == 1
