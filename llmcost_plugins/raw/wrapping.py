"""`wrap`: a client of OpenAI or Anthropic whose every model call is held for and recorded."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import Labels
from llmcost_plugins.raw.books import Books
from llmcost_plugins.raw.managed import ManagedCall
from llmcost_plugins.raw.requests import Api
from llmcost_plugins.raw.sending import Line
from llmcost_plugins.taps import Tap, tapped_by

C = TypeVar("C")

AUTO: Final = "auto"
_RESOURCES: Final = {
    "chat.completions": Api.CHAT,
    "beta.chat.completions": Api.CHAT,
    "responses": Api.RESPONSES,
    "beta.responses": Api.RESPONSES,
    "embeddings": Api.EMBEDDINGS,
    "completions": Api.COMPLETIONS,
    "messages": Api.MESSAGES,
    "beta.messages": Api.MESSAGES,
}
_SENDING: Final = ("create", "parse", "stream")
_UNSEEN: Final = ("tool_runner", "compact", "connect")
"""Methods of these resources that call a model by other ways."""
_METHODS: Final = frozenset(f"{path}.{name}" for path in _RESOURCES for name in _SENDING + _UNSEEN)
_OPENAI: Final = "api.openai.com"
_HOSTS: Final = {
    _OPENAI: "openai",
    "api.anthropic.com": "anthropic",
    "api.deepseek.com": "deepseek",
    "api.fireworks.ai": "fireworks_ai",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "api.perplexity.ai": "perplexity",
    "api.together.xyz": "together_ai",
    "api.x.ai": "xai",
    "generativelanguage.googleapis.com": "gemini",
    "openrouter.ai": "openrouter",
}
_CLOUDS: Final = {"azure": "azure", "bedrock": "bedrock", "vertex": "vertex_ai"}


def wrap(  # noqa: PLR0913 - keyword-only options with defaults
    books: Books,
    client: C,
    *,
    labels: Labels,
    provider: str | None = None,
    cap: str | None = AUTO,
    stream_usage: bool = True,
) -> C:
    """Return a client like *client* whose calls *books* holds for and records.

    Raises:
        ConfigurationError: *client* has none of the methods that are seen.
    """
    inner: Any = tapped_by(client)
    if isinstance(client, type) or not _is_client(inner):
        msg = (
            f"client={client!r} is no client that can be wrapped; pass an OpenAI(...), "
            "AsyncOpenAI(...), Anthropic(...) or AsyncAnthropic(...) object, or decorate the "
            "function that calls it with @track_cost"
        )
        raise ConfigurationError(msg)
    line = Line(
        books,
        labels,
        provider or _provider_of(inner),
        _caps(inner, cap),
        stream_usage and _speaks_openai(inner),
    )
    tap: Any = Tap(inner, _METHODS, _replacing(line))
    return tap  # type: ignore[no-any-return]


def _replacing(line: Line) -> Callable[[Callable[..., Any], str], Callable[..., Any]]:
    def replace(method: Callable[..., Any], path: str) -> Callable[..., Any]:
        parts = path.split(".")
        views = {part for part in parts if part.startswith("with_")}
        resource = ".".join(part for part in parts[:-1] if part not in views)
        api, name = _RESOURCES[resource], parts[-1]
        if name in _UNSEEN:
            return _refused(path)
        if name == "stream":
            return ManagedCall.of(line, method, api, streams=True)
        if "with_streaming_response" in views:
            return ManagedCall.of(line, method, api, streams=False)
        return line.around(method, api)

    return replace


def _refused(path: str) -> Callable[..., Any]:
    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        msg = (
            f"{path!r} would call the model without being recorded; if that is meant, call it on "
            "the client itself and not on the wrapped one"
        )
        raise ConfigurationError(msg)

    return refuse


def _is_client(client: object) -> bool:
    return any(
        callable(getattr(_resource(client, path), "create", None))
        for path in ("chat.completions", "messages", "responses", "embeddings")
    )


def _resource(client: object, path: str) -> object:
    for name in path.split("."):
        client = getattr(client, name, None)
    return client


def _speaks_openai(client: object) -> bool:
    return _resource(client, "chat.completions") is not None


def _host_of(client: object) -> str:
    return urlsplit(str(getattr(client, "base_url", ""))).hostname or ""


def _provider_of(client: object) -> str | None:
    """Return the provider by the address of the client, or by its class where it stands for one."""
    kinds = " ".join(kind.__name__.lower() for kind in type(client).__mro__)
    for word, cloud in _CLOUDS.items():
        if word in kinds:
            return cloud
    if (known := _HOSTS.get(_host_of(client))) is not None:
        return known
    return None if _speaks_openai(client) else "anthropic"


def _caps(client: object, cap: str | None) -> Mapping[Api, str]:
    """Return the parameters that cap an answer, where their name is certain or stated."""
    if cap is None:
        return {}
    caps = {Api.RESPONSES: "max_output_tokens"}
    if cap != AUTO:
        caps[Api.CHAT] = cap
    elif _host_of(client) == _OPENAI:
        # Other servers know it as max_tokens, which OpenAI's reasoning models refuse.
        caps[Api.CHAT] = "max_completion_tokens"
    return caps
