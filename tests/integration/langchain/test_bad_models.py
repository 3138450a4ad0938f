"""Models that say nothing, or something wrong, about what they used, and agents without an end."""

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from pydantic import Field

from llmcost_langchain import BudgetExceeded, CostCallbackHandler, FallbackRouter
from llmcost_plugins import CostTracker
from llmcost_plugins.testing import SimulatedProvider
from llmcost_plugins.usage import Trust
from tests.integration.langchain.agents import Insisting, an_agent, question
from tests.support import MakeModel, MakeTracker, entries, held_nano, only, recorded_nano

WIDE = "global=10/day"


class Odd(BaseChatModel):
    """A model of someone's own, which says what it is told to."""

    said: Any = None
    metadata_said: dict[str, Any] = Field(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return "odd"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"], params["ls_model_name"] = "openai", "gpt-4o"
        params["ls_max_tokens"] = 100
        return params

    def _generate(self, *_args: Any, **_kwargs: Any) -> Any:
        message = AIMessage("fine", response_metadata=self.metadata_said)
        # Not by the constructor, which would check it: packages of others do not.
        message.usage_metadata = self.said
        return ChatResult(generations=[ChatGeneration(message=message)])


def usage(**said: Any) -> dict[str, Any]:
    return {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, **said}


ODD = {
    "none": None,
    "no counts": {"total_cost": 1},
    "words": usage(input_tokens="ten"),
    "negative": usage(input_tokens=-10),
    "a part larger than the whole": usage(input_token_details={"cache_read": 500}),
    "nothing but the total": {"input_tokens": None, "output_tokens": None, "total_tokens": 15},
    "not a number": usage(output_tokens=float("nan")),
    "more than can be": usage(output_tokens=10**30),
}


@pytest.mark.parametrize("routed", [False, True])
@pytest.mark.parametrize("said", ODD)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
def test_an_odd_report_costs_neither_the_answer_nor_a_hold_and_is_not_taken_for_exact(
    said: str, routed: bool, make_tracker: MakeTracker
) -> None:
    tracker = make_tracker(WIDE)
    model: Any = Odd(said=ODD[said])
    if routed:
        model = FallbackRouter([model], tracker=tracker)
    answer = model.invoke("hello", {"callbacks": [CostCallbackHandler(tracker)]})
    assert answer.text == "fine"
    assert held_nano(tracker) == 0
    outcome = only(entries(tracker)).outcome
    assert outcome.usage.trust is not Trust.PROVIDER
    assert outcome.cost > 0, "nothing is free by accident"


def test_a_name_that_is_not_in_the_catalog_is_priced_as_the_model_that_was_asked_for(
    tracker: CostTracker,
) -> None:
    model = Odd(said=usage(), metadata_said={"model_name": "house-blend-7"})
    model.invoke("hello", {"callbacks": [CostCallbackHandler(tracker)]})
    outcome = only(entries(tracker)).outcome
    assert outcome.served == "house-blend-7"
    assert outcome.cost == 10 * 2_500 + 5 * 10_000


def test_metadata_of_an_odd_kind_is_no_obstacle(tracker: CostTracker) -> None:
    for odd in ({"model_name": 7}, {"usage": "much"}, {"token_usage": object()}, {"body": 1}):
        model = Odd(said=usage(), metadata_said=odd)
        assert model.invoke("hello", {"callbacks": [CostCallbackHandler(tracker)]}).text == "fine"
    assert len(entries(tracker)) == 4
    assert all(entry.outcome.cost > 0 for entry in entries(tracker))


@pytest.mark.parametrize("routed", [False, True])
def test_an_agent_that_would_run_away_is_stopped_by_the_budget_of_its_run_with_a_plain_message(
    routed: bool, make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    @tool
    def search(question: str) -> str:
        """Search for an answer."""
        return f"Nothing found for {question}. Try again."

    tracker = make_tracker("run=0.02")
    model: Any = make_model()
    if routed:
        model = FallbackRouter([model, make_model("gpt-4o-mini")], tracker=tracker)
    agent = an_agent(model, Insisting(), tools=[search])
    config = {"callbacks": [CostCallbackHandler(tracker)]}
    with pytest.raises(BudgetExceeded) as caught:
        agent.invoke(question("search for the answer to everything"), config)
    assert len(provider.requests) > 3
    assert recorded_nano(tracker) == provider.billed_nano <= 20_000_000
    assert len({entry.call.run for entry in entries(tracker)}) == 1
    message = str(caught.value)
    assert "budget 'run:" in message
    assert "of $0.0200" in message
    assert "raise the limit" in message
