"""What changes the answer to a request, in a form that a cache can tell requests apart by."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import FunctionType
from typing import Any, Final

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.llms.llm import LLM
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.tools import BaseTool
from pydantic import BaseModel, SecretBytes, SecretStr

from llmcost_plugins.cache import Asked, Canonical, NoKey, canonical

NOTE_KEY: Final = "llmcost"
"""Where an answer says what became of it: ``response.additional_kwargs["llmcost"]``."""
USAGE_KEYS: Final = frozenset({"usage", "prompt_tokens", "completion_tokens", "total_tokens"})
"""What LlamaIndex's packages note of an answer's usage beside it."""

_NOT_OF_THE_ANSWER: Final = frozenset(
    {
        "additional_headers",
        "async_http_client",
        "botocore_config",
        "botocore_session",
        "cache",
        "callback_manager",
        "class_name",
        "context_window",
        "credentials",
        "default_headers",
        "extra_headers",
        "http_client",
        "max_retries",
        "metadata",
        "num_workers",
        "profile_name",
        "rate_limiter",
        "request_timeout",
        "reuse_client",
        "stream",
        "stream_options",
        "tags",
        "timeout",
        "verbose",
    }
)
"""Fields and parameters that say how to ask, who asks and what to tell, not what."""
_SECRETS: Final = (
    "access_key_id",
    "access_token",
    "ad_token",
    "api_key",
    "api_token",
    "password",
    "secret_access_key",
    "session_token",
    "token_provider",
)
_SENDERS: Final = ("client", "session", "lock", "boto", "model_meta", "tokenizer")
"""What a model's private attributes have in their names that only do the sending."""
_OF_BATCHES: Final = frozenset({"embed_batch_size", "embeddings_cache"})
_STATEFUL: Final = ("track_previous_responses", "use_previous_response_id")
_ENDPOINTS: Final = ("api_base", "base_url", "endpoint_url", "azure_endpoint")
_NOT_OF_THE_MESSAGE: Final = USAGE_KEYS | {NOTE_KEY}
_OWN_TEMPERATURE: Final = 1.0
"""What classes of LlamaIndex send to models that take no other temperature."""


class Kind(StrEnum):
    """What a request asks for. Whole answers and streams of a kind can be made of each other."""

    CHAT = "chat"
    COMPLETION = "completion"
    PREDICTION = "prediction"
    STRUCTURE = "structure"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as an entry point of LlamaIndex got it.

    Attributes:
        kind: what it asks for.
        said: the parameters for the model's own method, without what is for the cache only.
        asked: what else changes the answer; messages and classes as they are.
        messages: the messages, for the rules of the cache.
        wanted: whether the caller wants it cached: yes, no, or does not say (`None`).
        prompt: a template, which becomes messages or a text once the model is known.
        arguments: what is filled into it.
    """

    kind: Kind
    said: Mapping[str, Any]
    asked: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[ChatMessage] = ()
    wanted: bool | None = None
    prompt: BasePromptTemplate | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def output_class(self) -> type[BaseModel] | None:
        """The class that the answer is to be an object of."""
        return self.asked.get("output_cls")


def chat_request(
    messages: Sequence[ChatMessage],
    kwargs: Mapping[str, Any],
    tools: Sequence[BaseTool] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Request:
    """Describe a chat, with tools or without.

    Args:
        messages: the whole conversation.
        kwargs: the parameters of the call.
        tools: what the model may call.
        flags: how it may call them.
    """
    said, wanted = _without_wish(kwargs)
    set_flags = {name: value for name, value in (flags or {}).items() if value}
    asked = {} if tools is None else {"tools": list(tools), "flags": set_flags}
    return Request(Kind.CHAT, said, asked, list(messages), wanted)


def conversation(
    user_msg: str | ChatMessage | None, history: Sequence[ChatMessage] | None
) -> list[ChatMessage]:
    """Return the messages of a chat with tools, as LlamaIndex's classes put them together."""
    if isinstance(user_msg, str):
        user_msg = ChatMessage(role=MessageRole.USER, content=user_msg)
    return [*(history or ()), *(() if user_msg is None else (user_msg,))]


