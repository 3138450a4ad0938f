"""LiteLLM: a gate that holds before each call; its own callbacks come too late to stop one."""

import os
import tempfile
import warnings

from llmcost_litellm import CostGate
from llmcost_plugins import Budget, BudgetExceeded, CostTracker
from llmcost_plugins.testing import SimulatedProvider

# LiteLLM reads this when it is imported, which the gate does at the first call.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
warnings.simplefilter("ignore")  # its own, of its types and clients


def main() -> None:
    """Ask two providers through one gate, until the budget is used up."""
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        tracker = CostTracker.from_env(
            ledger=f"sqlite:///{folder}/ledger.db", budgets=[Budget("feature:chat", "0.01", "day")]
        )
        gate = CostGate(tracker, feature="chat")
        question = [{"role": "user", "content": "Why is the sky blue?"}]
        models = {
            "openai/gpt-4o": provider.base_url,
            "anthropic/claude-sonnet-4-6": provider.root_url,
        }
        answers = 0
        try:
            while True:
                for model, address in models.items():
                    gate.completion(
                        model=model,
                        messages=question,
                        max_tokens=200,
                        api_base=address,  # leave it out for the real provider
                        api_key="none",
                    )
                    answers += 1
        except BudgetExceeded as error:
            print(f"after {answers} answers: {error}")
        spent = tracker.budgets()[0].spent
        print(f"recorded: {spent} USD, billed by the providers: {provider.billed_usd} USD")
        assert answers > 0
        assert spent == provider.billed_usd
        tracker.close()


if __name__ == "__main__":
    main()
