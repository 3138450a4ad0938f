"""The names of prices in LiteLLM's map, read by grammar.

A price key is ``BASE[_above_<N>hr][_above_<N>k_tokens][_<size>][_<tier>]``: which meter, with which
lifetime in the cache, from which prompt length on, for which size, in which service tier. Reading
the grammar instead of a list of keys keeps later maps working: 18 keys appeared between litellm
1.106.2 and 1.109.1 alone, and 15 more by 1.110.2.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

_TOKENS: Final = re.compile(
    r"(?P<side>input|output)_cost_per_(?:(?P<kind>audio|image|video|reasoning)_)?token"
    r"|cache_(?P<use>read|creation)_input(?:_(?P<media>audio|image|video))?_token_cost"
)
_UNITS: Final = {
    "input_cost_per_request": "request",
    "input_cost_per_query": "query",
    "google_maps_grounding_cost_per_query": "maps_search",
    "citation_cost_per_token": "citation",
    "input_cost_per_image": "images_in",
    "output_cost_per_image": "images_out",
    "input_cost_per_pixel": "pixels_in",
    "output_cost_per_pixel": "pixels_out",
    "input_cost_per_character": "characters_in",
    "output_cost_per_character": "characters_out",
    "input_cost_per_second": "ms_in",
    "output_cost_per_second": "ms_out",
    "input_cost_per_audio_per_second": "audio_ms_in",
    "input_cost_per_video_per_second": "video_ms_in",
    "output_cost_per_video_per_second": "video_ms_out",
    "input_cost_per_text_message": "messages_in",
    "ocr_cost_per_page": "pages",
    "annotation_cost_per_page": "annotated_pages",
    "ocr_cost_per_credit": "credits",
    "code_interpreter_cost_per_session": "code_sessions",
}
_UNIT: Final = re.compile("|".join(sorted(_UNITS, key=len, reverse=True)))
_SUFFIXES: Final = re.compile(
    r"(?:_above_(?P<hours>\d+)hr)?"
    r"(?:_above_(?P<threshold>\d+)(?P<thousand>k?)_tokens)?"
    r"(?:_(?P<size>\d[0-9A-Za-z.]*))?"
    r"(?:_(?P<tier>[a-z]+))?"
)
_MS_PER_SECOND: Final = 1000
_NO_UNIT_PRICE: Final = re.compile(
    r".*_dbu_.*"  # Databricks' own units, not dollars
    r"|cost_per_second"  # capacity that was bought ahead, by the hour
    r"|input_cost_per_token_cache_hit"  # the older name of cache_read_input_token_cost, beside it
    r"|explicit_cache_read_input_token_cost"  # DashScope: no report says which kind a read was
    r"|guardrail_cost_per_unit|.*_above_\d+s_interval"  # tables that no model call is billed by
)


class PriceKey(NamedTuple):
    """What a price key says.

    Attributes:
        meter: see `llmcost_plugins.usage`.
        threshold: prompt tokens beyond which the price holds; 0: from the first on.
        tier: the service tier, e.g. ``flex``; empty: the standard one.
        per: how many of the meter the price is for: 1000 where it is stated per second.
    """

    meter: str
    threshold: int
    tier: str
    per: int


@lru_cache(maxsize=1024)
def parse_key(key: str) -> PriceKey | None:
    """Read a price key; `None` when it is not one."""
    token = _TOKENS.match(key)
    unit = None if token else _UNIT.match(key)
    base = token or unit
    if base is None:
        return None
    suffixes = _SUFFIXES.fullmatch(key, base.end())
    if suffixes is None:
        return None
    hours, size, tier = suffixes["hours"], suffixes["size"], suffixes["tier"] or ""
    if token:
        meter = _token_meter(token, hours)
        if meter is None or size:
            return None
    else:
        if hours:
            return None
        meter = _UNITS[base[0]] + (f"_{size.lower()}" if size else "")
    threshold = int(suffixes["threshold"] or 0) * (1000 if suffixes["thousand"] else 1)
    return PriceKey(meter, threshold, tier, _MS_PER_SECOND if "ms_" in meter else 1)


def is_left_out(key: str) -> bool:
    """Tell whether *key* is known not to be the price of a unit that a call uses."""
    return bool(_NO_UNIT_PRICE.fullmatch(key))


def _token_meter(token: "re.Match[str]", hours: str | None) -> str | None:
    if token["use"]:
        return _cache_meter(token["use"], token["media"], hours)
    if hours:
        return None
    side, kind = token["side"], token["kind"]
    if kind == "reasoning":
        return "reasoning" if side == "output" else None
    return f"{kind}_{side.removesuffix('put')}" if kind else side


def _cache_meter(use: str, media: str | None, hours: str | None) -> str | None:
    if hours and (media or use == "read"):
        return None
    stem = "cache_read" if use == "read" else "cache_write"
    if media:
        return f"{stem}_{media}"
    return stem if use == "read" else f"{stem}_{f'{hours}h' if hours else '5m'}"
