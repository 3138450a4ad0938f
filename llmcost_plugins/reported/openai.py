"""Reads what OpenAI reports, and those who report as OpenAI does.

Chat completions and embeddings (``prompt_tokens``), responses, images, transcriptions and realtime
answers (``input_tokens``); Azure, DeepSeek, Groq, LiteLLM, Mistral, OpenRouter, Perplexity, xAI.
All details are parts of the two totals, with the exceptions named below.
"""

import math
from typing import Final, NamedTuple

from llmcost_plugins.reported.fields import NOTHING, Fields, fields_of, first, is_count, lacks, word
from llmcost_plugins.reported.report import MEDIA, Report, Source
from llmcost_plugins.reported.searches import WEB_SEARCH, response_searches
from llmcost_plugins.usage import Usage

_CACHED: Final = ("cached_tokens", "cache_read_input_tokens")
_CACHED_ON_TOP: Final = (
    "prompt_cache_hit_tokens",  # DeepSeek; what missed is plain input, and no write to a cache
    "cached_tokens",
    "num_cached_tokens",
    "cached_prompt_text_tokens",  # xAI's own SDK
    "cache_read_input_tokens",
)
_CACHE_FIELDS: Final = frozenset({*_CACHED_ON_TOP, "cache_creation", "cache_creation_input_tokens"})
_WRITTEN: Final = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
_MEDIA: Final = tuple((medium, f"{medium}_tokens") for medium in MEDIA)
_SEARCHES: Final = "web_search_requests"
_XAI_TOOLS: Final = ("server_side_tool_usage_details", "server_side_tool_usage")
_WEB_CALLS: Final = ("web_search_calls", "SERVER_SIDE_TOOL_WEB_SEARCH")
_X_CALLS: Final = ("x_search_calls", "SERVER_SIDE_TOOL_X_SEARCH")
_FEE_DETAILS: Final = frozenset({_SEARCHES, "google_maps_grounding_requests"})
_FEE_FIELDS: Final = frozenset(
    {
        "citation_tokens",
        "num_search_queries",
        "num_sources_used",
        "search_context_size",
        *_XAI_TOOLS,
        "server_tool_use",
    }
)
_SIZES: Final = frozenset({"low", "medium", "high"})
_MS_PER_SECOND: Final = 1000


class _Names(NamedTuple):
    """The names of the parts of a report."""

    prompt: str
    completion: str
    into: tuple[str, str]
    out: tuple[str, str]


_CHAT: Final = _Names(
    "prompt_tokens",
    "completion_tokens",
    ("prompt_tokens_details", "prompt_token_details"),
    ("completion_tokens_details", "completion_token_details"),
)
_RESPONSE: Final = _Names(
    "input_tokens",
    "output_tokens",
    ("input_tokens_details", "input_token_details"),
    ("output_tokens_details", "output_token_details"),
)


_PROMPTS: Final = (_CHAT.prompt, _RESPONSE.prompt)


def read_chat(source: Source) -> Usage | None:
    """Read ``prompt_tokens`` and ``completion_tokens``."""
    return _read(_CHAT, source)


def read_response(source: Source) -> Usage | None:
    """Read ``input_tokens``, cached tokens included, and ``output_tokens``."""
    return _read(_RESPONSE, source)


def read_total(source: Source) -> Usage | None:
    """Read a report without parts: rerankers' and embeddings' total, a transcript's seconds."""
    usage = source.usage
    if word(usage.get("type")) == "duration" and is_count(usage.get("seconds")):
        report = Report(source)
        report.add("ms_in", report.count({"seconds": _milliseconds(usage)}, "seconds"))
        return report.usage(0, 0)
    if not is_count(usage.get("total_tokens")):
        return None
    report = Report(source)
    if source.whole.get("choices") is not None or first(usage, *_PROMPTS) is not None:
        report.contradict("of an answer's tokens only the total was reported, read as prompt")
    return report.usage(report.count(usage, "total_tokens"), 0)


