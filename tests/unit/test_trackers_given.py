from typing import Any

import pytest

from llmcost_plugins import (
    Budget,
    ConfigurationError,
    CostTracker,
    set_default_tracker,
    track_cost,
)
from llmcost_plugins.given import tracker_given
from llmcost_plugins.ledger import open_ledger


def test_what_is_no_tracker_is_refused_with_the_way_to_say_what_was_meant() -> None:
    with pytest.raises(ConfigurationError) as caught:
        tracker_given("chat", "CostGate(tracker, feature='chat')")
    assert str(caught.value) == (
        "tracker='chat' is no CostTracker; write CostGate(tracker, feature='chat'), or leave the "
        "tracker out for the one that the environment variables set up"
    )


def test_a_tracker_is_passed_on_and_none_stays_none() -> None:
    tracker = CostTracker(open_ledger("memory://"))
    assert tracker_given(tracker, "…") is tracker
    assert tracker_given(None, "…") is None


def test_a_decorator_without_its_parentheses_says_what_to_write() -> None:
    with pytest.raises(ConfigurationError, match=r"write @track_cost\(tracker, feature='chat'\)"):
        track_cost(print)  # type: ignore[arg-type]  # what users get wrong


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["sqlite:///x"], r"write open_ledger\('sqlite:///x'\)"),
        ([open_ledger("memory://"), "global=5/day"], r"write parse_budgets\('global=5/day'\)"),
        ([open_ledger("memory://"), Budget("global", 5)], "write a list of budgets"),
    ],
    ids=["a URL", "budgets as text", "one budget"],
)
def test_a_tracker_is_made_of_a_ledger_and_a_list_of_budgets(
    arguments: list[Any], remedy: str
) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        CostTracker(*arguments)


def test_the_tracker_of_the_process_is_a_tracker() -> None:
    with pytest.raises(ConfigurationError, match="'x' is no CostTracker"):
        set_default_tracker("x")  # type: ignore[arg-type]  # what users get wrong
