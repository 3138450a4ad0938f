"""Whatever stands in a file of prices, it is used, or refused with a reason."""

import json
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.pricing import Catalog, Prices
from llmcost_plugins.pricing.layouts import pack, unpack
from llmcost_plugins.pricing.listing import hours, multipliers, unit_prices
from llmcost_plugins.pricing.maps import PriceMap
from llmcost_plugins.pricing.overrides import apply_overrides, read_overrides
from llmcost_plugins.pricing.sources import Source, packaged_snapshot
from llmcost_plugins.pricing.update import examine

FIELDS = (
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "input_cost_per_token_above_200k_tokens",
    "output_cost_per_token_flex",
    "output_cost_per_image",
    "search_context_cost_per_query",
    "search_context_size_low",
    "tiered_pricing",
    "range",
    "off_peak_pricing",
    "hours_utc",
    "windows",
    "weekdays",
    "weekday_timezone",
    "provider_specific_entry",
    "us",
    "regional_endpoint_uplift_multiplier",
    "max_input_tokens",
    "max_tokens",
    "supports_vision",
    "litellm_provider",
    "mode",
    "alias_of",
    "alias",
    "currency",
    "usd_rate",
    "discount",
    "valid_from",
)
NAMES = ("gpt-4o", "azure/gpt-4o", "house", "openai/*", "claude-opus-latest")
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 10**6),
    st.floats(0, 0.001),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(
        (*NAMES, "chat", "openai", "CNY", "16:30-00:30", "99:99-00:00", "2027-01-01", "Asia/Tokyo")
    ),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3)
    ),
    max_leaves=8,
)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)
entries = st.dictionaries(st.sampled_from(FIELDS), values, max_size=6)
SNAPSHOT = packaged_snapshot()
BEFORE = Source(
    "before",
    (1,),
    "0" * 16,
    PriceMap({name: SNAPSHOT.models[name] for name in NAMES if name in SNAPSHOT.models}),
)


def all_can_be_shown(catalog: Catalog, names: tuple[str, ...]) -> None:
    for name in names:
        prices = catalog.resolve(name).prices
        if prices is not None:
            for version in (prices, *(earlier for _, earlier in prices.earlier)):
                assert isinstance(version, Prices)
                assert all(Decimal(line.usd) >= 0 for line in unit_prices(version))
                assert all(Decimal(factor) > 0 for factor in multipliers(version).values())
                assert version.off_peak is None or hours(version.off_peak) is not None


@given(st.dictionaries(st.sampled_from(NAMES), entries | st.lists(entries, max_size=2) | values))
def test_a_file_of_own_prices_is_used_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]
) -> None:
    path: Path = tmp_path_factory.mktemp("own") / "own.json"
    path.write_text(json.dumps(content))
    with suppress(ConfigurationError):
        found = apply_overrides(read_overrides(path), BEFORE)
        all_can_be_shown(Catalog(found), NAMES)


@given(st.dictionaries(st.sampled_from((*NAMES, "sample_spec")), entries | values))
def test_a_map_is_looked_at_whatever_it_has(content: dict[str, Any]) -> None:
    examined = examine(json.dumps(content).encode(), BEFORE, fewest=0)
    if not examined.problems:
        _, stored = unpack(pack({"format": 2}, examined.models))
        models = PriceMap(stored).over(PriceMap.of(BEFORE.models), "1.0.0")
        all_can_be_shown(Catalog(Source("new", (2,), "1" * 16, models)), NAMES)


@given(st.binary(max_size=50) | st.text(max_size=50).map(str.encode))
def test_any_bytes_are_looked_at(content: bytes) -> None:
    assert examine(content, BEFORE).problems


@given(
    st.dictionaries(st.text(max_size=8), st.dictionaries(st.text(max_size=4), plain), max_size=5)
)
def test_a_packed_map_comes_back_whole(models: dict[str, Any]) -> None:
    read = PriceMap(unpack(pack({"format": 2}, models))[1])
    assert {name: read._read(name) for name in read} == models
