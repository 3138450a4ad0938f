import pytest

from llmcost_plugins.pricing.keys import PriceKey, is_left_out, parse_key
from llmcost_plugins.pricing.sources import packaged_snapshot
from llmcost_plugins.usage import METERS, is_meter


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("input_cost_per_token", ("input", 0, "", 1)),
        ("output_cost_per_token", ("output", 0, "", 1)),
        ("cache_read_input_token_cost", ("cache_read", 0, "", 1)),
        ("cache_creation_input_token_cost", ("cache_write_5m", 0, "", 1)),
        ("cache_creation_input_token_cost_above_1hr", ("cache_write_1h", 0, "", 1)),
        ("cache_creation_input_token_cost_above_12hr_flex", ("cache_write_12h", 0, "flex", 1)),
        (
            "cache_creation_input_token_cost_above_1hr_above_200k_tokens_batches",
            ("cache_write_1h", 200_000, "batches", 1),
        ),
        ("input_cost_per_token_above_272k_tokens_priority", ("input", 272_000, "priority", 1)),
        ("input_cost_per_token_above_512_tokens", ("input", 512, "", 1)),
        ("input_cost_per_token_moonlight", ("input", 0, "moonlight", 1)),
        ("output_cost_per_token_above_7k_tokens_moonlight", ("output", 7000, "moonlight", 1)),
        ("output_cost_per_reasoning_token", ("reasoning", 0, "", 1)),
        ("input_cost_per_audio_token_above_200k_tokens", ("audio_in", 200_000, "", 1)),
        ("output_cost_per_image_token_priority", ("image_out", 0, "priority", 1)),
        ("input_cost_per_video_token", ("video_in", 0, "", 1)),
        ("cache_read_input_audio_token_cost", ("cache_read_audio", 0, "", 1)),
        ("cache_read_input_image_token_cost", ("cache_read_image", 0, "", 1)),
        ("cache_creation_input_audio_token_cost", ("cache_write_audio", 0, "", 1)),
        ("input_cost_per_second", ("ms_in", 0, "", 1000)),
        ("output_cost_per_second_1080p", ("ms_out_1080p", 0, "", 1000)),
        ("output_cost_per_video_per_second", ("video_ms_out", 0, "", 1000)),
        ("output_cost_per_image_0.5K", ("images_out_0.5k", 0, "", 1)),
        ("output_cost_per_image_4K", ("images_out_4k", 0, "", 1)),
        ("input_cost_per_request", ("request", 0, "", 1)),
        ("input_cost_per_query", ("query", 0, "", 1)),
        ("citation_cost_per_token", ("citation", 0, "", 1)),
        ("ocr_cost_per_page_batches", ("pages", 0, "batches", 1)),
        ("google_maps_grounding_cost_per_query", ("maps_search", 0, "", 1)),
    ],
)
def test_a_price_key_is_read_by_its_grammar(key: str, expected: tuple[str, int, str, int]) -> None:
    assert parse_key(key) == PriceKey(*expected)
    assert is_meter(expected[0])


@pytest.mark.parametrize(
    "key",
    [
        "max_input_tokens",
        "litellm_provider",
        "input_cost_per_token_cache_hit",
        "input_cost_per_token_above_200k",
        "input_cost_per_token_above_1hr",
        "cache_read_input_token_cost_above_1hr",
        "input_cost_per_reasoning_token",
        "input_cost_per_token_720p",
        "input_cost_per_image_above_1hr",
        "output_dbu_cost_per_token",
        "input_cost_per_video_per_second_above_15s_interval",
        "search_context_cost_per_query",
        "",
    ],
)
def test_what_is_no_price_of_a_meter_is_not_read_as_one(key: str) -> None:
    assert parse_key(key) is None


def test_every_price_of_the_map_is_read_or_known_to_be_left_out() -> None:
    unread = {
        key
        for entry in packaged_snapshot().models.values()
        for key, value in entry.items()
        if "cost" in key and isinstance(value, int | float) and parse_key(key) is None
    }
    assert {key for key in unread if not is_left_out(key)} == set()
    assert len(unread) < 12, sorted(unread)


def test_every_key_of_the_map_names_a_known_meter() -> None:
    keys = {key for entry in packaged_snapshot().models.values() for key in entry}
    parsed = {key: found for key in keys if (found := parse_key(key))}
    assert [key for key, found in parsed.items() if not is_meter(found.meter)] == []
    assert {found.meter for found in parsed.values()} >= set(METERS) - {"video_out"}
