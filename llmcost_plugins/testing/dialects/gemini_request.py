"""Reads and checks what Google's `generateContent` is asked for."""

from collections.abc import Iterator, Mapping
from typing import Any

from llmcost_plugins.testing.dialects.asks import Ask, Calling, Tool
from llmcost_plugins.testing.dialects.base import ApiError, encode_json
from llmcost_plugins.testing.dialects.counting import count_messages

_MOST_CANDIDATES = 8
_MOST_STOPS = 5
_CALLING = {"ANY": Calling.REQUIRED, "NONE": Calling.NONE}
_MODES = ("AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED")
_JSON = "application/json"


def choices_of(body: Mapping[str, Any]) -> int:
    """Return how many candidates are asked for."""
    return int(_config(body).get("candidateCount") or 1)


def shows_thoughts(body: Mapping[str, Any]) -> bool:
    """Tell whether the request wants to see the thoughts."""
    return (_config(body).get("thinkingConfig") or {}).get("includeThoughts") is True


def read_content(body: Mapping[str, Any]) -> Ask:
    """Return what a valid request asks for."""
    contents, config, calling = body["contents"], _config(body), _calling(body)
    functions, allowed = _functions(body), calling.get("allowedFunctionNames")
    said = (_text(c) for c in reversed(contents) if c.get("role", "user") == "user")
    schema = _schema(config)
    return Ask(
        said=next(filter(None, said), ""),
        is_users_turn=not any("functionResponse" in part for part in contents[-1]["parts"]),
        tools=[
            Tool(function["name"], _parameters(function))
            for function in functions
            if not allowed or function["name"] in allowed
        ],
        calling=_CALLING.get(calling.get("mode", ""), Calling.AUTO),
        schema=schema,
        json_object=schema is None and config.get("responseMimeType") == _JSON,
        stops=config.get("stopSequences") or (),
        cap=config.get("maxOutputTokens"),
    )


def count_content_prompt(body: Mapping[str, Any]) -> int:
    """Return the tokens of the prompt, see `count_messages`; the system's is one message."""
    system = body.get("systemInstruction")
    contents = [*([system] if system else []), *body["contents"]]
    texts = ["".join(_all_texts(content)) for content in contents]
    images = [p for c in contents for p in c["parts"] if "inlineData" in p or "fileData" in p]
    return count_messages(texts, len(images), (body.get("tools"), _schema(_config(body))))


def check_request(body: Mapping[str, Any], *, streamed: bool) -> None:
    """Raise ApiError if the request is not what the API accepts."""
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        raise _bad(param="contents", message="contents is not specified")
    for index, content in enumerate(contents):
        if not isinstance(content, dict) or not content.get("parts"):
            message = "contents.parts must not be empty"
            raise _bad(param=f"contents[{index}].parts", message=message)
        if content.get("role", "user") not in ("user", "model", "function"):
            message = "Please use a valid role: user, model."
            raise _bad(param=f"contents[{index}].role", message=message)
    _check_config(body, streamed=streamed)
    _check_tools(body)


def _bad(*, param: str, message: str) -> ApiError:
    return ApiError(400, f"* GenerateContentRequest.{param}: {message}")


def _check_config(body: Mapping[str, Any], *, streamed: bool) -> None:
    config = _config(body)
    cap = config.get("maxOutputTokens")
    if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int) or cap < 1):
        message = "max_output_tokens must be positive"
        raise _bad(param="generation_config.max_output_tokens", message=message)
    if not 1 <= choices_of(body) <= (1 if streamed else _MOST_CANDIDATES):
        message = f"must be between 1 and {_MOST_CANDIDATES}, and 1 in a stream"
        raise _bad(param="generation_config.candidate_count", message=message)
    stops = config.get("stopSequences") or []
    if len(stops) > _MOST_STOPS or not all(isinstance(stop, str) and stop for stop in stops):
        message = f"at most {_MOST_STOPS} texts that are not empty"
        raise _bad(param="generation_config.stop_sequences", message=message)
    if _schema(config) is not None and config.get("responseMimeType") != _JSON:
        message = f"response_mime_type must be {_JSON!r} for a response schema"
        raise _bad(param="generation_config.response_schema", message=message)


def _check_tools(body: Mapping[str, Any]) -> None:
    functions, calling = _functions(body), _calling(body)
    if not all(isinstance(function.get("name"), str) for function in functions):
        raise _bad(param="tools[0].function_declarations", message="a function needs a name")
    if calling.get("mode", "AUTO") not in _MODES:
        raise _bad(param="tool_config.function_calling_config.mode", message="Invalid value")
    unknown = set(calling.get("allowedFunctionNames") or ()) - {f["name"] for f in functions}
    if unknown:
        message = f"{sorted(unknown)} are not among the function declarations"
        raise _bad(param="tool_config.allowed_function_names", message=message)


def _config(body: Mapping[str, Any]) -> Mapping[str, Any]:
    config: Mapping[str, Any] = body.get("generationConfig") or {}
    return config


def _calling(body: Mapping[str, Any]) -> Mapping[str, Any]:
    calling: Mapping[str, Any] = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    return calling


def _functions(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    tools = body.get("tools") or ()
    return [f for tool in tools for f in tool.get("functionDeclarations") or ()]


def _parameters(function: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if function.get("parametersJsonSchema"):
        parameters: Mapping[str, Any] = function["parametersJsonSchema"]
        return parameters
    return _as_json_schema(function["parameters"]) if function.get("parameters") else None


def _schema(config: Mapping[str, Any]) -> Any:
    if config.get("responseJsonSchema"):
        return config["responseJsonSchema"]
    return _as_json_schema(config["responseSchema"]) if config.get("responseSchema") else None


def _as_json_schema(schema: Any) -> Any:
    """Write a schema of Google's, which has its types in upper case, as a JSON schema."""
    if isinstance(schema, list):
        return [_as_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    written = {key: _as_json_schema(value) for key, value in schema.items()}
    if isinstance(kind := schema.get("type"), str):
        written["type"] = kind.lower()
    return written


def _text(content: Mapping[str, Any]) -> str:
    return "".join(part["text"] for part in content["parts"] if isinstance(part.get("text"), str))


def _all_texts(content: Mapping[str, Any]) -> Iterator[str]:
    yield _text(content)
    for part in content["parts"]:
        for name in ("functionCall", "functionResponse"):
            if name in part:
                yield encode_json(part[name]).decode()
