"""Decision models (langchain-core 1.8) report their calls as chain runs of the type "llm"."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langchain_core.callbacks import CallbackManager
from langchain_core.runnables import RunnableConfig, RunnableLambda

from llmcost_langchain import BudgetExceeded, CostCallbackHandler
from llmcost_plugins import CostTracker
from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.usage import Trust
from tests.support import MakeTracker, entries, held_nano, only, recorded_nano, statuses


class Decider:
    """Does what a decision model does: a chain run of type "llm" around an HTTP call."""

    def __init__(self, provider: SimulatedProvider, *, says_usage: bool = True) -> None:
        self._url = f"{provider.base_url}/chat/completions"
        self._says_usage = says_usage

    def invoke(self, request: Mapping[str, Any], config: RunnableConfig) -> Any:
        metadata = {
            **config.get("metadata", {}),
            "ls_model_name": "gpt-4o",
            "ls_provider": "openai",
        }
        manager = CallbackManager.configure(config.get("callbacks"), inheritable_metadata=metadata)
        run = manager.on_chain_start(None, request, run_type="llm", name="Decider", run_id=uuid4())
        try:
            answer = self._classify(str(request["state"]))
        except BaseException as error:
            run.on_chain_error(error)
            raise
        run.on_chain_end(answer)
        return answer

    def _classify(self, state: str) -> Any:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": state}]}
        response = httpx.post(self._url, json=body, headers={"authorization": "Bearer none"})
        response.raise_for_status()
        usage = response.json()["usage"]
        said = {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}
        return SimpleNamespace(model="gpt-4o-2024-08-06", usage=said if self._says_usage else None)


REQUEST = {"state": "Production is down.", "questions": {"urgent": {"type": "noul"}}}


def test_a_decision_is_recorded_with_its_exact_cost(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=1/day; run=1")
    handler = CostCallbackHandler(tracker, feature="triage")
    Decider(provider).invoke(REQUEST, {"callbacks": [handler]})
    assert recorded_nano(tracker) == provider.billed_nano > 0
    entry = only(entries(tracker))
    assert (entry.call.model, entry.outcome.served) == ("gpt-4o", "gpt-4o-2024-08-06")
    assert entry.call.labels.values == {"feature": "triage"}
    assert held_nano(tracker) == 0


def test_a_decision_that_no_budget_pays_for_is_not_sent(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=0.000001/day")
    with pytest.raises(BudgetExceeded):
        Decider(provider).invoke(REQUEST, {"callbacks": [CostCallbackHandler(tracker)]})
    assert provider.requests == []


def test_a_decision_without_usage_is_estimated(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=1/day")
    decider = Decider(provider, says_usage=False)
    decider.invoke(REQUEST, {"callbacks": [CostCallbackHandler(tracker)]})
    assert only(entries(tracker)).outcome.usage.trust is Trust.ESTIMATED
    assert 0 < provider.billed_nano <= recorded_nano(tracker)


def test_a_decision_that_fails_costs_nothing(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=1/day")
    provider.behave("*", Behavior(status=500))
    with pytest.raises(httpx.HTTPStatusError):
        Decider(provider).invoke(REQUEST, {"callbacks": [CostCallbackHandler(tracker)]})
    assert statuses(tracker) == ["error"]
    assert recorded_nano(tracker) == 0 == held_nano(tracker)


def test_a_chain_that_is_no_model_is_not_taken_for_one(tracker: CostTracker) -> None:
    config: RunnableConfig = {
        "callbacks": [CostCallbackHandler(tracker)],
        "metadata": {"ls_model_name": "gpt-4o"},
    }
    RunnableLambda(lambda text: text).invoke("a", config)
    assert entries(tracker) == []


async def test_langchains_own_decision_models_are_recorded(
    tracker: CostTracker, provider: SimulatedProvider
) -> None:
    decisions = pytest.importorskip("langchain_core.decisions")
    decider = Decider(provider)

    class Model(decisions.BaseDecisionModel):  # type: ignore[misc,name-defined]
        @property
        def _provider(self) -> str:
            return "openai"

        def _classify(self, state: Any, questions: Any) -> Any:  # noqa: ARG002 - LangChain hook
            said = decider._classify(str(state))
            return decisions.ClassifierResponse(model=said.model, answers={}, usage=said.usage)

    model = Model(model="gpt-4o")
    handler = CostCallbackHandler(tracker)
    request = {"state": "Production is down.", "questions": {}}
    await asyncio.to_thread(model.invoke, request, {"callbacks": [handler]})
    await model.ainvoke(request, {"callbacks": [handler]})
    assert statuses(tracker) == ["ok", "ok"]
    assert recorded_nano(tracker) == provider.billed_nano > 0
