"""What LlamaIndex's model classes send of a call's parameters and their own, and to whom.

Each package merges them in an order of its own, and stores them under names of its own. Read in
llama-index-core 0.14.25 and llms-openai 0.8.3, -anthropic 0.12.3, -google-genai 0.11.3,
-bedrock-converse 0.15.3, -litellm 0.8.0, -langchain 0.9.0.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.llms.structured_llm import StructuredLLM

from llmcost_llamaindex._families import (
    ANTHROPIC,
    BEDROCK,
    GOOGLE,
    LANGCHAIN,
    LITELLM,
    OPENAI,
    RESPONSES,
    family_of,
    modules_of,
)

_WRAPPERS: Final = frozenset({LANGCHAIN, LITELLM, "openai_like"})
"""Packages whose classes call any provider: the model's name, or what they wrap, says which."""
_CLIENTS: Final = {"AnthropicBedrock": "bedrock", "AnthropicVertex": "vertex_ai"}
_CAPS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_CHOICES: Final = ("n", "best_of", "candidate_count")
_OWN: Final = ("max_tokens", "max_output_tokens", "modalities", "instructions")
_OWN_TOOLS: Final = ("built_in_tools", "tools", "mcp_servers")
_CALL_WINS: Final = ("own", "more", "call")
# The later wins. OpenAI's class ignores a call's max_tokens where it has its own.
_ORDERS: Final[Mapping[str, tuple[str, ...]]] = {
    OPENAI: ("call", "own", "more"),
    RESPONSES: _CALL_WINS,
    ANTHROPIC: _CALL_WINS,
    GOOGLE: _CALL_WINS,
    BEDROCK: _CALL_WINS,
    LITELLM: _CALL_WINS,
    LANGCHAIN: _CALL_WINS,
}
_LAZY: Final = frozenset({OPENAI, RESPONSES, LITELLM, GOOGLE, LANGCHAIN})
_STRUCTURED_CAP: Final = 8192
_NOTHING: Final[Mapping[str, Any]] = {}


class Sent(NamedTuple):
    """What a model is about to send, besides the messages.

    Attributes:
        model: its name; empty if only the event says it.
        provider: who bills, where that is known.
        params: all parameters.
        caps: the tokens that its answer is limited to; the largest holds.
        choices: how many answers are asked for.
    """

    model: str
    provider: str | None
    params: Mapping[str, Any]
    caps: list[int]
    choices: int


# Asked by class: pydantic's take a microsecond to say whether something is theirs.
@lru_cache(maxsize=256)
def is_model(kind: type) -> bool:
    """Tell whether a class is of models."""
    return issubclass(kind, BaseLLM)


@lru_cache(maxsize=256)
def _makes_objects(kind: type) -> bool:
    return issubclass(kind, StructuredLLM)


def inner_model(llm: object) -> object | None:
    """Return the model whose answers *llm* makes objects of; `None` if it makes none."""
    # mypy takes a class for what it makes.
    return llm.llm if _makes_objects(type(llm)) else None  # type: ignore[arg-type, attr-defined]


def sent_by(llm: object, class_name: str, kwargs: Mapping[str, Any]) -> Sent:
    """Return what a call sends.

    Args:
        llm: the model; `None` if not known.
        class_name: what it calls its class.
        kwargs: the parameters of the call.
    """
    schema = None
    if (inner := inner_model(llm)) is not None:
        schema = llm.output_cls.model_json_schema()  # type: ignore[attr-defined]
        llm = inner
        kwargs = structured_kwargs(llm, kwargs)
    family = family_of(llm, class_name)
    if family == LANGCHAIN:
        return _sent_by_langchain(llm, kwargs, schema)
    values: Mapping[str, Any] = getattr(llm, "__dict__", _NOTHING)
    hidden: Mapping[str, Any] = getattr(llm, "__pydantic_private__", None) or _NOTHING
    sources = _sources(values, hidden, family, kwargs)
    params = _merged(sources, _own_tools(values), kwargs, schema)
    # A class that nobody has read may prefer either: the largest cap and number hold.
    weighed = (params,) if family in _ORDERS else sources
    model = params.get("model")
    return Sent(
        model=model if isinstance(model, str) and family != BEDROCK else "",
        provider=_provider(llm, class_name, hidden.get("_client")),
        params=params,
        caps=_counts(weighed, _CAPS),
        choices=max(_counts(weighed, _CHOICES), default=1),
    )


