import gzip
import json
from decimal import Decimal
from typing import Any

import pytest

from llmcost_plugins.pricing.entries import compile_prices
from llmcost_plugins.pricing.layouts import kept, pack, unpack
from llmcost_plugins.pricing.maps import PriceMap, multiplied

CHAT = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 2e-06,
    "output_cost_per_token": 4e-06,
}
HEADER = {"format": 2}


def packed_map(models: dict[str, Any]) -> PriceMap:
    return PriceMap(unpack(pack(HEADER, models))[1])


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4o",
        "a/b:c@d",
        "ünïcode",
        'quo"te',
        "back\\slash",
        'a":{"b',
        "ends\\",
        "new\nline",
        "",
        ":",
        ":{",
        '"',
    ],
)
def test_every_name_and_entry_comes_back_from_a_pack(name: str) -> None:
    models: dict[str, Any] = {
        name: CHAT,
        "other": {"mode": 'odd "text":{ \\ \n', "cost": [1, {"x": None}]},
    }
    header, stored = unpack(pack(HEADER, models))
    assert header == HEADER
    assert dict(PriceMap(stored)) == models


def test_a_pack_is_plain_json_with_one_model_a_line() -> None:
    text = gzip.decompress(pack(HEADER, {"b": CHAT, "a": {}})).decode()
    assert json.loads(text) == {"format": 2, "models": {"a": {}, "b": CHAT}}
    assert [line[:4] for line in text.splitlines()] == ['{"fo', '"a":', '"b":', "}}"]


def test_the_same_content_gives_the_same_bytes() -> None:
    one: dict[str, Any] = {"b": CHAT, "a": {"x": 1, "y": 2}}
    other: dict[str, Any] = {"a": {"y": 2, "x": 1}, "b": dict(reversed(CHAT.items()))}
    assert pack(HEADER, one) == pack(HEADER, other)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\x1f\x8b junk",
        pack(HEADER, {"a": CHAT})[:-20],
        gzip.compress(b'{"a":{}}', mtime=0),
        gzip.compress(b'{"format":2,"models":{\n"a":{}\n', mtime=0),
        gzip.compress(b'{"format":2,"models":{\nnonsense\n}}\n', mtime=0),
        gzip.compress(b'{"format":,"models":{\n"a":{}\n}}\n', mtime=0),
    ],
)
def test_what_is_no_pack_or_a_damaged_one_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the reasons come from several libraries
        unpack(content)


def test_fields_that_say_the_price_or_what_the_model_can_do_are_kept() -> None:
    entry: dict[str, Any] = {
        "litellm_provider": "openai",
        "mode": "chat",
        "max_tokens": 3,
        "max_input_tokens": 1,
        "max_output_tokens": 2,
        "input_cost_per_token": 1,
        "search_context_cost_per_query": {"search_context_size_low": 1},
        "tiered_pricing": [],
        "off_peak_pricing": {},
        "regional_processing_uplift_multiplier_eu": 1.1,
        "fedramp_uplift_multiplier": 1.1,
        "provider_specific_entry": {"us": 1.1},
        "web_search_billing_unit": "per_query",
        "alias_of": "b",
        "supports_vision": True,
        "supports_function_calling": True,
        "supports_response_schema": True,
        "supports_audio_input": True,
        "supports_reasoning": True,
        "supports_web_search": True,
        "supports_pdf_input": True,
    }
    dropped: dict[str, Any] = {
        "input_dbu_cost_per_token": 5,
        "source": "somewhere",
        "metadata": {"notes": "text"},
        "supported_endpoints": [],
        "supports_tool_choice": True,
        "stated_by_user": True,
        "is_final": True,
        "earlier": [],
        "unpriced": "x",
        "retired": "1.0.0",
    }
    assert kept({"a": entry | dropped}) == {"a": entry}


def test_what_a_model_cannot_do_is_left_out_and_so_is_what_is_no_model() -> None:
    models = {
        "a": {"supports_vision": False, "supports_reasoning": None},
        "sample_spec": CHAT,
        "fallback_generalizations": {"rules": []},
        "text": "not an entry",
    }
    assert kept(models) == {"a": {}}


def test_an_alias_of_the_map_is_priced_as_what_it_names_in_the_end() -> None:
    models = PriceMap(
        {
            "newest": {"alias_of": "latest"},
            "latest": {"alias_of": "m"},
            "m": CHAT | {"retired": "1"},
        }
    )
    assert models["newest"] == CHAT | {"alias_of": "m", "retired": "1"}
    assert models["m"] == CHAT | {"retired": "1"}


