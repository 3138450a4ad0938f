"""Several handlers on one call: it is recorded once, and charged to the labels of all of them."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig

from llmcost_langchain import BudgetExceeded, CostCallbackHandler, FallbackRouter
from llmcost_plugins import CostTracker
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.support import (
    MakeModel,
    MakeTracker,
    entries,
    held_nano,
    only,
    recorded_nano,
    statuses,
)


def spent(tracker: CostTracker) -> dict[str, int]:
    return {status.scope: int(status.spent * 10**9) for status in tracker.budgets()}


def routed(model: Any, tracker: CostTracker) -> Any:
    return FallbackRouter(models=[model], tracker=tracker)


def plain(model: Any, _: CostTracker) -> Any:
    return model


@pytest.mark.parametrize("setup", [plain, routed])
def test_a_call_is_charged_to_the_budgets_of_every_handler(
    setup: Callable[[Any, CostTracker], Any],
    make_model: MakeModel,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
) -> None:
    tracker = make_tracker("user:u1=1/day; team:a=1/day; global=1/day")
    user, team = CostCallbackHandler(tracker, user="u1"), CostCallbackHandler(tracker, team="a")
    setup(make_model(), tracker).invoke("hello", {"callbacks": [user, team]})
    assert statuses(tracker) == ["ok"]
    assert only(entries(tracker)).call.labels.values == {"user": "u1", "team": "a"}
    assert set(spent(tracker).values()) == {provider.billed_nano}
    assert held_nano(tracker) == 0
    assert user.total == team.total > 0


def test_a_label_that_both_give_is_that_of_one_of_them_and_counted_once(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("user:*=1/day")
    handlers = [CostCallbackHandler(tracker, user=name) for name in ("u1", "u2")]
    make_model().invoke("hello", RunnableConfig(callbacks=list(handlers)))
    assert only(entries(tracker)).call.labels.values["user"] in {"u1", "u2"}
    assert sum(spent(tracker).values()) == provider.billed_nano


def test_the_budget_of_the_second_handler_refuses_and_the_first_gets_its_money_back(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("user:u1=1/day; team:a=0.000001/day")
    handlers = [CostCallbackHandler(tracker, user="u1"), CostCallbackHandler(tracker, team="a")]
    for order in (handlers, handlers[::-1]):
        with pytest.raises(BudgetExceeded, match="team:a"):
            make_model().invoke("hello", RunnableConfig(callbacks=list(order)))
    assert provider.requests == []
    assert held_nano(tracker) == 0
    assert set(statuses(tracker)) == {"refused"}


def test_one_handler_given_twice_counts_once(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    handler = CostCallbackHandler(tracker)
    model = make_model(callbacks=[handler])
    model.invoke("hello", {"callbacks": [handler]})
    assert handler.calls == 1
    assert recorded_nano(tracker) == provider.billed_nano


def test_trackers_with_ledgers_of_their_own_both_record_a_call(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(prompt_tokens=10, completion_tokens=10))
    first, second = make_tracker("global=1/day"), make_tracker("global=2/day", ledger="memory://")
    handlers = [CostCallbackHandler(first), CostCallbackHandler(second)]
    make_model().invoke("hello", RunnableConfig(callbacks=list(handlers)))
    assert recorded_nano(first) == recorded_nano(second) == provider.billed_nano


def test_trackers_on_one_ledger_record_a_call_once(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    trackers = [make_tracker("global=1/day"), make_tracker("global=1/day")]
    handlers = [CostCallbackHandler(tracker) for tracker in trackers]
    make_model().invoke("hello", RunnableConfig(callbacks=list(handlers)))
    assert statuses(trackers[0]) == ["ok"]
    assert recorded_nano(trackers[0]) == provider.billed_nano
    assert held_nano(trackers[0]) == 0