def asked_model(llm: object) -> object:
    """Return the model that does the work of *llm*."""
    inner = inner_model(llm)
    return llm if inner is None else inner


def sends_at_first_chunk(llm: object, class_name: str, method: str) -> bool:
    """Tell whether a stream of this model sends nothing until its first chunk is asked for.

    Args:
        llm: the model; `None` if not known.
        class_name: what it calls its class.
        method: what was called, such as ``stream_chat``.
    """
    family = family_of(asked_model(llm), class_name)
    if family == LANGCHAIN:  # its text streams are read by a thread of their own
        return method.endswith("stream_chat")
    return family in _LAZY


def hands_on(llm: object) -> bool:
    """Tell whether the model calls another framework's, whose calls may be recorded as well."""
    return family_of(asked_model(llm)) == LANGCHAIN


def structured_kwargs(llm: object, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of such a prediction: Anthropic's class has a cap of its own for it."""
    cap = {"max_tokens": _STRUCTURED_CAP} if family_of(llm) == ANTHROPIC else {}
    return {**cap, **kwargs}


def may_think(llm: object) -> bool:
    """Tell whether such a prediction may have thoughts that are billed and not shown.

    Anthropic's class sends no leave to think with it.
    """
    return family_of(llm) != ANTHROPIC


def _sources(
    values: Mapping[str, Any], hidden: Mapping[str, Any], family: str, kwargs: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """Return the call's parameters and the model's own, in the order in which they win.

    Args:
        values: the model's fields. Not read with `getattr`: a missing attribute costs pydantic
            microseconds, and most are missing.
        hidden: its private attributes.
        family: whose parameters it speaks.
        kwargs: the parameters of the call.
    """
    own = {name: v for name in _OWN if (v := values.get(name)) is not None}
    more = _mapping(values.get("additional_kwargs"))
    given = kwargs
    if config := _mapping(hidden.get("_generation_config")):
        own = {name: v for name, v in config.items() if v is not None}
        given = dict(kwargs)
        given.update(_mapping(given.pop("generation_config", None)))
    by_name = {"own": own, "more": more, "call": given}
    return [by_name[name] for name in _ORDERS.get(family, _CALL_WINS)]


def _merged(
    sources: Iterable[Mapping[str, Any]],
    tools: list[Any],
    kwargs: Mapping[str, Any],
    schema: object,
) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for source in sources:
        params.update(source)
    asked = kwargs.get("tools")
    if tools:
        params["tools"] = [*tools, *(asked if isinstance(asked, list | tuple) else ())]
    if schema is not None:
        params["response_format"] = schema
    return params


def _own_tools(values: Mapping[str, Any]) -> list[Any]:
    found = [tools for name in _OWN_TOOLS if (tools := values.get(name))]
    return [tool for tools in found if isinstance(tools, list | tuple) for tool in tools]


@lru_cache(maxsize=256)
def _package(kind: type, class_name: str) -> str:
    return next(iter(modules_of(kind)), family_of(None, class_name)).partition(".")[0]


def _provider(llm: object, class_name: str, client: object) -> str | None:
    # mypy takes a class for what it makes.
    package = _package(type(llm), class_name)  # type: ignore[arg-type]
    if package == GOOGLE and getattr(client, "vertexai", False) is True:
        return "vertex_ai"
    if not package or package in _WRAPPERS:
        return None
    return _CLIENTS.get(type(client).__name__, package)


def _sent_by_langchain(llm: object, kwargs: Mapping[str, Any], schema: object) -> Sent:
    """Ask LangChain's model itself: LlamaIndex knows little of it."""
    inner = getattr(llm, "llm", None)
    describe = getattr(inner, "_get_ls_params", None)
    about = _mapping(describe()) if callable(describe) else {}
    params = _merged([kwargs], [], kwargs, schema)
    limits = ({"max_tokens": about.get("ls_max_tokens")}, params)
    choices = _counts([{"n": getattr(inner, "n", None)}], _CHOICES)
    return Sent(
        model=str(about.get("ls_model_name") or ""),
        provider=about.get("ls_provider"),
        params=params,
        caps=_counts(limits, _CAPS),
        choices=max(choices, default=1),
    )


def _counts(sources: Iterable[Mapping[str, Any]], keys: Iterable[str]) -> list[int]:
    values = [v for source in sources for key in keys if (v := source.get(key)) is not None]
    return [v for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
