"""Use the router as LlamaIndex's LLM: it falls back when the budget gets thin, then refuses.

Runs against a simulated provider on this machine: no key, no network, no cost.
"""

import tempfile

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI

from llmcost_llamaindex import FallbackRouter
from llmcost_plugins import Budget, BudgetExceeded, CostTracker
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.testing import SimulatedProvider


def main() -> None:
    """Ask until the budget of half a cent refuses."""
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        tracker = CostTracker(
            open_ledger(f"sqlite:///{folder}/ledger.db"),
            [Budget("global", "0.005", "day")],
            sinks=[print],  # told at 80 % and 90 % of a budget, once for all processes
        )
        models = [
            OpenAI(
                model=name,
                api_base=provider.base_url,
                api_key="none",
                max_tokens=200,
                max_retries=0,  # the next model is faster than the same one again
            )
            for name in ("gpt-4o", "gpt-4o-mini")
        ]
        llm = FallbackRouter(models, tracker=tracker)  # also: Settings.llm = llm

        served = []
        try:
            while True:
                answer = llm.chat([ChatMessage("Tell me about " + "the capybara " * 10)])
                served.append(answer.additional_kwargs["llmcost"]["model"])
        except BudgetExceeded as refusal:
            print(f"{served.count('gpt-4o')} x gpt-4o, {served.count('gpt-4o-mini')} x gpt-4o-mini")
            print(refusal)
        (budget,) = tracker.budgets()
        print(f"spent {budget.spent} USD of {budget.limit}")
        assert provider.billed_usd == budget.spent <= 0.005  # noqa: PLR2004 - the limit above
        tracker.close()


if __name__ == "__main__":
    main()
