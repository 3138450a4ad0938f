"""Without a framework: wrap a client, or decorate the function that calls it."""

import tempfile
from typing import Any

from anthropic import Anthropic
from openai import OpenAI

from llmcost_plugins import BudgetExceeded, CostTracker, attribute, track_cost
from llmcost_plugins.budgets import parse_budgets
from llmcost_plugins.testing import SimulatedProvider


def main() -> None:
    """Ask both ways, stream, and run into a budget."""
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        tracker = CostTracker.from_env(
            ledger=f"sqlite:///{folder}/ledger.db",
            budgets=parse_budgets("global=10/month; feature:chat=0.002/day"),
        )
        # Only the address makes this the simulated provider; leave it out for the real one.
        bare = OpenAI(base_url=provider.base_url, api_key="none", max_retries=0)
        claude = Anthropic(base_url=provider.root_url, api_key="none", max_retries=0)
        question: Any = [{"role": "user", "content": "Why is the sky blue?"}]

        # A wrapped client is used as before, and passes for an OpenAI client.
        client = tracker.wrap(bare, feature="search")
        with bare, attribute(user="ada"), tracker.track() as spent:
            client.chat.completions.create(model="gpt-4o", messages=question, max_tokens=100)
            with client.responses.stream(model="gpt-4o", input="And at night?") as stream:
                stream.until_done()
        print(f"the wrapped client: {spent.total} USD")

        # A decorated function: budgets are asked by the arguments named as the provider names them.
        @track_cost(tracker, feature="chat")
        def ask(messages: Any, model: str = "claude-sonnet-4-6", max_tokens: int = 50) -> Any:
            return claude.messages.create(model=model, messages=messages, max_tokens=max_tokens)

        with claude:
            answers = 0
            try:
                while True:
                    ask(question)
                    answers += 1
            except BudgetExceeded as error:
                print(f"after {answers} answers: {error}")
        recorded = sum(status.spent for status in tracker.budgets() if status.scope == "global")
        print(f"all: {recorded} USD, billed by the provider: {provider.billed_usd} USD")
        assert answers > 0
        assert recorded == provider.billed_usd
        tracker.close()


if __name__ == "__main__":
    main()
