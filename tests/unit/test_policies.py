from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest

from llmcost_plugins import ConfigurationError, Rule
from llmcost_plugins.labels import Labels, make_labels
from llmcost_plugins.policies import Candidate, Rules, cheapest, complete, make_policy
from llmcost_plugins.rules import Request
from llmcost_plugins.standing import Left

TRIAGE = make_labels({"task": "triage"})
NAMES = ["big", "small"]


def candidates(*expected: int | None, prompt_tokens: int = 10) -> list[Candidate]:
    return [
        Candidate(index, name, cost, prompt_tokens)
        for index, (name, cost) in enumerate(zip(NAMES, expected, strict=False))
    ]


def test_the_cheapest_comes_first_and_what_has_no_price_is_left_to_the_end() -> None:
    assert cheapest(candidates(5, 3), Request()) == [1, 0]
    assert cheapest(candidates(3, 3), Request()) == [0, 1]
    assert cheapest(candidates(None, 3), Request()) == [1]
    assert cheapest(candidates(0, 3), Request()) == [0, 1]


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
    request = Request(labels, prompt_tokens)
    assert rules(candidates(1, 1, prompt_tokens=prompt_tokens), request) == order


def test_two_models_of_one_name_are_both_meant() -> None:
    twins = [Candidate(0, "a", None, 1), Candidate(1, "b", None, 1), Candidate(2, "b", None, 1)]
    assert Rules([Rule(["b"])], ["a", "b", "b"])(twins, Request()) == [1, 2]


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


def left(*parts: tuple[str, str, str]) -> Sequence[Left]:
    return [Left(scope, budget, Fraction(part)) for scope, budget, part in parts]


@pytest.mark.parametrize(
    ("rule", "request_", "covered"),
    [
        (Rule(["a"], tasks=["triage", "other"]), Request(TRIAGE), True),
        (Rule(["a"], tasks=["other"]), Request(TRIAGE), False),
        (Rule(["a"], tasks=["triage"]), Request(), False),
        (Rule(["a"], needs=["images"]), Request(needs=frozenset({"images", "tools"})), True),
        (Rule(["a"], needs=["images", "tools"]), Request(needs=frozenset({"tools"})), False),
        (Rule(["a"], max_prompt_tokens=10), Request(prompt_tokens=10), True),
        (Rule(["a"], max_prompt_tokens=10), Request(prompt_tokens=11), False),
        (Rule(["a"], min_prompt_tokens=10), Request(prompt_tokens=9), False),
    ],
)
def test_a_rule_covers_what_meets_all_that_it_states(
    rule: Rule, request_: Request, *, covered: bool
) -> None:
    assert rule.covers(request_) is covered


@pytest.mark.parametrize(
    ("rule", "covered"),
    [
        (Rule(["a"], max_budget_left="0.2"), True),
        (Rule(["a"], max_budget_left=0.1), True),
        (Rule(["a"], max_budget_left="0.09"), False),
        (Rule(["a"], min_budget_left="0.1"), True),
        (Rule(["a"], min_budget_left="0.11"), False),
        (Rule(["a"], max_budget_left="0.2", budget="global"), False),
        (Rule(["a"], min_budget_left="0.9", budget="global"), True),
        (Rule(["a"], max_budget_left="0.2", budget="user:*"), True),
        (Rule(["a"], max_budget_left="0.2", budget="user:u1"), True),
        (Rule(["a"], max_budget_left="0.2", budget="user:u2"), False),
    ],
)
def test_a_rule_may_look_at_what_is_left_of_one_budget_or_of_the_tightest(
    rule: Rule, *, covered: bool
) -> None:
    tight = left(("global", "global", "9/10"), ("user:u1", "user:*", "1/10"))
    assert rule.covers(Request(left=lambda: tight)) is covered


def test_where_no_budget_applies_all_is_left() -> None:
    assert Rule(["a"], min_budget_left=1).covers(Request())
    assert not Rule(["a"], max_budget_left="0.99").covers(Request())


def test_the_ledger_is_asked_only_by_rules_that_look_at_a_budget() -> None:
    def refuse() -> Sequence[Left]:
        raise AssertionError

    assert Rule(["a"]).covers(Request(left=refuse))
    assert not Rule(["a"], tasks=["x"], max_budget_left=0.2).covers(Request(left=refuse))


def test_what_is_known_not_to_be_able_to_comes_last() -> None:
    able = [Candidate(0, "big", 5, 1), Candidate(1, "small", 3, 1, "'small' takes no images")]
    assert Rules([Rule(["small"])], NAMES)(able, Request()) == [0, 1]
    assert Rules([], NAMES, cheapest)(able, Request()) == [0, 1]


def test_what_no_rule_covers_is_ordered_by_the_other_policy() -> None:
    rules = Rules([Rule(["big"], tasks=["triage"])], NAMES, cheapest)
    assert rules(candidates(5, 3), Request()) == [1, 0]
    assert rules(candidates(5, 3), Request(TRIAGE)) == [0, 1]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"min_prompt_tokens": 10, "max_prompt_tokens": 5}, "min_prompt_tokens=10 is more than"),
        ({"min_prompt_tokens": -1}, "min_prompt_tokens=-1 is no number of tokens"),
        ({"max_prompt_tokens": True}, "max_prompt_tokens=True is no number"),
        ({"max_prompt_tokens": "5"}, "max_prompt_tokens='5' is no number"),
        ({"tasks": "triage"}, "tasks='triage' is no list"),
        ({"tasks": 5}, "tasks=5 is no list"),
        ({"needs": "tools"}, r"needs='tools' is no list .* needs=\['tools'\]"),
        ({"needs": ["sight"]}, "no ability 'sight'; it must be one of 'tools'"),
        ({"needs": 5}, "needs=5 is no list"),
        ({"labels": ["x"]}, r"labels=\['x'\] are no labels"),
        ({"min_budget_left": 2}, "min_budget_left=2 is no part of a budget"),
        ({"max_budget_left": "nan"}, "max_budget_left='nan'"),
        ({"max_budget_left": "much"}, "max_budget_left='much'"),
        ({"max_budget_left": True}, "max_budget_left=True"),
        ({"min_budget_left": 0.5, "max_budget_left": 0.2}, "min_budget_left=0.5 is more than"),
        ({"budget": "team:*"}, "add e.g. max_budget_left=0.2"),
        ({"budget": "team", "max_budget_left": 0.2}, "'team' in the scope"),
        ({"budget": 5, "max_budget_left": 0.2}, "budget=5 is no text"),
        ({"name": 5}, "name=5 is no text"),
    ],
)
def test_a_rule_that_could_cover_nothing_is_refused_with_a_good_example(
    facts: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Rule(["big"], **facts)


def test_what_is_no_rule_is_refused() -> None:
    wrong: Any = ["big"]
    with pytest.raises(ConfigurationError, match=r"'big' is no rule; e\.g\. Rule"):
        make_policy(wrong, NAMES)
