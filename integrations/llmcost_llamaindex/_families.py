"""Which of LlamaIndex's packages a model's class is from or derives from, and what follows from it.

Read in the packages of autumn 2026. Of a class that nobody has read, nothing is assumed.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

OPENAI: Final = "openai"
RESPONSES: Final = "openai.responses"
ANTHROPIC: Final = "anthropic"
GOOGLE: Final = "google_genai"
BEDROCK: Final = "bedrock_converse"
LITELLM: Final = "litellm"
LANGCHAIN: Final = "langchain"

_PACKAGES: Final = "llama_index.llms."
_FAMILIES: Final = frozenset({OPENAI, ANTHROPIC, GOOGLE, BEDROCK, LITELLM, LANGCHAIN})
_CLASSES: Final = {
    "openai_llm": OPENAI,
    "openai_responses_llm": RESPONSES,
    "Anthropic_LLM": ANTHROPIC,
    "GenAI": GOOGLE,
    "Bedrock_Converse_LLM": BEDROCK,
}
"""What classes call themselves, for models that were not seen."""
_OWN_REQUEST: Final = frozenset({ANTHROPIC, GOOGLE})
_CAPS: Final[Mapping[str, str]] = {
    OPENAI: "max_tokens",
    RESPONSES: "max_output_tokens",
    ANTHROPIC: "max_tokens",
    BEDROCK: "max_tokens",
    LITELLM: "max_tokens",
}


@lru_cache(maxsize=256)
def modules_of(kind: type) -> tuple[str, ...]:
    """Return the modules of LlamaIndex's packages that a class is from and derives from.

    The part after ``llama_index.llms.``, e.g. ``bedrock_converse.base``.
    """
    modules = (base.__module__ for base in kind.__mro__)
    return tuple(m.removeprefix(_PACKAGES) for m in modules if m.startswith(_PACKAGES))


def family_of(llm: object, class_name: str = "") -> str:
    """Return whose messages and parameters a model speaks; empty if nobody has read its class.

    Args:
        llm: the model; `None` if not known.
        class_name: what it calls its class.
    """
    # mypy takes a class for what it makes.
    return _family_of(type(llm)) or _CLASSES.get(class_name, "")  # type: ignore[arg-type]


def makes_own_request(llm: object) -> bool:
    """Tell whether the model's structured predictions may bypass its events and its rate limiter.

    So do those of Anthropic's and Google's class, for models that have structured output: nobody is
    told what they cost.
    """
    return family_of(llm) in _OWN_REQUEST


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


@lru_cache(maxsize=256)
def _family_of(kind: type) -> str:
    for module in modules_of(kind):
        package = module.partition(".")[0]
        if module.startswith(RESPONSES):
            return RESPONSES
        if package in _FAMILIES:
            return package
    return ""
