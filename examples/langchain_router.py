"""Use the router as the chain's LLM: it falls back when the budget gets thin, then refuses."""

import tempfile

from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from llmcost_langchain import BudgetExceeded, FallbackRouter
from llmcost_plugins import Budget, CostTracker
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
            ChatOpenAI(
                model=name,
                base_url=provider.base_url,
                api_key=SecretStr("none"),
                max_completion_tokens=200,
            )
            for name in ("gpt-4o", "gpt-4o-mini")
        ]
        llm = FallbackRouter(models=models, tracker=tracker)
        chain = ChatPromptTemplate.from_template("Tell me about {animal} at some length") | llm

        served = []
        try:
            while True:
                answer = chain.invoke({"animal": "the capybara " * 10})
                served.append(answer.response_metadata["llmcost"]["model"])
        except BudgetExceeded as refusal:
            print(f"{served.count('gpt-4o')} x gpt-4o, {served.count('gpt-4o-mini')} x gpt-4o-mini")
            print(refusal)
        assert provider.billed_usd <= tracker.budgets()[0].spent <= tracker.budgets()[0].limit  # type: ignore[operator]  # set above
        tracker.close()


if __name__ == "__main__":
    main()
