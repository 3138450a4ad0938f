"""The models of a router, from what its user named."""

from collections.abc import Iterable, Sequence

from langchain_core.language_models import BaseChatModel

from llmcost_plugins.errors import ConfigurationError, MissingExtra

_EXAMPLE = "FallbackRouter(['openai:gpt-4o', 'openai:gpt-4o-mini'])"


def candidates(stated: Iterable[BaseChatModel | str] | None) -> list[BaseChatModel]:
    """Return the models, those given by name made, each once.

    Raises:
        ConfigurationError: there is none, or one cannot be made.
        MissingExtra: a name was given, and the package `langchain` is not installed.
    """
    if stated is None:
        from llmcost_plugins.settings import Settings

        stated = Settings.from_env().fallback_models
        if not stated:
            msg = (
                "the router has no models; pass them from preferred to cheapest, as in "
                f"{_EXAMPLE}, or set LLMCOST_FALLBACK_MODELS=openai:gpt-4o,openai:gpt-4o-mini"
            )
            raise ConfigurationError(msg)
    if isinstance(stated, str | BaseChatModel):
        msg = f"models={stated!r} is one model; a router takes a list of them: {_EXAMPLE}"
        raise ConfigurationError(msg)
    made = [_made(model) if isinstance(model, str) else model for model in stated]
    return _each_once(made)


def _made(name: str) -> BaseChatModel:
    try:
        from langchain.chat_models import init_chat_model
    except ModuleNotFoundError as error:
        raise MissingExtra.of("langchain", "langchain") from error  # noqa: EM101 - names
    try:
        return init_chat_model(name)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        msg = (
            f"the model {name!r} cannot be made: {reason}. Name it 'provider:model', e.g. "
            "'openai:gpt-4o', and install the provider's package; 'litellm:<name>' takes all that "
            "litellm knows, by way of langchain-litellm"
        )
        raise ConfigurationError(msg) from error


def _each_once(models: Sequence[BaseChatModel]) -> list[BaseChatModel]:
    """Return the models without repetition: a second try of one is its own `max_retries`."""
    return list({id(model): model for model in models}.values())
