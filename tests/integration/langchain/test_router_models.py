"""Which models a router has, which one it asks first, and which it passes over."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import BaseMessage, HumanMessage, trim_messages
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from llmcost_langchain import FallbackRouter
from llmcost_plugins import (
    ConfigurationError,
    CoolDowns,
    CostTracker,
    LLMCostError,
    Rule,
    attribute,
)
from llmcost_plugins.selector import ModelSelector
from llmcost_plugins.testing import Behavior, FakeClock, SimulatedProvider
from tests.support import MakeModel, MakeTracker, entries, recorded_nano


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


def names(router: FallbackRouter) -> list[str]:
    return [model._get_ls_params().get("ls_model_name", "") for model in router.models]


def asked(provider: SimulatedProvider) -> list[str]:
    return [request.model for request in provider.requests]


@pytest.fixture
def openai_key(monkeypatch: pytest.MonkeyPatch, provider: SimulatedProvider) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("OPENAI_API_BASE", provider.base_url)


@pytest.mark.usefixtures("openai_key")
def test_models_may_be_named(tracker: CostTracker, provider: SimulatedProvider) -> None:
    provider.behave("gpt-4o", Behavior(status=500))
    router = FallbackRouter(["openai:gpt-4o", "openai:gpt-4o-mini"], tracker=tracker)
    assert names(router) == ["gpt-4o", "gpt-4o-mini"]
    assert router.invoke("hello").response_metadata["llmcost"]["model"] == "gpt-4o-mini"


@pytest.mark.usefixtures("openai_key")
def test_the_environment_may_name_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCOST_FALLBACK_MODELS", "openai:gpt-4o, openai:gpt-4o-mini")
    assert names(FallbackRouter()) == ["gpt-4o", "gpt-4o-mini"]


@pytest.mark.usefixtures("openai_key")
def test_names_of_litellm_come_by_way_of_its_langchain_package() -> None:
    pytest.importorskip("langchain_litellm")
    router = FallbackRouter(["litellm:openai/gpt-4o", "openai:gpt-4o-mini"])
    assert type(router.models[0]).__name__ == "ChatLiteLLM"


def test_a_router_without_models_says_how_to_give_it_some() -> None:
    with pytest.raises(ConfigurationError, match="LLMCOST_FALLBACK_MODELS=openai:gpt-4o"):
        FallbackRouter()
    with pytest.raises(ConfigurationError, match="at least one model"):
        FallbackRouter([])


@pytest.mark.parametrize("name", ["no-such-provider:x", "nonsense"])
def test_a_name_that_cannot_be_made_is_refused_at_once(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name!r} cannot be made: .*provider:model"):
        FallbackRouter([name])


def test_one_model_in_place_of_a_list_is_refused(make_model: MakeModel) -> None:
    single: Any = make_model()
    with pytest.raises(ConfigurationError, match="is one model"):
        FallbackRouter(single)
    with pytest.raises(ConfigurationError, match="is one model"):
        FallbackRouter("openai:gpt-4o")


def test_a_model_of_another_framework_is_refused_without_showing_its_key() -> None:
    class Other(BaseModel):  # as LlamaIndex's are, whose repr has every field
        api_key: str

    with pytest.raises(ConfigurationError) as caught:
        FallbackRouter([Other(api_key="sk-secret")])  # type: ignore[list-item]  # what users get wrong
    assert "models has a Other, which is neither a chat model of LangChain" in str(caught.value)
    assert "sk-secret" not in str(caught.value)


def test_a_model_that_comes_twice_is_asked_once(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(status=500))
    first, second = make_model("gpt-4o"), make_model("gpt-4o-mini")
    inner = FallbackRouter([second, first])
    with pytest.raises(LLMCostError):
        FallbackRouter([first, inner, first], tracker=tracker).invoke("a")
    assert asked(provider) == ["gpt-4o", "gpt-4o-mini"]


def test_a_router_of_one_model_works_and_passes_its_error_through(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    router = FallbackRouter([make_model()], tracker=tracker)
    assert router.invoke("a").text
    provider.behave("*", Behavior(status=500))
    with pytest.raises(Exception, match="500"):
        router.invoke("a")


def test_a_model_that_failed_is_asked_last_until_it_has_cooled_down(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    clock = FakeClock(datetime(2026, 11, 1, tzinfo=UTC))
    tracker = CostTracker(make_tracker().ledger, clock=clock)
    models = [make_model("gpt-4o"), make_model("gpt-4o-mini")]
    router = FallbackRouter(models, tracker=tracker, cool_downs=CoolDowns(timedelta(seconds=30)))
    provider.behave("gpt-4o", Behavior(status=503), times=1)
    router.invoke("a")
    router.with_config(tags=["x"]).invoke("b")
    assert asked(provider) == ["gpt-4o", "gpt-4o-mini", "gpt-4o-mini"]
    clock.advance(timedelta(seconds=31))
    router.invoke("c")
    assert asked(provider)[-1] == "gpt-4o"


def test_a_model_that_cools_down_is_asked_all_the_same_when_the_others_fail(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    router = FallbackRouter([make_model("gpt-4o"), make_model("gpt-4o-mini")], tracker=tracker)
    provider.behave("gpt-4o", Behavior(status=503), times=1)
    router.invoke("a")
    provider.behave("gpt-4o-mini", Behavior(status=503), times=1)
    router.invoke("b")
    assert asked(provider)[2:] == ["gpt-4o-mini", "gpt-4o"]


def test_a_refusal_or_a_request_too_long_is_no_reason_to_cool_down(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("model:gpt-4o=0.001/day")
    router = FallbackRouter([make_model("gpt-4o"), make_model("gpt-4o-mini")], tracker=tracker)
    router.invoke("a")
    tracker.set_budget("model:gpt-4o", 1, "day")
    router.invoke("b")
    assert asked(provider) == ["gpt-4o-mini", "gpt-4o"]


def test_the_cheapest_for_this_request_may_be_asked_first(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    # By list price gpt-4o-mini is the cheaper one; with four answers of 2,000 tokens it is not.
    models = [make_model("gpt-4o", max_tokens=10), make_model("gpt-4o-mini", max_tokens=2000, n=4)]
    FallbackRouter(models, tracker=tracker, policy="cheapest").invoke("a")
    models = [make_model("gpt-4o", max_tokens=10), make_model("gpt-4o-mini", max_tokens=10)]
    FallbackRouter(models, tracker=tracker, policy="cheapest").invoke("a")
    assert asked(provider) == ["gpt-4o", "gpt-4o-mini"]
    assert [entry.outcome.preferred_model for entry in entries(tracker)] == [None, None]


async def test_rules_choose_by_labels_and_length(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    rules = [
        Rule(["gpt-4o-mini"], labels={"task": "triage"}, max_prompt_tokens=1000),
        Rule(["gpt-4.1"], min_prompt_tokens=1000),
    ]
    models = [make_model(name) for name in ("gpt-4o", "gpt-4o-mini", "gpt-4.1")]
    router = FallbackRouter(models, tracker=tracker, policy=rules)
    router.invoke("short")
    with attribute(task="triage"):
        router.invoke("short")
    await router.ainvoke("long " * 2000, {"metadata": {"llmcost_task": "triage"}})
    list(router.stream("short", {"metadata": {"llmcost_task": "triage"}}))
    assert asked(provider) == ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4o-mini"]


def test_a_function_may_choose_and_what_it_leaves_out_comes_last(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4.1", Behavior(status=500))
    models = [make_model(name) for name in ("gpt-4o", "gpt-4o-mini", "gpt-4.1")]
    router = FallbackRouter(models, tracker=tracker, policy=lambda _candidates, _labels: [2, 7])
    router.invoke("a")
    assert asked(provider) == ["gpt-4.1", "gpt-4o"]


def test_a_selector_may_choose_by_task_and_by_what_the_request_needs(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    names_ = ["gpt-4o", "gpt-4o-mini", "gpt-3.5-turbo"]
    rules = [
        Rule(["gpt-3.5-turbo", "gpt-4o-mini"], tasks=["triage"]),
        Rule(["gpt-4o-mini"], needs=["tools"]),
        Rule(["gpt-4o-mini"], needs=["structured_output"]),
    ]
    selector = ModelSelector(names_, rules, tracker=tracker)
    models = [make_model(name, profile={}) for name in names_]
    router = FallbackRouter(models, tracker=tracker, policy=selector)
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    router.invoke("a")
    router.bind_tools([weather]).invoke("a")
    schema = {"title": "t", "type": "object", "properties": {}}
    router.with_structured_output(schema, method="function_calling").invoke("a")
    with attribute(task="triage"):
        router.invoke([HumanMessage([{"type": "text", "text": "What is it?"}, picture])])
    assert asked(provider) == [
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-4o-mini",
        "gpt-4o-mini",  # gpt-3.5-turbo takes no images, says the catalog
    ]


def test_what_a_models_profile_says_wins_over_the_catalog(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    models = [
        make_model("gpt-4o", profile={"tool_calling": False}),
        make_model("gpt-4o-mini"),
    ]
    router = FallbackRouter(models, tracker=tracker, policy=[Rule(["gpt-4o"])])
    router.bind_tools([weather]).invoke("a")
    router.invoke("a")
    assert asked(provider) == ["gpt-4o-mini", "gpt-4o"]


async def test_a_rule_may_hold_while_little_is_left_of_a_budget(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(prompt_tokens=10, completion_tokens=100))
    tracker = make_tracker("user:*=0.01/day")
    rules = [Rule(["gpt-4o-mini"], budget="user:*", max_budget_left=0.85)]
    router = FallbackRouter(
        [make_model("gpt-4o"), make_model("gpt-4o-mini")], tracker=tracker, policy=rules
    )
    with attribute(user="u1"):
        router.invoke("a")
        await router.ainvoke("b")
        list(router.stream("c"))
    with attribute(user="u2"):
        router.invoke("d")
    assert asked(provider) == ["gpt-4o", "gpt-4o", "gpt-4o-mini", "gpt-4o"]


def test_a_selector_that_names_a_model_which_the_router_lacks_is_refused(
    make_model: MakeModel, tracker: CostTracker
) -> None:
    selector = ModelSelector(["gpt-4o", "gpt-4.1"], [Rule(["gpt-4.1"])], tracker=tracker)
    with pytest.raises(ConfigurationError, match=r"names the model 'gpt-4\.1'; the router has"):
        FallbackRouter([make_model("gpt-4o")], policy=selector)


def test_a_policy_that_is_none_is_refused_when_the_router_is_made(make_model: MakeModel) -> None:
    wrong: Any = "fastest"
    with pytest.raises(ConfigurationError, match=r"no policy 'fastest'.*ladder"):
        FallbackRouter([make_model()], policy=wrong)
    with pytest.raises(ConfigurationError, match=r"names the model 'gpt-5'.*'gpt-4o'"):
        FallbackRouter([make_model()], policy=[Rule(["gpt-5"])])
    with pytest.raises(ConfigurationError, match="a rule names models"):
        Rule("gpt-4o")


def test_a_model_that_cannot_take_the_call_is_passed_over_with_the_reason(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    blind = make_model("gpt-4o", profile={"image_inputs": False, "max_input_tokens": 1000})
    router = FallbackRouter([blind, make_model("gpt-4o-mini")], tracker=tracker)
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    answers = [
        router.invoke([HumanMessage([{"type": "text", "text": "What is it?"}, picture])]),
        router.invoke("many words " * 1000),
    ]
    reasons = [answer.response_metadata["llmcost"]["passed_over"] for answer in answers]
    assert asked(provider) == ["gpt-4o-mini"] * 2
    assert reasons[0] == [("gpt-4o", "ModelUnsuitable: 'gpt-4o' takes no image")]
    assert "takes prompts of 1,000 tokens" in reasons[1][0][1]


def test_a_model_without_tools_is_passed_over_when_there_are_tools(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    toolless = make_model("gpt-4o", profile={"tool_calling": False})
    last = make_model("gpt-4o-mini")
    models = [FakeListChatModel(responses=["a"]), toolless, last]
    answer = FallbackRouter(models, tracker=tracker).bind_tools([weather]).invoke("a")
    assert asked(provider) == ["gpt-4o-mini"]
    assert len(answer.response_metadata["llmcost"]["passed_over"]) == 2


def test_its_profile_is_what_all_of_its_models_can_do(make_model: MakeModel) -> None:
    first = make_model(profile={"tool_calling": True, "image_inputs": True, "max_input_tokens": 9})
    second = make_model(
        profile={"tool_calling": True, "image_inputs": False, "max_input_tokens": 5}
    )
    assert FallbackRouter([first, second]).profile == {
        "tool_calling": True,
        "image_inputs": False,
        "max_input_tokens": 5,
    }
    unknown = FakeListChatModel(responses=["a"])
    assert FallbackRouter([first, unknown]).profile is None


class Counting(FakeListChatModel):
    """Counts tokens in its own way, as providers' classes do."""

    each: int

    def get_token_ids(self, text: str) -> list[int]:
        return [0] * self.each * len(text.split())


