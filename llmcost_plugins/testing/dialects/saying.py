"""What the user's words mean for the answer: which tools to call, and with which values.

Only as much of it as lets a test say, in the prompt, what it wants to get.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from llmcost_plugins.testing.schema_instance import instance_of

_LONG = 3
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?![\w.]*\d)", re.ASCII)
_QUOTED = re.compile(r"(?<!\w)'([^'\n]+)'(?!\w)|\"([^\"\n]+)\"")
_SHAPING = frozenset({"const", "enum", "format", "minLength", "maxLength", "minimum", "maximum"})


def mentions(said: str, tool: str) -> bool:
    """Tell whether a text has the name of a tool, or each longer word of the name.

    "What is the weather?" mentions `get_weather`.
    """
    words = [word for word in tool.lower().split("_") if len(word) > _LONG]
    return tool in said or (bool(words) and all(word in said.lower() for word in words))


def arguments_for(schema: Mapping[str, Any], said: str) -> Any:
    """Return an instance of a schema that has the numbers and the quoted texts of what was said.

    Each in its order, for properties of an object that are plain integers and strings; there are
    values of our own for what is left. Raises ValueError for a schema without an instance.
    """
    instance = instance_of(schema)
    if not isinstance(instance, dict):
        return instance
    properties = schema.get("properties", {})
    texts, numbers = quoted(said), (int(number) for number in _NUMBER.findall(said))
    for name in instance:
        part = properties.get(name)
        if not isinstance(part, Mapping) or not _SHAPING.isdisjoint(part):
            continue
        if part.get("type") == "string":
            instance[name] = next(texts, instance[name])
        elif part.get("type") == "integer":
            instance[name] = next(numbers, instance[name])
    return instance


def json_object_for(said: str, echo: str) -> str:
    """Return a JSON object with the keys that a text quotes, if it speaks of keys."""
    keys = list(quoted(said)) if "keys" in said else []
    return json.dumps(dict.fromkeys(keys or ["answer"], echo), ensure_ascii=False)


def quoted(said: str) -> Iterator[str]:
    """Yield the parts of a text that are in quotation marks."""
    return (single or double for single, double in _QUOTED.findall(said))
