from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmcost_plugins import Budget, ConfigurationError, CostTracker, Rule, attribute
from llmcost_plugins.errors import ModelUnsuitable
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.selector import ModelSelector
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.usage import Usage
from tests.unit.trackers import make_tracker, spec

MODELS = ["gpt-4o", "gpt-4o-mini"]
GOOD = """
models = ["gpt-4o", "gpt-4o-mini"]
otherwise = "ladder"

[[rules]]
name = "short triage"
models = ["gpt-4o-mini"]
tasks = ["classification"]
max_prompt_tokens = 2000
"""


@pytest.fixture
def tracker(ledger: Ledger, clock: FakeClock) -> Iterator[CostTracker]:
    with_budgets = make_tracker(ledger, clock, Budget("user:*", 1, "day"))
    yield with_budgets
    with_budgets.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "models.toml"


def spend(tracker: CostTracker, user: str, usd: str) -> None:
    with attribute(user=user):
        call = tracker.start(spec())
    # gpt-4o takes 10 USD per million answer tokens.
    call.finish(Usage(output=int(Decimal(usd) * 100_000)))


def test_the_first_rule_that_covers_a_request_chooses_and_says_why(tracker: CostTracker) -> None:
    selector = ModelSelector(
        MODELS,
        [Rule(["gpt-4o-mini"], tasks=["classification"], max_prompt_tokens=2000, name="short")],
        tracker=tracker,
    )
    choice = selector.select(task="classification", input_tokens=2000)
    assert choice.model == "gpt-4o-mini"
    assert choice.rule is not None
    assert choice.reason == "rule 'short' (max_prompt_tokens=2,000, tasks=classification)"
    longer = selector.select(task="classification", input_tokens=2001)
    assert (longer.model, longer.rule) == ("gpt-4o", None)
    assert longer.reason == "no rule covers the request: the preferred model"
    assert selector.select().model == "gpt-4o"


def test_each_candidate_has_its_expected_cost_in_usd(tracker: CostTracker) -> None:
    choice = ModelSelector(MODELS, tracker=tracker).select(input_tokens=1000, output_tokens=100)
    assert [(one.model, one.expected) for one in choice.options] == [
        ("gpt-4o", Decimal("0.0035")),
        ("gpt-4o-mini", Decimal("0.00021")),
    ]
    assert choice.expected == Decimal("0.0035")


def test_what_is_not_written_to_a_cache_is_not_expected_at_the_price_of_writing(
    tracker: CostTracker,
) -> None:
    choice = ModelSelector(["claude-sonnet-4-5", "gpt-4o"], otherwise="cheapest", tracker=tracker)
    expected = choice.select(input_tokens=1_000, output_tokens=0).options
    assert {one.model: one.expected for one in expected} == {
        "gpt-4o": Decimal("0.0025"),
        "claude-sonnet-4-5": Decimal("0.003"),
    }


def test_an_answer_counts_with_its_usual_length_once_that_is_known(tracker: CostTracker) -> None:
    selector = ModelSelector(MODELS, tracker=tracker)
    before = selector.select(input_tokens=100).expected
    for _ in range(20):
        tracker.start(spec(size=CallSize(1, None))).finish(Usage(input=1, output=10))
    after = selector.select(input_tokens=100).expected
    assert before is not None
    assert after is not None
    assert after < before / 10


def test_the_cheapest_for_the_request_may_come_first(tracker: CostTracker) -> None:
    choice = ModelSelector(MODELS, otherwise="cheapest", tracker=tracker).select(input_tokens=10)
    assert choice.model == "gpt-4o-mini"
    assert choice.reason == "no rule covers the request: the cheapest"


def test_labels_come_from_the_call_and_from_the_blocks_around(tracker: CostTracker) -> None:
    rules = [Rule(["gpt-4o-mini"], labels={"team": "alpha"}, tasks=["triage"])]
    selector = ModelSelector(MODELS, rules, tracker=tracker)
    assert selector.select("triage", team="alpha").model == "gpt-4o-mini"
    with attribute(team="alpha", task="triage"):
        assert selector.select().model == "gpt-4o-mini"
        assert selector.select(team="beta").model == "gpt-4o"