def completion_request(prompt: str, kwargs: Mapping[str, Any], *, formatted: bool) -> Request:
    """Describe a completion."""
    said, wanted = _without_wish(kwargs)
    return Request(Kind.COMPLETION, said, {"prompt": prompt, "formatted": formatted}, (), wanted)


def prediction_request(prompt: BasePromptTemplate, arguments: Mapping[str, Any]) -> Request:
    """Describe a prediction from a template."""
    wanted = None
    if "cache" not in prompt.template_vars:
        arguments, wanted = _without_wish(arguments)
    return Request(Kind.PREDICTION, {}, {}, (), wanted, prompt, arguments)


def structure_request(
    output_cls: type[BaseModel],
    prompt: BasePromptTemplate,
    kwargs: Mapping[str, Any] | None,
    arguments: Mapping[str, Any],
) -> Request:
    """Describe a structured prediction from a template."""
    said, wanted = _without_wish(kwargs or {})
    return Request(Kind.STRUCTURE, said, {"output_cls": output_cls}, (), wanted, prompt, arguments)


def facts_of(model: BaseEmbedding) -> dict[str, Any]:
    """Return everything about an embedding model that changes its vectors.

    Raises:
        NoKey: a field has no canonical form.
    """
    kind = type(model)
    facts = {name: getattr(model, name) for name in kind.model_fields if name not in _OF_BATCHES}
    # Such as the engine that OpenAI's class chooses for queries; objects there do the sending.
    private = model.__pydantic_private__ or {}
    chosen = {name: value for name, value in private.items() if isinstance(value, str | int)}
    return {
        "framework": "llama_index",
        "form": "embedding",
        "kind": f"{kind.__module__}.{kind.__qualname__}",
        "model": _plain({**facts, **chosen}).form,
    }


def request_of(model: LLM, request: Request) -> dict[str, Any]:
    """Return everything that changes the answer of a model.

    Raises:
        NoKey: a part of it has no canonical form.
    """
    kind = type(model)
    messages, text = _filled_in(model, request)
    return {
        "framework": "llama_index",
        "form": request.kind.value,
        "kind": f"{kind.__module__}.{kind.__qualname__}",
        "endpoint": _endpoint(model),
        "model": _plain(_facts(model)),
        "params": _plain(request.said),
        "asked": _plain(request.asked),
        "prompt": text,
        "messages": _plain_messages(messages),
    }


def asked_of(model: LLM, request: Request) -> Asked:
    """Return what the rules of the cache look at."""
    temperature = request.said.get("temperature", _own_temperature(model))
    return Asked(
        wanted=request.wanted,
        temperature=temperature if isinstance(temperature, int | float) else None,
        answers_tools=_answers_tools(request.messages),
    )


def _without_wish(kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], bool | None]:
    said = dict(kwargs)
    wanted = said.pop("cache", None)
    return said, wanted if isinstance(wanted, bool) else None


def _filled_in(model: LLM, request: Request) -> tuple[Sequence[ChatMessage], str | None]:
    """Return the messages, or the text, that a template becomes for a model."""
    prompt = request.prompt
    if prompt is None:
        return request.messages, None
    if prompt.output_parser is not None or model.output_parser is not None:
        msg = "an output parser may ask for anything"
        raise NoKey(msg)
    # What the model adds to it, such as its system prompt, are fields of its own.
    if request.kind is Kind.STRUCTURE or model.metadata.is_chat_model:
        return prompt.format_messages(llm=model, **request.arguments), None
    return (), prompt.format(llm=model, **request.arguments)


def _facts(model: LLM) -> dict[str, Any]:
    facts = {name: getattr(model, name) for name in type(model).model_fields}
    if any(facts.get(name) for name in _STATEFUL):
        msg = "the provider keeps the conversation"
        raise NoKey(msg)
    # Packages keep parameters in private attributes, too; not all of what those hold are any.
    private = model.__pydantic_private__ or {}
    parameters = {
        name: value
        for name, value in private.items()
        if name != "_config" and not any(part in name for part in _SENDERS)
    }
    return {name: v for name, v in {**facts, **parameters}.items() if v is not None}


def _endpoint(model: LLM) -> str | None:
    if any(getattr(model, name, None) for name in _ENDPOINTS):
        return None  # among the fields
    # The client may have it from the environment, where the model's fields say nothing.
    address = getattr(getattr(model, "_client", None), "base_url", None)
    return None if address is None else str(address)


