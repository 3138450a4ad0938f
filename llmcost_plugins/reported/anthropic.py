"""Reads what Anthropic's messages report, whole or in the last event of a stream."""

from typing import Final

from llmcost_plugins.reported.fields import Fields, fields_of, is_count, items_of, shown, word
from llmcost_plugins.reported.report import Report, Source
from llmcost_plugins.usage import Usage

_OWN_FIELDS: Final = (
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "server_tool_use",
    "inference_geo",
    "speed",
    "iterations",
)
_AS_OPENAI: Final = frozenset({"openai", "azure_openai", "perplexity", "xai"})
_ANYWHERE: Final = frozenset({"", "global", "not_available"})
_FAST: Final = "fast"


def read_message(source: Source) -> Usage | None:
    """Read ``input_tokens``, cached tokens not included, and ``output_tokens``.

    Thinking is a part of the answer. What a compaction within the call has used is in no total of
    the report, so it is added; so is an advising model's part, which has another price.
    """
    usage = source.usage
    if not is_count(usage.get("input_tokens")) or not _is_own(usage, source.provider):
        return None
    report = Report(source)
    if word(usage.get("speed")) == _FAST:
        report.service_tier = _FAST
    place = word(usage.get("inference_geo"))
    report.region = None if place in _ANYWHERE else place
    prompt, completion = _add_tokens(report, usage)
    thinking = fields_of(usage.get("output_tokens_details"))
    report.add("reasoning", report.count(thinking, "thinking_tokens"))
    tools = fields_of(usage.get("server_tool_use"))
    report.add("web_search", report.count(tools, "web_search_requests"))
    for item in items_of(usage.get("iterations")):
        part = fields_of(item)
        kind = word(part.get("type"))
        if kind not in {"compaction", "advisor_message"}:
            continue
        more_prompt, more_completion = _add_tokens(report, part)
        prompt += more_prompt
        completion += more_completion
        if kind == "advisor_message":
            count = more_prompt + more_completion
            model = shown(part.get("model"))
            report.contradict(f"{count} tokens of the advising model {model} at this one's price")
    return report.usage(prompt, completion)


def _is_own(usage: Fields, provider: str) -> bool:
    if "anthropic" in provider:
        return True
    if usage.get("input_tokens_details") is not None or provider in _AS_OPENAI:
        return False
    return any(usage.get(name) is not None for name in _OWN_FIELDS)


def _add_tokens(report: Report, part: Fields) -> tuple[int, int]:
    """Add the cached tokens of a part; return all of its prompt and of its answer."""
    read = report.count(part, "cache_read_input_tokens")
    report.add("cache_read", read)
    written = report.count(part, "cache_creation_input_tokens")
    by_lifetime = fields_of(part.get("cache_creation"))
    cached = read + report.add_cache_writes(written, by_lifetime)
    return cached + report.count(part, "input_tokens"), report.count(part, "output_tokens")
