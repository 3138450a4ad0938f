"""Give an agent of LlamaIndex a limit in dollars: it goes on with a cheaper model, then stops.

Runs against a simulated provider on this machine: no key, no network, no cost.
"""

import asyncio
import tempfile
import warnings
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import OpenAI

from llmcost_llamaindex import FallbackRouter
from llmcost_plugins import Budget, BudgetExceeded, CostTracker, attribute
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.testing import Behavior, SimulatedProvider

# Those of LlamaIndex's workflows about themselves.
warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", category=ResourceWarning)


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


async def main() -> None:
    """Run an agent until its user's budget is used up."""
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        provider.behave("*", Behavior(prompt_tokens=100, completion_tokens=150))
        tracker = CostTracker(
            open_ledger(f"sqlite:///{folder}/ledger.db"),
            [Budget("user:*", "0.006", "day")],
            sinks=[],
        )
        models = [
            OpenAI(
                model=name,
                api_base=provider.base_url,
                api_key="none",
                max_tokens=200,
                max_retries=0,
            )
            for name in ("gpt-4o", "gpt-4o-mini")
        ]
        agent: Any = FunctionAgent(tools=[weather], llm=FallbackRouter(models, tracker=tracker))
        try:
            with attribute(user="ada"):
                while True:
                    await agent.run(user_msg="the weather in Paris, please")
        except BudgetExceeded as refusal:
            print(f"stopped: {refusal}")
        served = [request.model for request in provider.requests]
        print(f"{served.count('gpt-4o')} x gpt-4o, {served.count('gpt-4o-mini')} x gpt-4o-mini")
        (budget,) = tracker.budgets()
        print(f"spent {budget.spent} USD of {budget.limit}")
        assert served[:2] == ["gpt-4o", "gpt-4o-mini"]
        assert provider.billed_usd == budget.spent
        tracker.close()


if __name__ == "__main__":
    asyncio.run(main())
