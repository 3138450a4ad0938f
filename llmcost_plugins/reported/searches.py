"""Counts the searches that an answer shows, where the report of its usage does not."""

from collections.abc import Iterator, Mapping
from typing import Final

from llmcost_plugins.reported.fields import Fields, fields_of, first, items_of, word

WEB_SEARCH: Final = "web_search"
MAPS_SEARCH: Final = "maps_search"


def response_searches(whole: Fields) -> dict[str, int]:
    """Count the searches in the ``output`` of OpenAI's responses.

    Opening a page, or looking for a word in it, is a call of the same tool and costs nothing.
    """
    found = 0
    for item in items_of(whole.get("output")):
        call = fields_of(item)
        if word(call.get("type")) == "web_search_call":
            found += word(fields_of(call.get("action")).get("type")) in {"", "search"}
    return {WEB_SEARCH: found} if found else {}


def message_searches(whole: Fields) -> dict[str, int]:
    """Count the searches in the ``content`` of Anthropic's messages; one that failed is free."""
    found = 0
    for item in items_of(whole.get("content")):
        block = fields_of(item)
        if word(block.get("type")) == "web_search_tool_result":
            found += fields_of(block.get("content")).get("error_code") is None
    return {WEB_SEARCH: found} if found else {}


def grounding_searches(whole: Fields) -> dict[str, int]:
    """Count the searches that Google's answers are grounded on, repeated queries once."""
    web: set[str] = set()
    maps: set[str] = set()
    asked_maps = False
    for grounding in _groundings(whole):
        kinds = _kinds(grounding)
        asked_maps |= "maps" in kinds
        queries = first(grounding, "web_search_queries", "webSearchQueries")
        # Google names the queries to its maps so too, where it has asked nothing else.
        into = maps if "maps" in kinds and "web" not in kinds else web
        into.update(query for query in items_of(queries) if isinstance(query, str) and query)
    found = {WEB_SEARCH: len(web), MAPS_SEARCH: max(len(maps), 1) if asked_maps else 0}
    return {meter: count for meter, count in found.items() if count}


def all_searches(whole: Fields) -> Mapping[str, int]:
    """Count the searches of an answer of any kind."""
    return {**message_searches(whole), **response_searches(whole), **grounding_searches(whole)}


def _groundings(whole: Fields) -> Iterator[Fields]:
    for part in (whole, *map(fields_of, items_of(whole.get("candidates")))):
        grounding = first(part, "grounding_metadata", "groundingMetadata")
        if grounding is not None:
            yield fields_of(grounding)


def _kinds(grounding: Fields) -> set[str]:
    chunks = first(grounding, "grounding_chunks", "groundingChunks")
    parts = [fields_of(chunk) for chunk in items_of(chunks)]
    return {kind for kind in ("maps", "web") for part in parts if part.get(kind) is not None}