def test_a_rule_may_hold_while_little_is_left_of_the_callers_budget(tracker: CostTracker) -> None:
    rules = [Rule(["gpt-4o-mini"], budget="user:*", max_budget_left="0.2")]
    selector = ModelSelector(MODELS, rules, tracker=tracker)
    spend(tracker, "u1", "0.79")
    assert selector.select(user="u1").model == "gpt-4o"
    spend(tracker, "u1", "0.01")
    assert selector.select(user="u1").model == "gpt-4o-mini"
    assert selector.select(user="u2").model == "gpt-4o"
    assert selector.select().model == "gpt-4o"


def test_money_held_for_calls_in_flight_is_not_left(tracker: CostTracker) -> None:
    rules = [Rule(["gpt-4o"], min_budget_left="0.99")]
    selector = ModelSelector(["gpt-4o-mini", "gpt-4o"], rules, tracker=tracker)
    with attribute(user="u1"):
        assert selector.select().model == "gpt-4o"
        call = tracker.start(spec(size=CallSize(0, 10_000)))
        assert selector.select().model == "gpt-4o-mini"
        call.release()
        assert selector.select().model == "gpt-4o"


def test_the_limit_of_a_block_counts_as_well(tracker: CostTracker) -> None:
    rules = [Rule(["gpt-4o-mini"], max_budget_left="0.5")]
    selector = ModelSelector(MODELS, rules, tracker=tracker)
    with tracker.budget("0.10"):
        tracker.start(spec()).finish(Usage(output=5_000))
        assert selector.select().model == "gpt-4o-mini"
    assert selector.select().model == "gpt-4o"


def test_a_model_that_is_known_not_to_be_able_to_is_passed_over_with_the_reason(
    tracker: CostTracker,
) -> None:
    rules = [Rule(["gpt-3.5-turbo"], tasks=["caption"])]
    selector = ModelSelector(["gpt-3.5-turbo", "gpt-4o"], rules, tracker=tracker)
    choice = selector.select("caption", needs=["images"])
    assert choice.model == "gpt-4o"
    assert choice.options[1].unsuitable == "'gpt-3.5-turbo' is not known for images"
    assert "none of its models can do it; passed over: 'gpt-3.5-turbo'" in choice.reason
    long = selector.select("caption", input_tokens=20_000)
    assert long.model == "gpt-4o"
    assert "takes prompts of 16,385 tokens, and this one has 20,000" in long.reason
    assert selector.select("caption", needs=["tools", "structured_output"]).model == "gpt-3.5-turbo"


def test_rules_may_be_about_what_a_request_needs(tracker: CostTracker) -> None:
    rules = [Rule(["gpt-4o"], needs=["images"])]
    selector = ModelSelector(["gpt-4o-mini", "gpt-4o"], rules, tracker=tracker)
    assert selector.select(needs=["images", "tools"]).model == "gpt-4o"
    assert selector.select(needs=["tools"]).model == "gpt-4o-mini"


def test_of_a_model_on_ones_own_machine_nothing_is_known_to_be_missing(
    tracker: CostTracker,
) -> None:
    choice = ModelSelector(["ollama/llama3"], tracker=tracker).select(needs=["tools", "images"])
    assert (choice.model, choice.expected) == ("ollama/llama3", Decimal(0))


