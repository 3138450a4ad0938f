"""LangChain's own with_fallbacks, with the handler: recorded, guarded, and nothing else of ours."""

import logging
import tempfile

from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from llmcost_langchain import fallback_chain
from llmcost_plugins import Budget, CostTracker
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.testing import Behavior, SimulatedProvider


def main() -> None:
    """Fall back once because the provider fails, and once because the money is gone."""
    # LangChain logs what a handler raises, although a refusal that is fallen back on is no error.
    logging.getLogger("langchain_core.callbacks.manager").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        tracker = CostTracker(
            open_ledger(f"sqlite:///{folder}/ledger.db"),
            [Budget("model:gpt-4o", "0.003", "day"), Budget("global", 1, "day")],
            sinks=[print],
        )
        models = [
            ChatOpenAI(
                model=name,
                base_url=provider.base_url,
                api_key=SecretStr("none"),
                max_completion_tokens=200,
                max_retries=0,
            )
            for name in ("gpt-4o", "gpt-4o-mini")
        ]
        llm = fallback_chain(models, tracker=tracker, feature="chat")
        chain = ChatPromptTemplate.from_template("Tell me about {animal}") | llm

        provider.behave("gpt-4o", Behavior(status=503), times=1)
        for animal in ("the capybara", "the mole " * 20, "the newt " * 20):
            answer = chain.invoke({"animal": animal})
            print(answer.response_metadata["model_name"])
        print(f"{provider.billed_usd} USD billed, and recorded to the nano-dollar")
        assert sum(entry.outcome.cost for entry in tracker.ledger.entries()) == provider.billed_nano
        tracker.close()


if __name__ == "__main__":
    main()
