from typing import Any

import pytest

from llmcost_plugins.testing.dialects.saying import arguments_for, mentions


@pytest.mark.parametrize(
    ("said", "tool", "mentioned"),
    [
        ("use get_weather", "get_weather", True),
        ("What is the Weather in Bern?", "get_weather", True),
        ("What is the weather?", "get_weather_history", False),
        ("Hello", "get_weather", False),
        ("go", "go", True),
        ("a dog", "get_a_b", False),
    ],
)
def test_a_tool_is_mentioned_by_its_name_or_by_the_longer_words_of_it(
    said: str, tool: str, mentioned: bool
) -> None:
    assert mentions(said, tool) is mentioned


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "kind": {"enum": ["a", "b"]},
        "count": {"type": "integer"},
        "level": {"type": "integer", "minimum": 5},
        "note": {"type": "string"},
    },
}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("nothing", ("text", 1, "text")),
        ("magic(3)", ("text", 3, "text")),
        ("'你好' and \"x y\" -7 times, not 2.5", ("你好", -7, "x y")),
        ("it's Bob's", ("text", 1, "text")),
        ("v2 of x9", ("text", 1, "text")),
    ],
)
def test_numbers_and_quoted_texts_become_arguments_in_their_order(
    said: str, expected: tuple[str, int, str]
) -> None:
    name, count, note = expected
    made = {"name": name, "kind": "a", "count": count, "level": 5, "note": note}
    assert arguments_for(SCHEMA, said) == made


def test_a_schema_that_is_no_object_is_followed_as_it_is() -> None:
    assert arguments_for({"type": "array", "items": {"type": "integer"}}, "3") == [1]
