"""Attach a handler to a chain: what did it cost, and who caused it?"""

import tempfile
from datetime import UTC

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from llmcost_langchain import CostCallbackHandler
from llmcost_plugins import CostTracker, attribute
from llmcost_plugins.reports import spend
from llmcost_plugins.testing import SimulatedProvider


def main() -> None:
    """Run a chain for two users and report by user."""
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        tracker = CostTracker.from_env(ledger=f"sqlite:///{folder}/ledger.db")
        # Only the address makes this the simulated provider; leave it out for the real one.
        model = ChatOpenAI(
            model="gpt-4o",
            base_url=provider.base_url,
            api_key=SecretStr("none"),
            max_completion_tokens=100,
        )
        chain = ChatPromptTemplate.from_template("Explain {topic}") | model | StrOutputParser()
        handler = CostCallbackHandler(tracker, feature="explain")

        # Labels come from the handler, from attribute(), and from the metadata of one call.
        with attribute(team="docs"):
            for user in ("ada", "grace", "ada"):
                config = {"callbacks": [handler], "metadata": {"user": user}}
                chain.invoke({"topic": "recursion"}, config)  # type: ignore[arg-type]  # a dict is fine

        for row in spend(tracker.ledger, ["user"], zone=UTC):
            print(f"{row.group[0]}: {row.calls} calls, {row.cost} USD")
        print(f"all: {handler.total} USD, billed by the provider: {provider.billed_usd} USD")
        assert handler.total == provider.billed_usd
        tracker.close()


if __name__ == "__main__":
    main()