def test_it_counts_tokens_as_its_preferred_model_does(tracker: CostTracker) -> None:
    models = [Counting(responses=["a"], each=each) for each in (2, 3)]
    router = FallbackRouter(models, tracker=tracker)
    assert router.get_num_tokens("one two three") == 6
    messages: list[BaseMessage] = [HumanMessage("one two three"), HumanMessage("four")]
    wanted = models[0].get_num_tokens_from_messages(messages)
    assert router.get_num_tokens_from_messages(messages) == wanted
    # As chains with a memory do.
    kept = trim_messages(messages, max_tokens=wanted - 1, token_counter=router, strategy="last")
    assert [message.text for message in kept] == ["four"]


def test_the_users_own_way_to_count_tokens_wins(tracker: CostTracker) -> None:
    models = [Counting(responses=["a"], each=2)]
    router = FallbackRouter(models, tracker=tracker, custom_get_token_ids=lambda _: [1])
    assert router.get_num_tokens("one two three") == 1
    assert router.get_num_tokens_from_messages([HumanMessage("one two three")]) == 1


def test_it_does_not_pass_for_one_of_its_models_by_name(make_model: MakeModel) -> None:
    router = FallbackRouter([make_model()])
    assert not hasattr(router, "model_name")
    assert not hasattr(router, "model")


