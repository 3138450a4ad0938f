"""What the router makes of budgets besides falling back: shorter, cheaper, watched, by block."""

from decimal import Decimal

import pytest

from llmcost_langchain import BudgetExceeded, FallbackRouter
from llmcost_plugins.ledger import Status
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.support import MakeModel, MakeTracker, entries, recorded_nano

ANSWER = Behavior(prompt_tokens=20, completion_tokens=100)
COST_OF_ANSWER = 20 * 2_500 + 100 * 10_000


def test_a_call_without_a_cap_is_given_the_longest_answer_that_the_budget_still_buys(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    # 0.01 USD buy about 1,000 tokens of gpt-4o, less than the cap that it would be given.
    tracker = make_tracker("global=0.01/day")
    FallbackRouter(models=[make_model("gpt-4o", max_tokens=None)], tracker=tracker).invoke("hello")
    cap = provider.requests[0].body["max_completion_tokens"]
    assert 900 < cap < 1000
    assert recorded_nano(tracker) == provider.billed_nano


def test_a_cap_that_the_user_declared_is_never_shortened(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=0.01/day")
    router = FallbackRouter(models=[make_model("gpt-4o", max_tokens=2000)], tracker=tracker)
    with pytest.raises(BudgetExceeded):
        router.invoke("hello")
    assert provider.requests == []


async def test_past_degrade_at_the_cheapest_model_comes_first(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", ANSWER)
    tracker = make_tracker("global=1/day")
    tracker.set_budget("global", "0.01", "day", degrade_at="0.2")
    models = [make_model("gpt-4o"), make_model("gpt-4o-mini")]
    router = FallbackRouter(models=models, tracker=tracker)
    for _ in range(2):  # twice 0.00105 USD: past 0.002
        router.invoke("hello")
    router.invoke("hello")
    await router.ainvoke("hello")
    list(router.stream("hello"))
    served = [entry.call.model for entry in entries(tracker)]
    assert served == ["gpt-4o"] * 2 + ["gpt-4o-mini"] * 3
    assert entries(tracker)[-1].outcome.preferred_model == "gpt-4o"


def test_in_shadow_nothing_is_refused_and_what_would_have_been_is_told(
    make_model: MakeModel,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider.behave("*", ANSWER)
    tracker = make_tracker("global=0.0001/day:raise", shadow=True)
    models = [make_model("gpt-4o"), make_model("gpt-4o-mini")]
    FallbackRouter(models=models, tracker=tracker).invoke("hello")
    found = {entry.outcome.status: entry.call.model for entry in entries(tracker)}
    assert found == {Status.REFUSED: "gpt-4o", Status.OK: "gpt-4o"}
    assert recorded_nano(tracker) == COST_OF_ANSWER
    assert "global" in caplog.text


def test_a_block_limits_the_router_and_counts_what_it_spent(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", ANSWER)
    tracker = make_tracker()
    models = [make_model("gpt-4o"), make_model("gpt-4o-mini")]
    router = FallbackRouter(models=models, tracker=tracker)
    # A hold of gpt-4o is more than 0.002 USD, its answer 0.00105: the second does not fit.
    with tracker.budget("0.003") as spending:
        router.invoke("hello")
        router.invoke("hello")
        with pytest.raises(BudgetExceeded, match="block"):
            router.batch(["hello"] * 100)
    router.invoke("hello")
    answered = [entry for entry in entries(tracker) if entry.outcome.status is Status.OK]
    assert [entry.call.model for entry in answered[:2]] == ["gpt-4o", "gpt-4o-mini"]
    assert answered[-1].call.model == "gpt-4o"
    assert spending.total == Decimal(recorded_nano(tracker) - COST_OF_ANSWER) / 10**9
    assert spending.total <= Decimal("0.003")


def test_a_budget_of_requests_counts_calls_and_refuses_the_next(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=2 requests/day; global=1M tokens/day")
    router = FallbackRouter(models=[make_model("gpt-4o")], tracker=tracker)
    router.invoke("a")
    router.invoke("b")
    with pytest.raises(BudgetExceeded, match="requests"):
        router.invoke("c")
    assert len(provider.requests) == 2
