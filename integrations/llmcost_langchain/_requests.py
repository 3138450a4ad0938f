"""What changes the answer to a request, in a form that a cache can tell requests apart by."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    message_chunk_to_message,
)
from pydantic import BaseModel, SecretBytes, SecretStr

from llmcost_plugins.cache import Asked, Canonical, NoKey, canonical

_NOT_OF_THE_ANSWER: Final = frozenset(
    {
        "additional_headers",
        "async_client",
        "cache",
        "callbacks",
        "client",
        "client_args",
        "credentials",
        "custom_get_token_ids",
        "default_headers",
        "default_metadata",
        "default_request_timeout",
        "disable_streaming",
        "extra_headers",
        "http_async_client",
        "http_client",
        "http_socket_options",
        "include_response_headers",
        "labels",
        "ls_structured_output_format",
        "max_retries",
        "metadata",
        "name",
        "profile",
        "rate_limiter",
        "request_timeout",
        "root_async_client",
        "root_client",
        "stream",
        "stream_chunk_timeout",
        "stream_options",
        "stream_usage",
        "streaming",
        "structured_output_format",
        "tags",
        "timeout",
        "verbose",
    }
)
"""Fields and parameters that say how to ask, who asks and what to tell, not what."""
_SECRETS: Final = (
    "access_token",
    "ad_token",
    "api_key",
    "api_token",
    "password",
    "secret_access_key",
    "session_token",
    "token_provider",
)
_NOT_OF_THE_MESSAGE: Final = {"id", "response_metadata", "usage_metadata", "artifact", "example"}
_OWN_ID: Final = "lc_"
"""What the ids begin with that LangChain gives to blocks of content."""
_STATEFUL: Final = ("use_previous_response_id", "reuse_last_container")


def request_of(
    model: BaseChatModel,
    messages: Sequence[BaseMessage],
    stop: Sequence[str] | None,
    said: Mapping[str, Any],
) -> dict[str, Any]:
    """Return everything that changes the answer of a model.

    Args:
        model: the model that will be asked.
        messages: the prompt.
        stop: where the answer is to stop.
        said: the parameters of this call, as the caller gave them.

    Raises:
        NoKey: a part of it has no canonical form.
    """
    facts = {
        name: getattr(model, name)
        for name in type(model).model_fields
        if _counts(name) and getattr(model, name) is not None
    }
    if any(facts.get(name) for name in _STATEFUL):
        msg = "the provider keeps the conversation"
        raise NoKey(msg)
    kind = type(model)
    return {
        "kind": f"{kind.__module__}.{kind.__qualname__}",
        "endpoint": _endpoint(model),
        "model": _plain(facts),
        "params": _plain({name: value for name, value in said.items() if _counts(name)}),
        "stop": None if stop is None else list(stop),
        "messages": _plain_messages(messages),
    }


def asked_of(
    model: BaseChatModel, messages: Sequence[BaseMessage], said: Mapping[str, Any], wanted: Any
) -> Asked:
    """Return what the rules of the cache look at."""
    # What a package has as its default was not asked for.
    own = getattr(model, "temperature", None) if "temperature" in model.model_fields_set else None
    temperature = said.get("temperature", own)
    return Asked(
        wanted=wanted if isinstance(wanted, bool) else None,
        temperature=temperature if isinstance(temperature, int | float) else None,
        answers_tools=_answers_tools(messages),
    )


def _counts(name: str) -> bool:
    return name not in _NOT_OF_THE_ANSWER and not name.endswith(_SECRETS)


def _endpoint(model: BaseChatModel) -> str | None:
    # The client may have it from the environment, where the model's fields say nothing.
    address = getattr(getattr(model, "root_client", None), "base_url", None)
    return None if address is None else str(address)


def _plain(value: Any) -> Canonical:
    return Canonical(canonical(value, _other))


def _other(value: Any) -> Any:
    """Give classes and models of pydantic by what they say; secrets have no part in a key."""
    if isinstance(value, SecretStr | SecretBytes):
        return None
    if isinstance(value, BaseModel):
        return {"$model": type(value).__qualname__, **value.model_dump()}
    if isinstance(value, type) and issubclass(value, BaseModel):
        return {"$schema_of": value.__qualname__, "schema": value.model_json_schema()}
    if isinstance(value, set | frozenset):
        return {"$set": sorted(value)}
    msg = f"a value of type {type(value).__name__} has no canonical form"
    raise NoKey(msg)


def _plain_messages(messages: Sequence[BaseMessage]) -> Canonical:
    ids: dict[str, int] = {}
    plain = []
    for message in messages:
        if isinstance(message, AIMessageChunk):
            message = message_chunk_to_message(message)  # noqa: PLW2901 - the same message
        if isinstance(message, AIMessage):
            for call in (*message.tool_calls, *message.invalid_tool_calls):
                if call["id"]:
                    ids.setdefault(call["id"], len(ids))
        elif isinstance(message, ToolMessage):
            ids.setdefault(message.tool_call_id, len(ids))
        fields = message.model_dump(exclude=_NOT_OF_THE_MESSAGE)
        fields["content"] = _without_own_ids(fields["content"])
        plain.append(canonical(fields, _other, ids))
    return Canonical(plain)


def _without_own_ids(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [
        {key: value for key, value in block.items() if not _is_own_id(key, value)}
        if isinstance(block, dict)
        else block
        for block in content
    ]


def _is_own_id(key: str, value: Any) -> bool:
    return key == "id" and isinstance(value, str) and value.startswith(_OWN_ID)


def _answers_tools(messages: Sequence[BaseMessage]) -> bool:
    for message in reversed(messages):
        if isinstance(message, ToolMessage):
            return True
        if isinstance(message, HumanMessage):
            return False
    return False
