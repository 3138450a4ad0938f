"""The models of a router, from what its user named."""

from collections.abc import Iterable, Sequence

from langchain_core.language_models import BaseChatModel

from llmcost_plugins.errors import ConfigurationError, MissingExtra

_EXAMPLE = "['openai:gpt-4o', 'openai:gpt-4o-mini']"


def candidates(stated: Iterable[BaseChatModel | str] | None) -> list[BaseChatModel]:
    """Return the models of a router, by default those of ``LLMCOST_FALLBACK_MODELS``.

    Raises:
        ConfigurationError: there is none; or see `chat_models`.
        MissingExtra: likewise.
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
    return chat_models(stated)


def chat_models(stated: Iterable[BaseChatModel | str]) -> list[BaseChatModel]:
    """Return models that a user has listed, those given by name made, each once.

    Raises:
        ConfigurationError: it is no list, one of them is no chat model, or cannot be made.
        MissingExtra: a name was given, and the package `langchain` is not installed.
    """
    if isinstance(stated, str | BaseChatModel):
        msg = (
            f"models={_short(stated)} is one model; pass a list, from preferred to cheapest: "
            f"{_EXAMPLE}"
        )
        raise ConfigurationError(msg)
    return _each_once([_made(one) if isinstance(one, str) else _checked(one) for one in stated])


def _checked(model: object) -> BaseChatModel:
    if not isinstance(model, BaseChatModel):
        msg = (
            f"models has {_short(model)}, which is neither a chat model of LangChain nor the name "
            f"of one; e.g. {_EXAMPLE}"
        )
        raise ConfigurationError(msg)
    return model


def _made(name: str) -> BaseChatModel:
    try:
        from langchain.chat_models import init_chat_model
    except ModuleNotFoundError as error:
        raise MissingExtra.of("langchain", "langchain") from error  # noqa: EM101 - names
    try:
        return _checked(init_chat_model(name))
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        msg = (
            f"the model {name!r} cannot be made: {reason}. Name it 'provider:model', e.g. "
            "'openai:gpt-4o', and install the provider's package; 'litellm:<name>' takes all that "
            "litellm knows, by way of langchain-litellm"
        )
        raise ConfigurationError(msg) from error


def _short(value: object) -> str:
    # The repr of a model of another framework shows its API key.
    return (
        repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
    )


def _each_once(models: Sequence[BaseChatModel]) -> list[BaseChatModel]:
    """Return the models without repetition: a second try of one is its own `max_retries`."""
    return list({id(model): model for model in models}.values())
