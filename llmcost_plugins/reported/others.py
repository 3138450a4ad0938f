"""Reads what Amazon Bedrock, Cohere and Ollama report."""

from typing import Final

from llmcost_plugins.reported.fields import fields_of, first, is_count, items_of, word
from llmcost_plugins.reported.report import Report, Source
from llmcost_plugins.usage import Usage

_READ: Final = ("cacheReadInputTokens", "cacheReadInputTokenCount")
_WRITTEN: Final = ("cacheWriteInputTokens", "cacheWriteInputTokenCount")
_BILLED: Final = ("input_tokens", "output_tokens", "search_units", "images", "image_tokens")


def read_converse(source: Source) -> Usage | None:
    """Read Bedrock's ``inputTokens``, cached tokens not included, and ``outputTokens``.

    Its total is given with the cached tokens or without them.
    """
    usage = source.usage
    if not is_count(usage.get("inputTokens")):
        return None
    report = Report(source)
    plain, answer = report.count(usage, "inputTokens"), report.count(usage, "outputTokens")
    read = report.count(usage, *_READ)
    report.add("cache_read", read)
    by_lifetime: dict[str, int] = {}
    for item in items_of(usage.get("cacheDetails")):
        part = fields_of(item)
        name = f"ephemeral_{word(part.get('ttl'))}_input_tokens"
        by_lifetime[name] = by_lifetime.get(name, 0) + report.count(part, "inputTokens")
    written = report.add_cache_writes(report.count(usage, *_WRITTEN), by_lifetime)
    prompt = plain + read + written
    report.check_total(report.count(usage, "totalTokens"), prompt + answer, plain + answer)
    return report.usage(prompt, answer)


def read_local(source: Source) -> Usage | None:
    """Read Ollama's ``prompt_eval_count``, without which nothing is said, and ``eval_count``."""
    usage = source.usage
    if not is_count(usage.get("prompt_eval_count")):
        return None
    report = Report(source)
    return report.usage(report.count(usage, "prompt_eval_count"), report.count(usage, "eval_count"))


def read_billed(source: Source) -> Usage | None:
    """Read Cohere's ``billed_units``, or ``tokens`` without them.

    Cached tokens are counted in all that the model has seen, which begins with a part, Cohere's own
    instructions, that is not billed.
    """
    usage = source.usage
    units = fields_of(first(usage, "billed_units", "tokens"))
    if not any(is_count(units.get(name)) for name in _BILLED):
        return None
    report = Report(source)
    prompt, answer = report.count(units, "input_tokens"), report.count(units, "output_tokens")
    images = report.count(units, "image_tokens")
    report.add("image_in", images)
    report.add("images_in", report.count(units, "images"))
    report.add("query", report.count(units, "search_units"))
    seen = report.count(fields_of(usage.get("tokens")), "input_tokens")
    cached = report.count(usage, "cached_tokens") - max(seen - prompt, 0)
    report.add("cache_read", min(max(cached, 0), prompt))
    return report.usage(prompt + images, answer)
