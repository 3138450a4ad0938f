"""Reads the usage that providers report, exactly, and their model's name.

Every provider counts the same things under other names, and some include in one number what others
leave out. The dialect is recognised by the names of its fields. Nothing here raises: the call has
been paid for, so what cannot be read is mended, and the usage is marked `Trust.INCONSISTENT` with a
note that says what was odd.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from llmcost_plugins.reported.anthropic import read_message
from llmcost_plugins.reported.fields import Fields, fields_of, lacks
from llmcost_plugins.reported.gemini import read_content
from llmcost_plugins.reported.openai import read_chat, read_response, read_total
from llmcost_plugins.reported.others import read_billed, read_converse, read_local
from llmcost_plugins.reported.report import Source
from llmcost_plugins.reported.searches import all_searches
from llmcost_plugins.usage import Usage

__all__ = ["read_searches", "read_served_model", "read_usage"]

# The first that finds a count wins; what Anthropic adds to `input_tokens` tells it from OpenAI.
_READERS: Final[tuple[Callable[[Source], Usage | None], ...]] = (
    read_chat,
    read_message,
    read_response,
    read_content,
    read_converse,
    read_local,
    read_billed,
    read_total,
)
_RECOGNISED: Final = frozenset(
    {
        "billed_units",
        "completion_tokens",
        "inputTokens",
        "input_tokens",
        "output_tokens",
        "promptTokenCount",
        "prompt_eval_count",
        "prompt_token_count",
        "prompt_tokens",
        "seconds",
        "tokens",
        "total_tokens",
    }
)
_REPORTS: Final = ("usage", "usage_metadata", "usageMetadata")
_ANSWERS: Final = ("response", "message")
"""What an event of a stream calls the answer that it is about."""
_LAST: Final = "metadata"
"""What the last event of Bedrock's streams calls its report and the facts beside it."""
_MODELS: Final = ("model", "model_version", "modelVersion")


def read_usage(raw: object, *, provider: str | None = None) -> Usage | None:
    """Return the usage that a provider reports; `None` when nothing is reported.

    A report whose counts are all zero is none: every call has a prompt. Nor is one without a count
    of the prompt, as in some streams.

    Args:
        raw: a report of usage, a whole answer, or an event of a stream; a dictionary or an SDK's
            object. Searches and the tier may only stand in the whole answer.
        provider: whose it is, as a framework or LiteLLM names it; breaks ties only.
    """
    hint = (provider or "").lower()
    for usage, whole in _reports(fields_of(raw)):
        if lacks(usage, _RECOGNISED):
            continue
        source = Source(usage, whole, hint)
        for read in _READERS:
            found = read(source)
            if found is not None:
                return found
    return None


def read_served_model(raw: object) -> str | None:
    """Return the name of the model that answered, as the provider gives it, or `None`."""
    whole = fields_of(raw)
    for answer in (whole, *(fields_of(whole.get(name)) for name in _ANSWERS)):
        for field in _MODELS:
            name = answer.get(field)
            if isinstance(name, str) and name:
                return name
    return None


def read_searches(raw: object) -> Mapping[str, int]:
    """Return the searches that an answer shows, by meter; see `llmcost_plugins.usage.UNITS`.

    Args:
        raw: an answer with OpenAI's ``output``, Anthropic's ``content`` or Google's ``candidates``.
    """
    return all_searches(fields_of(raw))


def _reports(whole: Fields) -> Iterator[tuple[Fields, Fields]]:
    """Yield the places where a report may stand, each with the answer that it is about."""
    for name in _REPORTS:
        if (part := whole.get(name)) is not None:
            yield fields_of(part), whole
    yield whole, whole
    for name in (*_ANSWERS, _LAST):
        if (part := whole.get(name)) is not None:
            answer = fields_of(part)
            for field in _REPORTS:
                if (report := answer.get(field)) is not None:
                    yield fields_of(report), answer
    if (part := whole.get("x_groq")) is not None:
        yield fields_of(fields_of(part).get("usage")), whole
    if (part := whole.get("meta")) is not None:  # Cohere
        yield fields_of(part), whole