def _read(names: _Names, source: Source) -> Usage | None:
    usage = source.usage
    has_prompt = is_count(usage.get(names.prompt))
    if not has_prompt and not _has_the_rest(usage, names):
        return None
    report = Report(source)
    into = fields_of(first(usage, *names.into))
    out = fields_of(first(usage, *names.out))
    prompt, completion = report.count(usage, names.prompt), report.count(usage, names.completion)
    total = report.count(usage, "total_tokens")
    if not has_prompt:
        prompt = max(total - completion, 0)
        report.contradict(f"the prompt was not reported, read as the rest of {total} tokens")
    if into is not NOTHING or not lacks(usage, _CACHE_FIELDS):
        _read_prompt(report, usage, into)
    reasoning = report.count(out, "reasoning_tokens") or report.count(usage, "reasoning_tokens")
    report.add("reasoning", reasoning)
    for medium, name in _MEDIA if out is not NOTHING else ():
        report.add(f"{medium}_out", report.count(out, name))
    if names is _RESPONSE:
        report.add_all(response_searches(source.whole))
    _read_fees(report, usage, into)
    if reasoning:
        apart = names is _CHAT and _is_perplexity(source)
        completion = _with_reasoning(report, total - prompt, completion, reasoning, apart=apart)
        report.check_total(total, prompt + completion, prompt + completion - reasoning * apart)
    else:
        report.check_total(total, prompt + completion)
    return report.usage(prompt, completion)


def _has_the_rest(usage: Fields, names: _Names) -> bool:
    """Tell whether the prompt, which is not reported, is what is left of a total."""
    return is_count(usage.get(names.completion)) and is_count(usage.get("total_tokens"))


def _with_reasoning(
    report: Report, rest: int, completion: int, reasoning: int, *, apart: bool
) -> int:
    """Return all tokens of an answer: with some providers the reasoning is no part of them.

    Args:
        report: gets a note where the report contradicts itself.
        rest: the total without the prompt.
        completion: the tokens of the answer, as reported.
        reasoning: the tokens of its reasoning.
        apart: whether the provider is known to count them apart.
    """
    if apart or rest == completion + reasoning:  # Perplexity; xAI
        return completion + reasoning
    if reasoning > completion:
        report.contradict(f"{reasoning} reasoning tokens in an answer of {completion}")
        return completion + reasoning
    return completion


def _read_prompt(report: Report, usage: Fields, into: Fields) -> None:
    media = {}
    for medium, name in _MEDIA if into is not NOTHING else ():
        if count := report.count(into, name):
            media[medium] = count
    cached = max(report.count(into, *_CACHED), report.count(usage, *_CACHED_ON_TOP))
    report.add_cache_reads(cached, fields_of(into.get("cached_tokens_details")), media)
    written = report.count(into, *_WRITTEN) or report.count(usage, "cache_creation_input_tokens")
    by_lifetime = into.get("cache_creation_token_details")
    if by_lifetime is None:
        by_lifetime = usage.get("cache_creation")
    if written or by_lifetime is not None:
        report.add_cache_writes(written, fields_of(by_lifetime))


def _read_fees(report: Report, usage: Fields, into: Fields) -> None:
    """Read the searches, for which each provider has a field of its own."""
    if lacks(usage, _FEE_FIELDS) and lacks(into, _FEE_DETAILS):
        return
    found = report.count(into, _SEARCHES)
    if (tools := usage.get("server_tool_use")) is not None:
        found = max(found, report.count(fields_of(tools), _SEARCHES))
    if (tools := first(usage, *_XAI_TOOLS)) is not None:
        calls = fields_of(tools)
        found = max(found, report.count(calls, *_WEB_CALLS) + report.count(calls, *_X_CALLS))
    else:
        found = max(found, report.count(usage, "num_sources_used"))
    size = word(usage.get("search_context_size"))
    if size in _SIZES and not _pays_by_query(usage):  # Perplexity
        report.add(f"{WEB_SEARCH}_{size}", 1)
    else:
        found = max(found, report.count(usage, "num_search_queries"))
    report.add(WEB_SEARCH, max(found - report.other.get(WEB_SEARCH, 0), 0))
    report.add("maps_search", report.count(into, "google_maps_grounding_requests"))
    report.add("citation", report.count(usage, "citation_tokens"))


def _pays_by_query(usage: Fields) -> bool:
    """Tell whether it was Perplexity's deep research: its other models are paid by request."""
    cost = fields_of(usage.get("cost"))
    if cost.get("search_queries_cost") is not None:
        return True
    return cost.get("request_cost") is None and is_count(usage.get("citation_tokens"))


def _is_perplexity(source: Source) -> bool:
    if "perplexity" in source.provider or is_count(source.usage.get("citation_tokens")):
        return True
    return word(source.usage.get("search_context_size")) in _SIZES


def _milliseconds(usage: Fields) -> object:
    seconds = usage.get("seconds")
    if isinstance(seconds, float):
        return round(seconds * _MS_PER_SECOND) if math.isfinite(seconds) else seconds
    return seconds * _MS_PER_SECOND if type(seconds) is int else seconds
