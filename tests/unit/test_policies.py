from typing import Any

import pytest

from llmcost_plugins import ConfigurationError, Rule
from llmcost_plugins.labels import Labels, make_labels
from llmcost_plugins.policies import Candidate, Rules, cheapest, complete, make_policy

TRIAGE = make_labels({"task": "triage"})
NAMES = ["big", "small"]


def candidates(*expected: int | None, prompt_tokens: int = 10) -> list[Candidate]:
    return [
        Candidate(index, name, cost, prompt_tokens)
        for index, (name, cost) in enumerate(zip(NAMES, expected, strict=False))
    ]


def test_the_cheapest_comes_first_and_what_has_no_price_is_left_to_the_end() -> None:
    assert cheapest(candidates(5, 3), Labels()) == [1, 0]
    assert cheapest(candidates(3, 3), Labels()) == [0, 1]
    assert cheapest(candidates(None, 3), Labels()) == [1]
    assert cheapest(candidates(0, 3), Labels()) == [0, 1]


@pytest.mark.parametrize(
    ("prompt_tokens", "labels", "order"),
    [
        (10, TRIAGE, [1]),
        (100, TRIAGE, [1]),
        (101, TRIAGE, []),
        (10, Labels(), []),
        (5000, Labels(), [1, 0]),
        (5000, TRIAGE, [1, 0]),
    ],
)
def test_the_first_rule_that_covers_a_request_decides(
    prompt_tokens: int, labels: Labels, order: list[int]
) -> None:
    rules = Rules(
        [
            Rule(["small"], labels={"task": "triage"}, max_prompt_tokens=100),
            Rule(["small", "big"], min_prompt_tokens=5000),
        ],
        NAMES,
    )
    assert rules(candidates(1, 1, prompt_tokens=prompt_tokens), labels) == order


def test_two_models_of_one_name_are_both_meant() -> None:
    twins = [Candidate(0, "a", None, 1), Candidate(1, "b", None, 1), Candidate(2, "b", None, 1)]
    assert Rules([Rule(["b"])], ["a", "b", "b"])(twins, Labels()) == [1, 2]


@pytest.mark.parametrize(
    ("said", "order"),
    [([], [0, 1, 2]), ([2], [2, 0, 1]), ([2, 2, 9, -1, 0], [2, 0, 1])],
)
def test_an_order_is_completed_and_what_is_no_candidate_is_left_out(
    said: list[int], order: list[int]
) -> None:
    assert complete(said, 3) == order


def test_policies_are_named_given_as_rules_or_as_functions() -> None:
    assert make_policy("ladder", NAMES) is None
    assert make_policy("cheapest", NAMES) is cheapest
    assert isinstance(make_policy([Rule(["big"])], NAMES), Rules)
    assert make_policy(cheapest, NAMES) is cheapest


@pytest.mark.parametrize("models", ["big", [], ()])
def test_a_rule_without_a_list_of_models_is_refused(models: Any) -> None:
    with pytest.raises(ConfigurationError, match="a rule names models"):
        Rule(models)


def test_a_rule_with_a_label_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="model"):
        Rule(["big"], labels={"model": "x"})
