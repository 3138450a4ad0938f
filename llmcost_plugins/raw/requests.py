"""Reads the arguments of a call to a provider's client: which model, how large, what caps it."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from llmcost_plugins.pricing import CallSize
from llmcost_plugins.pricing.sizes import PromptSizer

_CAPS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_FORMATS: Final = ("text", "text_format", "output_format", "output_config", "prediction")
"""What shapes an answer beside the names that `PromptSizer.params` knows."""
_KEPT_BY_SERVER: Final = ("previous_response_id", "conversation", "prompt_id")
_LONGEST_KEPT: Final = 1_000_000
"""Tokens that a conversation kept by the server may have; its model's limit counts if less."""
_FAST: Final = "fast"
_DESCRIBED: Final = ("messages", "input", "prompt", "input_tokens")


class Api(StrEnum):
    """What is called, by what a request looks like."""

    CHAT = "chat"
    RESPONSES = "responses"
    MESSAGES = "messages"
    EMBEDDINGS = "embeddings"
    COMPLETIONS = "completions"


def given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request, with those of ``extra_body``.

    What an SDK's own object says is not given is left out.
    """
    extra = arguments.get("extra_body")
    merged = {**arguments, **extra} if isinstance(extra, Mapping) else dict(arguments)
    return {
        name: value
        for name, value in merged.items()
        if value is not None and type(value).__name__ not in {"NotGiven", "Omit"}
    }


def model_in(params: Mapping[str, Any]) -> str | None:
    """Return the requested model, if the parameters name one."""
    model = params.get("model")
    return model if isinstance(model, str) and model else None


def describes_prompt(params: Mapping[str, Any]) -> bool:
    """Tell whether the parameters hold all that is sent."""
    return any(name in params for name in _DESCRIBED)


def guess_api(params: Mapping[str, Any]) -> Api:
    """Return what is called with these parameters, as far as they tell."""
    if "messages" in params:
        return Api.CHAT
    if "input" in params:
        known = "embed" in str(params.get("model", "")).lower()
        return Api.EMBEDDINGS if known else Api.RESPONSES
    return Api.COMPLETIONS


def size_of(params: Mapping[str, Any], sizer: PromptSizer) -> CallSize:
    """Return how large a call with these parameters can become."""
    sizer.params({name: plain(value) for name, value in params.items()})
    for name in _FORMATS:
        if name in params:
            sizer.json(plain(params[name]))
    for name in ("system", "instructions", "prompt", "input"):
        if (part := params.get(name)) is not None:
            sizer.message()
            _add_content(sizer, part)
    for message in _items(params.get("messages")):
        _add_message(sizer, message)
    if any(name in params for name in _KEPT_BY_SERVER):
        sizer.tokens(_LONGEST_KEPT)
    sizer.tokens(_count(params.get("input_tokens")) or 0)
    cap = next((c for name in _CAPS if (c := _count(params.get(name)))), None)
    return sizer.size(
        cap,
        choices=max(_count(params.get("n")) or 1, _count(params.get("best_of")) or 1),
        service_tier=_tier(params),
    )


def plain(value: Any) -> Any:
    """Return what an SDK's object or a class of pydantic's is sent as."""
    if isinstance(value, type):
        schema = getattr(value, "model_json_schema", None)
        return schema() if callable(schema) else value
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(exclude_none=True)
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _tier(params: Mapping[str, Any]) -> str | None:
    if params.get("speed") == _FAST:
        return _FAST
    tier = params.get("service_tier")
    return tier if isinstance(tier, str) and tier != "standard_only" else None


def _add_message(sizer: PromptSizer, message: Any) -> None:
    sizer.message()
    message = plain(message)
    if not isinstance(message, Mapping):
        sizer.json(message)
        return
    _add_content(sizer, message.get("content"))
    rest = {name: part for name, part in message.items() if name not in {"content", "role"}}
    if rest:
        sizer.json(rest)


def _add_content(sizer: PromptSizer, content: Any) -> None:
    if isinstance(content, str):
        sizer.text(content)
    elif isinstance(content, list | tuple):
        if content and isinstance(content[0], int):
            sizer.tokens(len(content))
            return
        for part in content:
            _add_part(sizer, plain(part))
    elif content is not None:
        sizer.json(plain(content))


def _add_part(sizer: PromptSizer, part: Any) -> None:
    if isinstance(part, Mapping) and isinstance(part.get("content"), list | tuple):
        _add_message(sizer, part)  # a message of a list, or the result of a tool
    elif isinstance(part, Mapping):
        sizer.message()
        sizer.block(part)
    else:
        _add_content(sizer, part)


def _items(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else [] if value is None else [value]


def _count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return value if is_count and isinstance(value, int) else None
