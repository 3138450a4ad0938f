"""LangChain's own fallbacks, with a handler on each model."""

import asyncio

import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool

from llmcost_langchain import BudgetExceeded, fallback_chain
from llmcost_plugins import ConfigurationError, CostTracker
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.support import MakeModel, MakeTracker, entries, recorded_nano, statuses


def asked(provider: SimulatedProvider) -> list[str]:
    return [request.model for request in provider.requests]


async def test_it_falls_back_on_refusals_and_on_errors_in_every_form(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("model:gpt-4o=0/day; global=1/day")
    models = [make_model("gpt-4o"), make_model("gpt-4.1"), make_model("gpt-4o-mini")]
    provider.behave("gpt-4.1", Behavior(status=503))
    chain = ChatPromptTemplate.from_template("{q}") | fallback_chain(
        models, tracker=tracker, feature="chat"
    )
    await asyncio.to_thread(chain.invoke, {"q": "a"})
    await chain.ainvoke({"q": "b"})
    await asyncio.to_thread(lambda: list(chain.stream({"q": "c"})))
    assert asked(provider) == ["gpt-4.1", "gpt-4o-mini"] * 3
    assert recorded_nano(tracker) == provider.billed_nano > 0
    assert {entry.call.labels.values["feature"] for entry in entries(tracker)} == {"chat"}


def test_the_calls_of_one_question_are_one_run(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", Behavior(status=503))
    fallback_chain([make_model("gpt-4o"), make_model("gpt-4o-mini")], tracker=tracker).invoke("a")
    assert statuses(tracker) == ["error", "ok"]
    assert len({entry.call.run for entry in entries(tracker)}) == 1


def test_it_binds_tools(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    @tool
    def weather(city: str) -> str:
        """Tell the weather."""
        return f"sunny in {city}"

    chain = fallback_chain([make_model("gpt-4o"), make_model("gpt-4o-mini")], tracker=tracker)
    answer = chain.bind_tools([weather], tool_choice="weather").invoke("a")
    assert answer.tool_calls[0]["name"] == "weather"
    assert recorded_nano(tracker) == provider.billed_nano


def test_it_leaves_the_models_and_their_own_handlers_as_they_are(
    make_model: MakeModel, tracker: CostTracker
) -> None:
    class Other(BaseCallbackHandler):
        ends = 0

        def on_llm_end(self, *_args: object, **_kwargs: object) -> None:
            self.ends += 1

    others = [Other(), Other()]
    models = [make_model(callbacks=[others[0]]), make_model(callbacks=CallbackManager([others[1]]))]
    for model in models:
        fallback_chain([model], tracker=tracker).invoke("a")
        model.invoke("a")
    assert [other.ends for other in others] == [2, 2]
    assert statuses(tracker) == ["ok", "ok"]


def test_when_nothing_fits_it_raises_the_refusal(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=0.000001/day")
    with pytest.raises(BudgetExceeded):
        fallback_chain([make_model("gpt-4o"), make_model("gpt-4o-mini")], tracker=tracker).invoke(
            "a"
        )
    assert provider.requests == []


def test_a_chain_without_models_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least one model"):
        fallback_chain([])
