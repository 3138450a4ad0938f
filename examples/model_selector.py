"""Choose a model by task, length, needs and what is left of a budget; alone and in a router."""

import tempfile
from pathlib import Path

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from llmcost_langchain import FallbackRouter
from llmcost_plugins import Budget, CostTracker, attribute
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.selector import ModelSelector
from llmcost_plugins.testing import SimulatedProvider

RULES = """
models = ["gpt-4o", "gpt-4o-mini"]

[[rules]]
name = "short triage"
models = ["gpt-4o-mini"]
tasks = ["triage"]
max_prompt_tokens = 2000

[[rules]]
name = "the team's money gets thin"
models = ["gpt-4o-mini"]
budget = "team:*"
max_budget_left = 0.5
"""


def main() -> None:
    """Ask the selector, then let it choose for a router."""
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        file = Path(folder) / "models.toml"
        file.write_text(RULES, "utf-8")
        tracker = CostTracker(
            open_ledger(f"sqlite:///{folder}/ledger.db"), [Budget("team:*", "0.02", "day")]
        )
        selector = ModelSelector.from_toml(file, tracker=tracker)
        for task, tokens in (("triage", 900), ("report", 900)):
            choice = selector.select(task=task, input_tokens=tokens, output_tokens=200)
            print(f"{task}: {choice.model} for ${choice.expected}: {choice.reason}")
            print("  ", ", ".join(f"{one.model} ${one.expected}" for one in choice.options))

        models = [
            ChatOpenAI(
                model=name,
                base_url=provider.base_url,
                api_key=SecretStr("none"),
                max_completion_tokens=200,
            )
            for name in ("gpt-4o", "gpt-4o-mini")
        ]
        llm = FallbackRouter(models, tracker=tracker, policy=selector)
        served = []
        with attribute(team="alpha"):
            for _ in range(12):
                answer = llm.invoke("Tell me about the capybara. " * 50)
                served.append(answer.response_metadata["llmcost"]["model"])
        print(f"then {served.count('gpt-4o')} x gpt-4o, {served.count('gpt-4o-mini')} x mini")
        assert served[0] == "gpt-4o"
        assert served[-1] == "gpt-4o-mini"
        tracker.close()


if __name__ == "__main__":
    main()
