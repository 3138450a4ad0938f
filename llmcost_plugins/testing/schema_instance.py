"""Deterministic instances of a JSON schema."""

import math
from collections.abc import Mapping
from typing import Any

_MAX_DEPTH = 40
_TEXT = "text"
_FORMATS = {
    "date": "2025-01-01",
    "date-time": "2025-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "user@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def instance_of(schema: Mapping[str, Any]) -> Any:
    """Return a value that the schema accepts, always the same one.

    Knows the keywords of structured outputs; `pattern` is not among them. Raises ValueError for an
    unknown reference and for a schema that only an infinite value could satisfy.
    """
    return _Generator(schema).value(schema, ())


class _Generator:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def value(self, schema: Any, refs: tuple[str, ...], depth: int = 0) -> Any:
        """Make a value; `refs` are the references being followed, to end recursive schemas."""
        if depth > _MAX_DEPTH:
            msg = "the JSON schema has no finite instance"
            raise ValueError(msg)
        if not isinstance(schema, Mapping):
            return _TEXT
        if fixed := [schema["const"]] if "const" in schema else schema.get("enum"):
            return fixed[0]
        if "$ref" in schema:
            ref = schema["$ref"]
            return self.value(self._resolve(ref), (*refs, ref), depth + 1)
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self.value(_choose(options, refs), refs, depth + 1)
        merged = self._merge(schema) if "allOf" in schema else schema
        return self._typed(merged, refs, depth)

    def _typed(self, schema: Mapping[str, Any], refs: tuple[str, ...], depth: int) -> Any:
        kind = _type_of(schema)
        if kind == "object":
            return self._object(schema, refs, depth)
        if kind == "array":
            return self._array(schema, refs, depth)
        if kind in ("integer", "number"):
            return _number(schema, whole=kind == "integer")
        return {"boolean": True, "null": None}[kind] if kind != "string" else _string(schema)

    def _object(
        self, schema: Mapping[str, Any], refs: tuple[str, ...], depth: int
    ) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties", {})
        required = schema.get("required", ())
        wanted = required if _recursive(refs) else dict.fromkeys([*properties, *required])
        return {name: self.value(properties.get(name), refs, depth + 1) for name in wanted}

    def _array(self, schema: Mapping[str, Any], refs: tuple[str, ...], depth: int) -> list[Any]:
        prefix = [self.value(item, refs, depth + 1) for item in schema.get("prefixItems", ())]
        least = 0 if _recursive(refs) or prefix else 1
        length = min(max(schema.get("minItems", 0), least), schema.get("maxItems", math.inf))
        items = schema.get("items")
        return prefix + [
            self.value(items, refs, depth + 1) for _ in range(int(length) - len(prefix))
        ]

    def _resolve(self, ref: str) -> Any:
        target: Any = self._root
        for raw in ref.removeprefix("#").split("/")[1:]:
            key = raw.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, Mapping) or key not in target:
                msg = f"the JSON schema has no {ref!r}"
                raise ValueError(msg)
            target = target[key]
        return target

    def _merge(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for given in schema["allOf"]:
            part = self._resolve(given["$ref"]) if "$ref" in given else given
            for key, value in part.items():
                if key == "properties":
                    merged[key] = {**merged.get(key, {}), **value}
                elif key == "required":
                    merged[key] = [*merged.get(key, ()), *value]
                else:
                    merged[key] = value
        return merged


def _recursive(refs: tuple[str, ...]) -> bool:
    return len(set(refs)) < len(refs)


def _choose(options: list[Any], refs: tuple[str, ...]) -> Any:
    """Take the first option that does not lead back to a schema being made."""
    fresh = [option for option in options if option.get("$ref") not in refs]
    if refs and len(fresh) < len(options):
        fresh.sort(key=lambda option: option.get("type") != "null")
    return (fresh or options)[0]


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    step = schema.get("multipleOf", 1)
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    low = max(schema.get("minimum", -math.inf), -math.inf if above is None else above)
    high = min(schema.get("maximum", math.inf), math.inf if below is None else below)
    nearest = min(max(step, low), high) / step
    multiples = (math.ceil(nearest), math.ceil(nearest) + 1, math.floor(nearest) - 1)
    candidates = [multiple * step for multiple in multiples]
    if not whole:
        candidates.append((low + high) / 2)
    for number in candidates:
        if low <= number <= high and number not in (above, below):
            return int(number) if whole else number
    msg = f"the JSON schema allows no number: {dict(schema)!r}"
    raise ValueError(msg)


def _string(schema: Mapping[str, Any]) -> str:
    text = _FORMATS.get(schema.get("format", ""), _TEXT)
    least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    padded: str = text.ljust(least, "x")
    return padded if len(padded) <= most else padded[: int(most)]
