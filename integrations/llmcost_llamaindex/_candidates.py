"""The models of a router, from what its user named."""

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, Final

from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.llms.llm import LLM

from llmcost_plugins.errors import ConfigurationError, MissingExtra

_EXAMPLE: Final = "[OpenAI(model='gpt-4o'), OpenAI(model='gpt-4o-mini')]"
_CLASSES: Final = {
    "openai": ("llama_index.llms.openai", "OpenAI"),
    "anthropic": ("llama_index.llms.anthropic", "Anthropic"),
    "google_genai": ("llama_index.llms.google_genai", "GoogleGenAI"),
    "bedrock_converse": ("llama_index.llms.bedrock_converse", "BedrockConverse"),
    "litellm": ("llama_index.llms.litellm", "LiteLLM"),
}


def candidates(stated: Iterable[object] | None) -> list[LLM]:
    """Return the models of a router, by default those of ``LLMCOST_FALLBACK_MODELS``.

    Raises:
        ConfigurationError: there is none, it is no list, or one of them cannot be used.
        MissingExtra: a name was given whose package is not installed.
    """
    if stated is None:
        from llmcost_plugins.settings import Settings

        stated = Settings.from_env().fallback_models
        if not stated:
            msg = (
                "the router has no models; pass them from preferred to cheapest, as in "
                f"FallbackRouter({_EXAMPLE}), or set "
                "LLMCOST_FALLBACK_MODELS=openai:gpt-4o,openai:gpt-4o-mini"
            )
            raise ConfigurationError(msg)
    if isinstance(stated, str | BaseLLM) or not isinstance(stated, Iterable):
        msg = (
            f"models={_short(stated)} is no list; pass one, from preferred to cheapest: {_EXAMPLE}"
        )
        raise ConfigurationError(msg)
    return [_made(one) if isinstance(one, str) else _checked(one) for one in stated]


def each_once(models: Sequence[LLM]) -> list[LLM]:
    """Return the models without repetition: a second try of one is its own `max_retries`."""
    return list({id(model): model for model in models}.values())


def _checked(model: object) -> LLM:
    if not isinstance(model, LLM):
        msg = (
            f"models has {_short(model)}, which is neither a LlamaIndex LLM nor the name of one; "
            f"e.g. {_EXAMPLE}"
        )
        raise ConfigurationError(msg)
    if getattr(model, "caches_by_itself", False) is True:
        msg = (
            "models has a CachedLLM, whose answers from the cache would be counted as calls; pass "
            "the model within it, and the cache to the router: FallbackRouter(models, cache=...)"
        )
        raise ConfigurationError(msg)
    try:
        model.metadata  # noqa: B018 - it raises for some models, and every call needs it
    except Exception as error:
        msg = f"models has a {type(model).__name__} that says nothing of itself: {_reason(error)}"
        raise ConfigurationError(msg) from error
    return model


def _made(name: str) -> LLM:
    provider, colon, model = name.partition(":")
    if not colon or not model or provider not in _CLASSES:
        known = ", ".join(_CLASSES)
        msg = (
            f"the model {name!r} cannot be made: name it 'provider:model' with one of {known} "
            f"(e.g. 'openai:gpt-4o'), or pass LLM objects: FallbackRouter({_EXAMPLE})"
        )
        raise ConfigurationError(msg)
    package, kind = _CLASSES[provider]
    try:
        made: Any = getattr(import_module(package), kind)
    except ModuleNotFoundError as error:
        msg = (
            f"the model {name!r} needs {package!r}, which is not installed. Install it with: "
            f"pip install {package.replace('.', '-').replace('_', '-')}"
        )
        raise MissingExtra(msg) from error
    try:
        return _checked(made(model=model))
    except ConfigurationError:
        raise
    except Exception as error:
        msg = f"the model {name!r} cannot be made: {_reason(error)}"
        raise ConfigurationError(msg) from error


def _short(value: object) -> str:
    # A model's own repr shows its API key.
    return (
        repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
    )


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
