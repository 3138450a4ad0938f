"""The router: what it falls back on, what it never repeats, and what it tells."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from llama_index.core import PromptTemplate, Settings
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.llms.openai import OpenAI
from llama_index_instrumentation.dispatcher import instrument_tags
from openai import AuthenticationError, InternalServerError

from llmcost_llamaindex import FallbackRouter
from llmcost_plugins import (
    AllModelsFailed,
    BudgetExceeded,
    CoolDowns,
    CostTracker,
    Rule,
    attribute,
)
from llmcost_plugins.ledger import Status
from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.usage import Trust
from tests.integration.llamaindex.router_forms import (
    ASKED,
    ASYNC_FORMS,
    PROMPT,
    STREAMS,
    SYNC_FORMS,
    TOOLS,
    City,
    drain,
)
from tests.support import MakeTracker, entries, held_nano, only, recorded_nano, statuses

MakeLLM = Callable[..., OpenAI]
Install = Callable[..., CostTracker]
MODES = ["alone", "installed"]
# LlamaIndex's StructuredLLM streams so.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The `json` method is deprecated:pydantic.warnings.PydanticDeprecatedSince20"
)


def two(make_llm: MakeLLM, tracker: CostTracker | None, **options: Any) -> FallbackRouter:
    models = [make_llm("gpt-4o", usage=False), make_llm("gpt-4o-mini", usage=False)]
    return FallbackRouter(models, tracker=tracker, **options)


def served(tracker: CostTracker) -> list[str]:
    return [entry.call.model for entry in entries(tracker) if entry.outcome.status is Status.OK]


def check_exact(tracker: CostTracker, provider: SimulatedProvider) -> None:
    entry = only(entries(tracker))
    assert entry.outcome.status is Status.OK
    assert entry.outcome.cost == provider.billed_nano > 0
    assert entry.outcome.usage.trust is Trust.PROVIDER
    assert held_nano(tracker) == 0
    assert tracker.failures == 0
    assert not tracker.tripped


@pytest.fixture(params=MODES)
def either_tracker(
    request: pytest.FixtureRequest, make_tracker: MakeTracker, installed: Install
) -> CostTracker:
    """A tracker for the router, with and without `install`."""
    return installed() if request.param == "installed" else make_tracker("global=1000")


@pytest.mark.parametrize("form", SYNC_FORMS)
def test_each_entry_point_is_recorded_once_at_what_the_provider_bills(
    form: str, make_llm: MakeLLM, either_tracker: CostTracker, provider: SimulatedProvider
) -> None:
    SYNC_FORMS[form](two(make_llm, either_tracker))
    check_exact(either_tracker, provider)


@pytest.mark.parametrize("form", ASYNC_FORMS)
async def test_each_asynchronous_entry_point_is_recorded_once_at_what_the_provider_bills(
    form: str, make_llm: MakeLLM, either_tracker: CostTracker, provider: SimulatedProvider
) -> None:
    await ASYNC_FORMS[form](two(make_llm, either_tracker))
    check_exact(either_tracker, provider)


@pytest.mark.parametrize("form", SYNC_FORMS)
def test_each_entry_point_falls_back_when_the_first_provider_fails(
    form: str, make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", Behavior(status=500))
    tracker = make_tracker("global=1000")
    SYNC_FORMS[form](two(make_llm, tracker))
    assert served(tracker) == ["gpt-4o-mini"]
    assert [request.status_code for request in provider.requests] == [500, 200]
    assert recorded_nano(tracker) == provider.billed_nano
    assert held_nano(tracker) == 0


@pytest.mark.parametrize("form", ASYNC_FORMS)
async def test_each_asynchronous_entry_point_falls_back_on_a_budget(
    form: str, make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("model:gpt-4o=0/day; global=1/day")
    await ASYNC_FORMS[form](two(make_llm, tracker))
    assert served(tracker) == ["gpt-4o-mini"]
    assert [request.model for request in provider.requests] == ["gpt-4o-mini"]


def test_with_nothing_left_no_request_is_made(
    make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=0.00001/day")
    router = two(make_llm, tracker)
    for form in SYNC_FORMS.values():
        with pytest.raises(BudgetExceeded, match="gpt-4o-mini"):
            form(router)
    assert provider.requests == []
    assert held_nano(tracker) == 0


def test_a_downgrade_is_recorded_with_what_it_saved(
    make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("model:gpt-4o=0/day; global=1/day")
    provider.behave("*", Behavior(prompt_tokens=100, completion_tokens=100))
    two(make_llm, tracker).chat(ASKED)
    outcome = only(entries(tracker)).outcome
    assert outcome.preferred_model == "gpt-4o"
    assert outcome.cost == 100 * 150 + 100 * 600
    assert outcome.preferred_cost == 100 * 2_500 + 100 * 10_000


def test_the_answer_says_who_gave_it_and_why_and_for_how_much(
    make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("model:gpt-4o=0/day; global=1/day")
    router = two(make_llm, tracker)
    for answer in (
        router.chat(ASKED),
        router.complete("hello"),
        list(router.stream_chat(ASKED))[-1],
    ):
        note = answer.additional_kwargs["llmcost"]
        assert (note["model"], note["candidate"]) == ("gpt-4o-mini", 1)
        assert note["passed_over"][0][0] == "gpt-4o"
        assert "BudgetExceeded" in note["passed_over"][0][1]
        assert Decimal(note["cost_usd"]) > 0
        assert "global/day" in note["remaining"]
    assert recorded_nano(tracker) == provider.billed_nano


def test_what_the_answer_says_is_never_sent_to_a_provider(
    make_llm: MakeLLM, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    router = two(make_llm, tracker)
    answer = router.chat_with_tools(TOOLS, "weather in Paris", tool_required=True)
    assert "llmcost" not in answer.message.additional_kwargs
    # Someone may have copied it where OpenAI's class sends everything along.
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    beside = {**answer.additional_kwargs, "tool_calls": [call]}
    history = [
        answer.message,
        ChatMessage(role="assistant", content="", additional_kwargs=beside),
        ChatMessage(role="tool", content="sunny", additional_kwargs={"tool_call_id": "c1"}),
    ]
    router.chat([*ASKED, *history])
    sent = str(provider.requests[-1].body)
    assert "c1" in sent
    assert "llmcost" not in sent
    assert "llmcost" in history[1].additional_kwargs


def test_an_undeclared_cap_is_set_and_lowered_to_what_the_budget_buys(
    make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=0.005/day")
    answer = FallbackRouter([make_llm(max_tokens=None)], tracker=tracker).chat(ASKED)
    sent = only(provider.requests).body["max_tokens"]
    assert 256 <= sent < 4096
    assert answer.additional_kwargs["llmcost"]["output_cap"] == sent
    assert recorded_nano(tracker) == provider.billed_nano


@pytest.mark.parametrize("own", [100, None])
def test_the_cap_that_is_held_for_is_the_one_that_is_sent(
    own: int | None, make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    # OpenAI's class ignores a call's cap where it has one of its own.
    provider.behave("*", Behavior(prompt_tokens=10, completion_tokens=own or 5))
    tracker = make_tracker("global=0.00150/day")
    router = FallbackRouter([make_llm(max_tokens=own)], tracker=tracker)
    router.chat(ASKED, max_tokens=5)
    assert only(provider.requests).body["max_tokens"] == (own or 5)
    if own:
        with pytest.raises(BudgetExceeded):
            router.chat(ASKED, max_tokens=5)
    assert recorded_nano(tracker) == provider.billed_nano <= 1_500_000


def test_a_cap_that_the_caller_declared_is_not_lowered(
    make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=0.005/day")
    models = [make_llm("gpt-4o", max_tokens=2000), make_llm("gpt-4o-mini", max_tokens=2000)]
    FallbackRouter(models, tracker=tracker).chat(ASKED)
    request = only(provider.requests)
    assert (request.model, request.body["max_tokens"]) == ("gpt-4o-mini", 2000)


def test_ten_threads_with_room_for_three_make_three_requests(
    make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(delay=0.3, prompt_tokens=10, completion_tokens=200))
    tracker = make_tracker("global=0.0075/day")  # a hold is about 0.0022
    router = FallbackRouter([make_llm()], tracker=tracker)

    def ask(_: int) -> bool:
        try:
            router.chat(ASKED)
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(ask, range(10))) == 3
    assert len(provider.requests) == 3


@pytest.mark.parametrize("form", ["achat", "astream_chat"])
async def test_ten_tasks_with_room_for_three_make_three_requests(
    form: str, make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(delay=0.3, prompt_tokens=10, completion_tokens=200))
    tracker = make_tracker("global=0.0075/day")
    router = FallbackRouter([make_llm()], tracker=tracker)
    asked = (ASYNC_FORMS[form](router) for _ in range(10))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert len(refused) == 7
    assert all(isinstance(error, BudgetExceeded) for error in refused)
    assert len(provider.requests) == 3


def test_an_error_that_the_next_model_would_repeat_is_raised(
    make_llm: MakeLLM, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(status=401))
    with pytest.raises(AuthenticationError):
        two(make_llm, tracker).chat(ASKED)
    assert len(provider.requests) == 1


def test_when_all_fail_all_reasons_are_told(
    make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", Behavior(status=500))
    tracker = make_tracker("model:gpt-4o-mini=0/day")
    with pytest.raises(AllModelsFailed) as failed:
        two(make_llm, tracker).chat(ASKED)
    assert [name for name, _ in failed.value.reasons] == ["gpt-4o", "gpt-4o-mini"]
    assert isinstance(failed.value.__cause__, BudgetExceeded)


def test_one_that_failed_a_moment_ago_is_asked_last(
    make_llm: MakeLLM, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", Behavior(status=500), times=1)
    shared = CoolDowns(timedelta(minutes=1))
    router = two(make_llm, tracker, cool_downs=shared)
    router.chat(ASKED)
    FallbackRouter(router.models, tracker=tracker, cool_downs=shared).chat(ASKED)
    assert [r.model for r in provider.requests] == ["gpt-4o", "gpt-4o-mini", "gpt-4o-mini"]


@pytest.mark.parametrize(
    ("policy", "asked"),
    [
        ("cheapest", "gpt-4o-mini"),
        ([Rule(models=["gpt-4o-mini"], tasks=["triage"])], "gpt-4o-mini"),
        (lambda candidates, _request: [one.index for one in reversed(candidates)], "gpt-4o-mini"),
        ("ladder", "gpt-4o"),
    ],
)
def test_the_policy_says_who_is_asked_first(
    policy: Any,
    asked: str,
    make_llm: MakeLLM,
    tracker: CostTracker,
    provider: SimulatedProvider,
) -> None:
    router = two(make_llm, tracker, policy=policy)
    with attribute(feature="triage", task="triage"):
        router.chat(ASKED)
        router.chat_with_tools(TOOLS, "weather")
    assert [request.model for request in provider.requests] == [asked, asked]


def test_from_a_part_of_a_budget_on_the_cheaper_model_is_preferred(
    make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(prompt_tokens=10, completion_tokens=200))
    tracker = make_tracker()
    tracker.set_budget("global", "0.01", "day", degrade_at=0.2)
    router = two(make_llm, tracker)
    router.chat(ASKED)
    router.chat(ASKED)
    assert [request.model for request in provider.requests] == ["gpt-4o", "gpt-4o-mini"]


def test_labels_and_tags_are_those_of_the_place_where_it_is_asked(
    make_llm: MakeLLM, make_tracker: MakeTracker
) -> None:
    tracker = make_tracker("user:*=1/day")
    router = two(make_llm, tracker)
    with attribute(user="ada"), instrument_tags({"feature": "chat", "prompt": "secret"}):
        stream = router.stream_chat(ASKED)
    list(stream)
    labels = only(entries(tracker)).call.labels
    assert labels.values["user"] == "ada"
    assert labels.values["feature"] == "chat"
    assert "prompt" not in labels.values


def test_calls_of_one_workflow_run_share_its_budget(
    make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(prompt_tokens=20, completion_tokens=200))
    tracker = make_tracker("run=0.004")
    router = two(make_llm, tracker)
    for run in ("one", "one", "two"):
        with instrument_tags({"llamaindex.run_id": run}):
            router.chat(ASKED)
    assert served(tracker) == ["gpt-4o", "gpt-4o-mini", "gpt-4o"]


def test_as_the_llm_of_settings_its_models_report_to_the_callback_manager_there(
    make_llm: MakeLLM, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    counter = TokenCountingHandler(tokenizer=str.split)
    router = two(make_llm, tracker)
    old_llm, old_manager = Settings._llm, Settings._callback_manager
    try:
        Settings.callback_manager = CallbackManager([counter])
        Settings.llm = router
        assert Settings.llm is router
        Settings.llm.chat(ASKED)
    finally:
        Settings._llm, Settings._callback_manager = old_llm, old_manager
    request = only(provider.requests)
    assert counter.total_llm_token_count == request.prompt_tokens + request.completion_tokens


def test_the_prompt_takes_the_form_of_the_model_that_answers(
    make_llm: MakeLLM, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", Behavior(status=500))
    models = [
        make_llm("gpt-4o", system_prompt="You are large."),
        make_llm("gpt-4o-mini", system_prompt="You are small."),
    ]
    FallbackRouter(models, tracker=tracker).predict(PROMPT, place="Paris")
    sent = provider.requests[-1].body["messages"]
    assert sent[0] == {"role": "system", "content": "You are small."}


def test_the_callers_history_and_arguments_are_left_alone(
    make_llm: MakeLLM, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", Behavior(status=500))
    history = [ChatMessage("before"), ChatMessage(role="assistant", content="yes?")]
    options: dict[str, Any] = {}
    before = [message.model_dump() for message in history]
    router = two(make_llm, tracker)
    router.chat_with_tools(TOOLS, "weather in Paris", chat_history=history)
    router.structured_predict(City, PROMPT, llm_kwargs=options, place="Paris")
    assert [message.model_dump() for message in history] == before
    assert options == {}
    assert [m["content"] for m in provider.requests[-1].body["messages"]] == ["Where is Paris?"]


def test_a_model_without_any_usage_or_price_is_recorded_and_flagged(
    make_tracker: MakeTracker,
) -> None:
    tracker = make_tracker("", unknown_model="free")
    router = FallbackRouter([MockLLM()], tracker=tracker)
    assert router.complete("hello there").text == "hello there"
    assert router.predict(PromptTemplate("hello")) != ""
    assert [e.outcome.usage.trust for e in entries(tracker)] == [Trust.UNPRICED] * 2
    assert all(entry.outcome.usage.output > 0 for entry in entries(tracker))


async def test_a_cancelled_call_is_settled(
    make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(hang=True))
    tracker = make_tracker("global=1/day")
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(two(make_llm, tracker).achat(ASKED), 0.2)
    assert statuses(tracker) == ["aborted"]
    assert held_nano(tracker) == 0


def test_streams_report_their_usage_unless_the_user_decided(
    make_llm: MakeLLM, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    llm = make_llm(usage=False)
    for form in STREAMS.values():
        form(FallbackRouter([llm], tracker=tracker))
    asked = [request.body.get("stream_options") for request in provider.requests]
    assert asked == [{"include_usage": True}] * len(STREAMS)
    assert llm.additional_kwargs == {}
    provider.reset()
    decided = make_llm(usage=False, additional_kwargs={"stream_options": {"include_usage": False}})
    list(FallbackRouter([decided], tracker=tracker).stream_chat(ASKED))
    list(FallbackRouter([llm], tracker=tracker, stream_usage=False).stream_chat(ASKED))
    asked = [request.body.get("stream_options") for request in provider.requests]
    assert asked == [{"include_usage": False}, None]


async def test_a_provider_that_fails_all_raises_its_own_error(
    make_llm: MakeLLM, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(status=500))
    with pytest.raises(InternalServerError):
        await drain(FallbackRouter([make_llm()], tracker=tracker).astream_chat(ASKED))
    assert statuses(tracker) == ["error"]
