"""What sets the model classes of LlamaIndex's packages apart, as far as the router must know.

Read in the packages of autumn 2026. Of a class that nobody has read, nothing is assumed.
"""

from collections.abc import Mapping
from typing import Any, Final

OPENAI: Final = "openai"
RESPONSES: Final = "openai.responses"
ANTHROPIC: Final = "anthropic"
GOOGLE: Final = "google_genai"
BEDROCK: Final = "bedrock_converse"
LITELLM: Final = "litellm"

_PACKAGES: Final = "llama_index.llms."
_FAMILIES: Final = frozenset({OPENAI, ANTHROPIC, GOOGLE, BEDROCK, LITELLM})
_BYPASS: Final = frozenset({ANTHROPIC, GOOGLE})
_CAPS: Final[Mapping[str, str]] = {
    OPENAI: "max_tokens",
    RESPONSES: "max_output_tokens",
    ANTHROPIC: "max_tokens",
    BEDROCK: "max_tokens",
    LITELLM: "max_tokens",
}


def family_of(llm: object) -> str:
    """Return whose messages and parameters a model speaks; empty if nobody has read its class."""
    for kind in type(llm).__mro__:
        if not kind.__module__.startswith(_PACKAGES):
            continue
        module = kind.__module__.removeprefix(_PACKAGES)
        package = module.partition(".")[0]
        if module.startswith(RESPONSES):
            return RESPONSES
        if package in _FAMILIES:
            return package
    return ""


def makes_own_request(llm: object) -> bool:
    """Tell whether the model's structured predictions pass by its events and its `chat`.

    Those of Anthropic's and Google's class do: what they cost, nobody is told.
    """
    return family_of(llm) in _BYPASS


def capped(llm: object, kwargs: Mapping[str, Any], tokens: int) -> dict[str, Any] | None:
    """Return the arguments of a call, with its answer capped; `None` if its class takes no cap."""
    family = family_of(llm)
    if family == GOOGLE:
        config = {**(kwargs.get("generation_config") or {}), "max_output_tokens": tokens}
        return {**kwargs, "generation_config": config}
    name = _CAPS.get(family)
    return None if name is None else {**kwargs, name: tokens}


def reporting_usage(llm: object, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a stream, which ask for its usage unless the user has decided."""
    own = getattr(llm, "additional_kwargs", None) or {}
    undecided = "stream_options" not in kwargs and "stream_options" not in own
    if family_of(llm) in {OPENAI, LITELLM} and undecided:
        return {**kwargs, "stream_options": {"include_usage": True}}
    return dict(kwargs)
