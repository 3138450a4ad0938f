"""What LlamaIndex's model classes send of a call's parameters and their own, and to whom.

Each package merges them in an order of its own, and stores them under names of its own. Read in
llama-index-core 0.14.25 and llms-openai 0.8.3, -anthropic 0.12.3, -google-genai 0.11.3,
-bedrock-converse 0.15.3, -litellm 0.8.0, -langchain 0.9.0.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from llama_index.core.llms.structured_llm import StructuredLLM

_PACKAGES: Final = "llama_index.llms."
_RESPONSES: Final = "openai.responses"
_WRAPPERS: Final = frozenset({"langchain", "litellm", "openai_like"})
"""Packages whose classes call any provider: the model's name, or what they wrap, says which."""
_CLASSES: Final = {
    "openai_llm": "openai",
    "openai_responses_llm": _RESPONSES,
    "Anthropic_LLM": "anthropic",
    "GenAI": "google_genai",
    "Bedrock_Converse_LLM": "bedrock_converse",
}
"""What classes call themselves, for models whose span was not seen."""
_CLIENTS: Final = {"AnthropicBedrock": "bedrock", "AnthropicVertex": "vertex_ai"}
_CAPS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_CHOICES: Final = ("n", "best_of", "candidate_count")
_OWN: Final = ("max_tokens", "max_output_tokens", "modalities", "instructions")
_OWN_TOOLS: Final = ("built_in_tools", "tools", "mcp_servers")
_CALL_WINS: Final = ("own", "more", "call")
# The later wins. OpenAI's class ignores a call's max_tokens where it has its own.
_ORDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "openai": ("call", "own", "more"),
    _RESPONSES: _CALL_WINS,
    "anthropic": _CALL_WINS,
    "google_genai": _CALL_WINS,
    "bedrock_converse": _CALL_WINS,
    "litellm": _CALL_WINS,
    "langchain": _CALL_WINS,
}
_LAZY: Final = frozenset({"openai", _RESPONSES, "litellm", "google_genai", "langchain"})
_STRUCTURED_CAP: Final = 8192
_OWN_REQUEST: Final = frozenset({"anthropic", "google_genai"})


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


def sent_by(llm: object, class_name: str, kwargs: Mapping[str, Any]) -> Sent:
    """Return what a call sends.

    Args:
        llm: the model; `None` if not known.
        class_name: what it calls its class.
        kwargs: the parameters of the call.
    """
    llm, schema = asked_model(llm)
    family = _family(llm, class_name)
    if family == "langchain":
        return _sent_by_langchain(llm, kwargs, schema)
    sources = _sources(llm, family, kwargs)
    params = _merged(sources, _own_tools(llm), kwargs, schema)
    # A class that nobody has read may prefer either: the largest cap and number hold.
    weighed = [params] if family in _ORDERS else sources
    model = params.get("model")
    return Sent(
        model=model if isinstance(model, str) and family != "bedrock_converse" else "",
        provider=_provider(llm, class_name),
        params=params,
        caps=[cap for source in weighed for cap in _counts(source, _CAPS)],
        choices=max((n for source in weighed for n in _counts(source, _CHOICES)), default=1),
    )


def asked_model(llm: object) -> tuple[object, object]:
    """Return the model that does the work of *llm*, and the schema that it is given, if any."""
    if isinstance(llm, StructuredLLM):
        return llm.llm, llm.output_cls.model_json_schema()
    return llm, None


def sends_at_first_chunk(llm: object, class_name: str, method: str) -> bool:
    """Tell whether a stream of this model sends nothing until its first chunk is asked for.

    Args:
        llm: the model; `None` if not known.
        class_name: what it calls its class.
        method: what was called, such as ``stream_chat``.
    """
    family = _family(asked_model(llm)[0], class_name)
    if family == "langchain":  # its text streams are read by a thread of their own
        return method.endswith("stream_chat")
    return family in _LAZY


def hands_on(llm: object) -> bool:
    """Tell whether the model calls another framework's, whose calls may be recorded as well."""
    return _family(asked_model(llm)[0], "") == "langchain"


def makes_own_request(llm: object) -> bool:
    """Tell whether the model's structured predictions may bypass its events and its rate limiter.

    So do those of Anthropic's and Google's class, for models that have structured output.
    """
    return _family(llm, "") in _OWN_REQUEST


def structured_kwargs(llm: object, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of such a prediction: Anthropic's class has a cap of its own for it."""
    cap = {"max_tokens": _STRUCTURED_CAP} if _family(llm, "") == "anthropic" else {}
    return {**cap, **kwargs}


def may_think(llm: object) -> bool:
    """Tell whether such a prediction may have thoughts that are billed and not shown.

    Anthropic's class sends no leave to think with it.
    """
    return _family(llm, "") != "anthropic"


def _packages(llm: object) -> Iterator[str]:
    """Yield the packages of LlamaIndex that a model's class is from and derives from.

    The part after ``llama_index.llms.``, e.g. ``bedrock_converse``.
    """
    for kind in type(llm).__mro__:
        if kind.__module__.startswith(_PACKAGES):
            yield kind.__module__.removeprefix(_PACKAGES)


def _family(llm: object, class_name: str) -> str:
    """Return whose way of merging parameters a model has; empty if nobody has read it."""
    for module in _packages(llm):
        package = module.partition(".")[0]
        if module.startswith(_RESPONSES) or package in _ORDERS:
            return _RESPONSES if module.startswith(_RESPONSES) else package
    return _CLASSES.get(class_name, "")


def _sources(llm: object, family: str, kwargs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the call's parameters and the model's own, in the order in which they win."""
    own = {name: v for name in _OWN if (v := getattr(llm, name, None)) is not None}
    more = _mapping(getattr(llm, "additional_kwargs", None))
    given = dict(kwargs)
    config = _mapping(getattr(llm, "_generation_config", None))
    if config:
        own = {name: v for name, v in config.items() if v is not None}
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


def _own_tools(llm: object) -> list[Any]:
    found = (getattr(llm, name, None) for name in _OWN_TOOLS)
    return [tool for tools in found if isinstance(tools, list | tuple) for tool in tools]


def _provider(llm: object, class_name: str) -> str | None:
    package = next(_packages(llm), _CLASSES.get(class_name, "")).partition(".")[0]
    client = getattr(llm, "_client", None)
    if package == "google_genai" and getattr(client, "vertexai", False) is True:
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
    return Sent(
        model=str(about.get("ls_model_name") or ""),
        provider=about.get("ls_provider"),
        params=params,
        caps=[cap for source in limits for cap in _counts(source, _CAPS)],
        choices=max([*_counts({"n": getattr(inner, "n", None)}, _CHOICES), 1]),
    )


def _counts(params: Mapping[str, Any], keys: Iterable[str]) -> list[int]:
    values = (params.get(key) for key in keys)
    return [v for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