def test_an_answer_says_what_its_budgets_have_left(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(prompt_tokens=10, completion_tokens=10))
    tracker = make_tracker("global=1/day; run=0.5; global=100 requests/month")
    note = FallbackRouter([make_model()], tracker=tracker).invoke("a").response_metadata["llmcost"]
    assert note["cost_usd"] == "0.000125"
    assert note["remaining"]["global/day"] == "0.999875"
    assert note["remaining"]["global/month"] == "99"
    assert [left for name, left in note["remaining"].items() if name.startswith("run")] == [
        "0.499875"
    ]


async def test_a_stream_says_at_its_start_who_answers_and_at_its_end_for_how_much(
    make_model: MakeModel, make_tracker: MakeTracker
) -> None:
    tracker = make_tracker("global=1/day; model:gpt-4o=0/day")
    router = FallbackRouter([make_model("gpt-4o"), make_model("gpt-4o-mini")], tracker=tracker)
    sync = list(router.stream("a"))
    chunks = [chunk async for chunk in router.astream("a")]
    for read in (sync, chunks):
        assert read[0].response_metadata["llmcost"]["model"] == "gpt-4o-mini"
        assert "cost_usd" in read[-1].response_metadata["llmcost"]
        whole = read[0]
        for chunk in read[1:]:
            whole += chunk
        note = whole.response_metadata["llmcost"]
        assert set(note) == {"model", "candidate", "passed_over", "cost_usd", "remaining"}
        assert read[-1].chunk_position == "last"
    assert recorded_nano(tracker) > 0


def test_the_messages_of_a_models_own_runs_are_left_as_they_are(
    make_model: MakeModel, tracker: CostTracker
) -> None:
    seen: list[Any] = []

    class Spy(ChatOpenAI):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            result = super()._generate(*args, **kwargs)
            seen.append(result.generations[0].message)
            return result

    source = make_model()
    spy = Spy(model="gpt-4o", api_key=source.openai_api_key, base_url=source.openai_api_base)
    answer = FallbackRouter([spy], tracker=tracker).invoke("a")
    assert "llmcost" in answer.response_metadata
    assert "llmcost" not in seen[0].response_metadata
