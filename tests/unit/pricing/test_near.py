import pytest

from llmcost_plugins.pricing.near import did_you_mean, hint, near_names

KNOWN = ["gpt-4o", "gpt-4o-mini", "azure/gpt-4o", "azure/eu/gpt-4o", "claude-sonnet-4-5", "GPT-4O"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Gpt-4o", ["GPT-4O", "gpt-4o", "azure/gpt-4o"]),
        ("openai/gpt-4o", ["GPT-4O", "gpt-4o", "azure/gpt-4o"]),
        ("azur/gpt-4o", ["GPT-4O", "gpt-4o", "azure/gpt-4o"]),
        ("claude-sonet-4-5", ["claude-sonnet-4-5"]),
        ("claude/", []),
        ("", []),
        ("xyzzy", []),
    ],
)
def test_the_likeliest_names_come_first(name: str, expected: list[str]) -> None:
    assert near_names(name, KNOWN) == expected


def test_as_many_names_as_asked_for_are_returned() -> None:
    assert near_names("gpt-4o", KNOWN, 1) == ["GPT-4O"]
    assert len(near_names("gpt-4o", KNOWN, 5)) == 5


def test_the_hint_is_empty_when_nothing_is_near() -> None:
    assert hint("xyzzy", KNOWN) == ""
    assert hint("claude-sonet-4-5", KNOWN) == "; did you mean 'claude-sonnet-4-5'?"
    assert did_you_mean(()) == ""
    assert hint("Gpt-4o", KNOWN, 2) == "; did you mean 'GPT-4O' or 'gpt-4o'?"