def test_a_retired_alias_says_so_itself() -> None:
    models = PriceMap({"old": {"alias_of": "m", "retired": "1.2.3"}, "m": CHAT})
    assert models["old"] == CHAT | {"alias_of": "m", "retired": "1.2.3"}


@pytest.mark.parametrize(
    ("models", "reason"),
    [
        ({"a": {"alias_of": "b"}, "b": {"alias_of": "a"}}, "it is an alias of itself: a -> b -> a"),
        ({"a": {"alias_of": "a"}}, "it is an alias of itself: a -> a"),
        ({"a": {"alias_of": "gone"}}, "it is an alias of 'gone', which the price map lacks"),
        ({"a": {"alias_of": ["b"]}}, "it is an alias of \"['b']\", which the price map lacks"),
    ],
)
def test_an_alias_that_leads_nowhere_has_no_price_and_says_why(
    models: dict[str, Any], reason: str
) -> None:
    assert compile_prices("a", PriceMap(models)["a"]) == reason


def test_models_that_a_newer_map_lacks_keep_their_price_and_count_as_retired() -> None:
    older = packed_map({"both": CHAT, "gone": CHAT, "long gone": CHAT | {"retired": "1.0.0"}})
    newer = PriceMap({"both": CHAT | {"mode": "responses"}, "new": CHAT})
    models = newer.over(older, "1.5.0")
    assert models["both"] == CHAT | {"mode": "responses"}
    assert models["gone"] == CHAT | {"retired": "1.5.0"}
    assert models["long gone"] == CHAT | {"retired": "1.0.0"}
    assert sorted(models) == ["both", "gone", "long gone", "new"]
    assert sorted(models.current()) == ["both", "new"]
    assert sorted(older.current()) == ["both", "gone"]


def test_a_discount_holds_for_entries_of_its_label_unless_they_are_final() -> None:
    models = PriceMap(
        {
            "plain": CHAT,
            "other": CHAT | {"litellm_provider": "azure"},
            "alias": {"alias_of": "plain"},
            "own": CHAT | {"is_final": True},
        }
    ).with_own({}, {"openai": Decimal("0.9")})
    prices = {name: entry["input_cost_per_token"] for name, entry in models.items()}
    assert prices == {
        "plain": Decimal("0.0000018"),
        "other": 2e-06,
        "alias": Decimal("0.0000018"),
        "own": 2e-06,
    }


def test_all_prices_of_an_entry_are_multiplied_and_nothing_else() -> None:
    entry = CHAT | {
        "max_input_tokens": 1000,
        "cache_read_input_token_cost": 0,
        "input_cost_per_token_above_200k_tokens_flex": 1,
        "search_context_cost_per_query": {"search_context_size_low": 0.01},
        "tiered_pricing": [{"range": [0, 10], "input_cost_per_token": 2e-06}],
        "off_peak_pricing": {"hours_utc": "16:30-00:30", "input_cost_per_token": 1e-06},
        "regional_endpoint_uplift_multiplier": 1.1,
        "input_cost_per_image": True,
    }
    assert multiplied(entry, Decimal("0.5")) == entry | {
        "input_cost_per_token": Decimal("0.000001"),
        "output_cost_per_token": Decimal("0.000002"),
        "input_cost_per_token_above_200k_tokens_flex": Decimal("0.5"),
        "search_context_cost_per_query": {"search_context_size_low": Decimal("0.005")},
        "tiered_pricing": [{"range": [0, 10], "input_cost_per_token": Decimal("0.000001")}],
        "off_peak_pricing": {
            "hours_utc": "16:30-00:30",
            "input_cost_per_token": Decimal("0.0000005"),
        },
    }


def test_all_labels_are_found_without_parsing() -> None:
    models: dict[str, Any] = {
        "a": CHAT,
        "b": CHAT | {"litellm_provider": "vertex_ai-anthropic_models"},
        "c": {"mode": "chat"},
    }
    labels = {"openai", "vertex_ai-anthropic_models", ""}
    assert packed_map(models).labels() == PriceMap(models).labels() == labels


def test_a_price_map_is_a_mapping() -> None:
    models = packed_map({"a": CHAT})
    assert "a" in models
    assert "b" not in models
    assert len(models) == 1
    assert models.get("b") is None
    assert PriceMap.of(models) is models
    assert PriceMap.of({"a": CHAT}) == models
