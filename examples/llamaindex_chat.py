"""LlamaIndex in three steps: install, set a budget, read the report.

Runs against a simulated provider on this machine: no key, no network, no cost. For OpenAI itself,
leave `api_base` and `api_key` out.
"""

import tempfile
from datetime import UTC
from pathlib import Path

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI

from llmcost_llamaindex import install, uninstall
from llmcost_plugins import Budget, BudgetExceeded, CostTracker, attribute
from llmcost_plugins.reports import spend
from llmcost_plugins.testing import SimulatedProvider


def main() -> None:
    """Make three calls, the last of which the user's budget cannot pay for."""
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        # 1. a tracker with budgets; CostTracker.from_env() alone reads LLMCOST_BUDGETS
        tracker = CostTracker.from_env(
            ledger=f"sqlite:///{Path(folder) / 'ledger.db'}",
            budgets=(Budget("user:*", "0.01", "day"),),
        )
        # 2. every model call of LlamaIndex is held for before it is made, and recorded after
        install(tracker, feature="chat")
        llm = OpenAI(
            model="gpt-4o",
            max_tokens=500,
            api_base=provider.base_url,
            api_key="none",
            additional_kwargs={"stream_options": {"include_usage": True}},
        )
        with attribute(user="ada"):
            print(llm.chat([ChatMessage("What does a call cost?")]).message.content)
            for chunk in llm.stream_complete("And a stream?"):
                print(chunk.delta, end="")
            print()
            try:
                llm.complete("And a long one?", model="gpt-4")
            except BudgetExceeded as error:
                print(f"refused: {error}")
        # 3. the report: what was spent, and by whom
        uninstall()
        for row in spend(tracker.ledger, ["user", "model"], zone=UTC):
            print(row.group, f"{row.calls} calls, {row.refused} refused, ${row.cost}")
        (total,) = spend(tracker.ledger, zone=UTC)
        assert total.cost == provider.billed_usd
        assert total.refused == 1
        tracker.close()


if __name__ == "__main__":
    main()