def _own_temperature(model: LLM) -> Any:
    """Return the temperature that the user has set; what a package sets is not asked for."""
    own = getattr(model, "temperature", None)
    told = type(model).model_fields.get("temperature")
    unset = told is not None and own == told.default
    if unset or (own == _OWN_TEMPERATURE and _takes_no_temperature(model)):
        return None
    return own


def _takes_no_temperature(model: LLM) -> bool:
    """Tell whether the class sets the temperature itself, as it does for models that reason."""
    thinking = getattr(model, "thinking_dict", None)
    if isinstance(thinking, Mapping) and thinking.get("type") == "enabled":
        return True
    told = sys.modules.get("llama_index.llms.openai.utils")
    return model.metadata.model_name in getattr(told, "O1_MODELS", ())


def _counts(name: object) -> bool:
    return not isinstance(name, str) or (
        name not in _NOT_OF_THE_ANSWER and not name.endswith(_SECRETS)
    )


def _plain(facts: Mapping[str, Any]) -> Canonical:
    return Canonical(canonical(_counting(facts), _other))


def _counting(facts: Mapping[str, Any]) -> dict[Any, Any]:
    """Leave out what does not count, also of `additional_kwargs` and the like."""
    return {
        name: _counting(value) if isinstance(value, Mapping) and _is_options(name) else value
        for name, value in facts.items()
        if _counts(name)
    }


def _is_options(name: object) -> bool:
    return isinstance(name, str) and name.endswith("kwargs")


def _other(value: Any) -> Any:
    """Give what is no plain value by what it says; secrets have no part in a key."""
    if isinstance(value, SecretStr | SecretBytes):
        return None
    if isinstance(value, BaseTool):
        told, parameters = value.metadata, value.metadata.get_parameters_dict()
        return {"$tool": told.name, "description": told.description, "parameters": parameters}
    if isinstance(value, BaseModel):
        return {"$model": type(value).__qualname__, **value.model_dump()}
    return _of_python(value)


def _of_python(value: Any) -> Any:
    if isinstance(value, type) and issubclass(value, BaseModel):
        return {"$schema_of": value.__qualname__, "schema": value.model_json_schema()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset):
        return {"$set": sorted(value)}
    if isinstance(value, FunctionType) and value.__module__.startswith("llama_index."):
        # Its own ways to write a prompt; a user's function may change under the same name.
        return {"$function": f"{value.__module__}.{value.__qualname__}"}
    msg = f"a value of type {type(value).__name__} has no canonical form"
    raise NoKey(msg)


def _plain_messages(messages: Iterable[ChatMessage]) -> Canonical:
    ids: dict[str, int] = {}
    plain = []
    for message in messages:
        said = {
            name: value
            for name, value in message.additional_kwargs.items()
            if name not in _NOT_OF_THE_MESSAGE
        }
        blocks = [block.model_dump(exclude_none=True) for block in message.blocks]
        for one in _ids(blocks, said):
            ids.setdefault(one, len(ids))
        fields = {"role": str(message.role.value), "blocks": blocks, "more": said}
        plain.append(canonical(fields, _as_stored, ids))
    return Canonical(plain)


def _as_stored(value: Any) -> Any:
    """Give an SDK's object as the dictionary that it comes back as from a cache."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else _other(value)


def _ids(blocks: Iterable[Mapping[str, Any]], said: Mapping[str, Any]) -> list[str]:
    """Return the ids of tool calls: of blocks, and of what packages keep beside them."""
    found = [block.get("tool_call_id") for block in blocks]
    calls = said.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        found += [_get(call, "id"), _get(call, "call_id")]
    found += [said.get("tool_call_id"), said.get("call_id")]
    return [one for one in found if isinstance(one, str) and one]


def _get(call: object, name: str) -> Any:
    return call.get(name) if isinstance(call, Mapping) else getattr(call, name, None)


def _answers_tools(messages: Sequence[ChatMessage]) -> bool:
    for message in reversed(messages):
        if message.role in {MessageRole.TOOL, MessageRole.FUNCTION}:
            return True
        if message.role is MessageRole.USER:
            return False
    return False
