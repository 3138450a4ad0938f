"""Reads what Google's Gemini reports, in the names of its REST interface or of its SDKs."""

from typing import Final, NamedTuple

from llmcost_plugins.reported.fields import Fields, fields_of, first, is_count, items_of, word
from llmcost_plugins.reported.report import MEDIA, STANDARD, Report, Source
from llmcost_plugins.reported.searches import grounding_searches
from llmcost_plugins.usage import Usage


class _Names(NamedTuple):
    """The names of the parts of a report."""

    prompt: str
    prompt_details: str
    cached: str
    cached_details: str
    tools: str
    tools_details: str
    answers: tuple[str, str]
    answers_details: tuple[str, str]
    thoughts: str
    total: str
    traffic: str


_REST: Final = _Names(
    "promptTokenCount",
    "promptTokensDetails",
    "cachedContentTokenCount",
    "cacheTokensDetails",
    "toolUsePromptTokenCount",
    "toolUsePromptTokensDetails",
    ("candidatesTokenCount", "responseTokenCount"),
    ("candidatesTokensDetails", "responseTokensDetails"),
    "thoughtsTokenCount",
    "totalTokenCount",
    "trafficType",
)
_SDK: Final = _Names(
    "prompt_token_count",
    "prompt_tokens_details",
    "cached_content_token_count",
    "cache_tokens_details",
    "tool_use_prompt_token_count",
    "tool_use_prompt_tokens_details",
    ("candidates_token_count", "response_token_count"),
    ("candidates_tokens_details", "response_tokens_details"),
    "thoughts_token_count",
    "total_token_count",
    "traffic_type",
)
_ON_DEMAND: Final = "on_demand"
_UNKNOWN_TRAFFIC: Final = "traffic_type_unspecified"
_TIER_HEADER: Final = "x-gemini-service-tier"


def read_content(source: Source) -> Usage | None:
    """Read a report of ``generateContent``.

    The prompt includes what was cached, but not what tools have given back. Of the latter, the
    results of Google's searches are free, as the search itself is paid for. Thoughts are counted
    apart from the answer, unless the total shows that they are a part of it.
    """
    usage = source.usage
    names = _REST if is_count(usage.get(_REST.prompt)) else _SDK
    if not is_count(usage.get(names.prompt)):
        return None
    report = Report(source)
    _read_tier(report, usage.get(names.traffic), source.whole)
    searches = grounding_searches(source.whole)
    report.add_all(searches)
    tools = report.count(usage, names.tools)
    billed_tools = 0 if searches else tools
    prompt = report.count(usage, names.prompt)
    media = _by_medium(report, usage.get(names.prompt_details))
    if billed_tools:
        for medium, count in _by_medium(report, usage.get(names.tools_details)).items():
            media[medium] = media.get(medium, 0) + count
    cached = _by_medium(report, usage.get(names.cached_details))
    by_medium = {f"{medium}_tokens": count for medium, count in cached.items()}
    report.add_cache_reads(report.count(usage, names.cached), by_medium, media)
    answer = report.count(usage, *names.answers)
    made = _by_medium(report, first(usage, *names.answers_details))
    for medium, count in made.items():
        report.add(f"{medium}_out", count)
    thoughts = report.count(usage, names.thoughts)
    report.add("reasoning", thoughts)
    total = report.count(usage, names.total)
    if not thoughts or total != prompt + tools + answer:
        answer += thoughts
    report.check_total(total, prompt + tools + answer)
    return report.usage(prompt + billed_tools, answer)


def _by_medium(report: Report, details: object) -> dict[str, int]:
    """Return the tokens of each medium; those of documents are text."""
    found: dict[str, int] = {}
    for item in items_of(details):
        part = fields_of(item)
        medium = word(part.get("modality"))
        if medium in MEDIA:
            count = report.count(part, "tokenCount", "token_count")
            found[medium] = found.get(medium, 0) + count
    return found


def _read_tier(report: Report, traffic: object, whole: Fields) -> None:
    """Read the tier from Vertex AI's kind of traffic, or from the header of the Gemini API."""
    kind = word(traffic)
    if kind and kind != _UNKNOWN_TRAFFIC:
        report.service_tier = kind.removeprefix(_ON_DEMAND).lstrip("_") or None
    elif (response := first(whole, "sdk_http_response", "sdkHttpResponse")) is not None:
        headers = fields_of(fields_of(response).get("headers"))
        tier = word(headers.get(_TIER_HEADER))
        report.service_tier = None if tier in STANDARD else tier
