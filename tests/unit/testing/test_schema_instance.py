from typing import Any

import pytest

from llmcost_plugins.testing.schema_instance import instance_of


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date"}, "2025-01-01"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 7}, 7),
        ({"type": "integer", "exclusiveMinimum": 7}, 8),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "exclusiveMaximum": 1}, 0),
        ({"type": "integer", "multipleOf": 5, "minimum": 11}, 15),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "number", "minimum": 0, "maximum": 1}, 1),
        ({"type": "number", "minimum": 0.2, "maximum": 0.6}, 0.4),
        ({"type": "number", "maximum": -2.5}, -4),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"const": 0}, 0),
        ({"enum": ["a", "b"]}, "a"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [1, 1, 1]),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 0}, []),
        ({"prefixItems": [{"type": "integer"}, {"type": "null"}], "type": "array"}, [1, None]),
        ({"properties": {"a": {"type": "null"}}, "required": ["b"]}, {"a": None, "b": "text"}),
        ({}, "text"),
        (
            {
                "allOf": [{"$ref": "#/$defs/A"}, {"properties": {"b": {"const": 2}}}],
                "$defs": {"A": {"type": "object", "properties": {"a": {"const": 1}}}},
            },
            {"a": 1, "b": 2},
        ),
    ],
)
def test_an_instance_satisfies_its_schema(schema: dict[str, Any], value: object) -> None:
    assert instance_of(schema) == value


def test_a_recursive_schema_ends_as_soon_as_it_may() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
        "required": ["next"],
    }
    assert instance_of({"$ref": "#/$defs/Node", "$defs": {"Node": node}}) == {"next": None}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"$ref": "#/$defs/Missing"}, "has no '#/\\$defs/Missing'"),
        ({"type": "integer", "minimum": 1, "exclusiveMaximum": 1}, "allows no number"),
        ({"properties": {"self": {"$ref": "#"}}, "required": ["self"]}, "no finite instance"),
    ],
)
def test_a_schema_without_an_instance_is_refused(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        instance_of(schema)