def test_when_no_model_can_do_it_the_reasons_are_listed(tracker: CostTracker) -> None:
    selector = ModelSelector(["gpt-3.5-turbo"], tracker=tracker)
    with pytest.raises(ModelUnsuitable, match=r"'gpt-3\.5-turbo' is not known for audio, images"):
        selector.select(needs=["images", "audio"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": []}, "is no list of names"),
        ({"models": "gpt-4o"}, "is no list of names"),
        ({"models": ["gpt4o-mni"]}, "no price is known for the model 'gpt4o-mni'.*'gpt-4o-mini'"),
        ({"models": MODELS, "otherwise": "best"}, "otherwise='best'; it must be one of"),
        (
            {"models": MODELS, "rules": [Rule(["gpt-4.1"])]},
            "names the model 'gpt-4.1'; the selector has 'gpt-4o', 'gpt-4o-mini'",
        ),
    ],
)
def test_a_selector_that_could_not_choose_is_refused_when_it_is_made(
    tracker: CostTracker, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ModelSelector(**arguments, tracker=tracker)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_tokens": -1}, "input_tokens=-1 is no number of tokens"),
        ({"input_tokens": 1.5}, "input_tokens=1.5"),
        ({"output_tokens": 10**12}, "output_tokens=1000000000000"),
        ({"needs": "tools"}, "needs='tools' is no list"),
        ({"needs": ["wings"]}, "no ability 'wings'"),
        ({"task": ""}, "label 'task'"),
        ({"model": "gpt-4o"}, "label key 'model'"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    tracker: CostTracker, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ModelSelector(MODELS, tracker=tracker).select(**arguments)


def test_rules_may_come_from_a_file(tracker: CostTracker, file: Path) -> None:
    file.write_text(GOOD, "utf-8")
    selector = ModelSelector.from_toml(file, tracker=tracker)
    assert selector.select("classification", input_tokens=10).model == "gpt-4o-mini"
    assert selector.select("classification", input_tokens=5000).model == "gpt-4o"


def test_shares_in_a_file_are_exact(tracker: CostTracker, file: Path) -> None:
    file.write_text(GOOD + 'budget = "user:*"\nmax_budget_left = 0.1\n', "utf-8")
    spend(tracker, "u1", "0.9")
    selector = ModelSelector.from_toml(str(file), tracker=tracker)
    assert selector.select("classification", user="u1").model == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models = [", "is no TOML file"),
        ("", "models=None is no list of model names; a good value is models = "),
        ("models = 'gpt-4o'", "models='gpt-4o' is no list"),
        ("model = ['gpt-4o']", "has the key 'model'; did you mean 'models'"),
        ("models = ['gpt-4o']\nrules = 5", "rules=5 is no list of tables"),
        ("models = ['gpt-4o']\notherwise = 'fast'", "otherwise='fast'; it must be one of"),
        ("models = ['gpt-4o']\notherwise = []", r"otherwise=\[\]; it must be one of"),
        ("models = ['gpt-99x']", "no price is known for the model 'gpt-99x'"),
        ("models = ['gpt-4o']\n[[rules]]\ntasks = ['a']", "rule 1 names no models; a good one"),
        ("models = ['gpt-4o']\n[[rules]]\nmodels = []", "rule 1: a rule names models"),
        ("models = ['gpt-4o']\n[[rules]]\nmodels = 5", "rule 1: a rule names models, not 5"),
        (
            "models = ['gpt-4o']\n[[rules]]\nmodels = ['gpt-4o-mini']",
            "names the model 'gpt-4o-mini'; the selector has 'gpt-4o'",
        ),
        (
            "models = ['gpt-4o']\n[[rules]]\nmodels = ['gpt-4o']\nmax_tokens = 5",
            "rule 1 has the key 'max_tokens'; did you mean 'max_prompt_tokens'",
        ),
        (
            GOOD + "min_prompt_tokens = 3000",
            r"rule 1 \('short triage'\): min_prompt_tokens=3000 is more than",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_rule_its_key_and_a_good_value(
    tracker: CostTracker, file: Path, text: str, message: str
) -> None:
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=message) as caught:
        ModelSelector.from_toml(file, tracker=tracker)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_or_is_not_utf_8_is_named(
    tracker: CostTracker, file: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"models\.toml' cannot be read: No such file"):
        ModelSelector.from_toml(file, tracker=tracker)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is no TOML file"):
        ModelSelector.from_toml(file, tracker=tracker)
