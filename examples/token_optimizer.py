"""Shorten prompts before they are sent: in a chain, and for messages of a raw client."""

import tempfile

from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from llmcost_langchain import CostCallbackHandler
from llmcost_langchain.optimizer import TokenOptimizer
from llmcost_plugins import CostTracker
from llmcost_plugins import optimize as core
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.testing import SimulatedProvider

CHUNK = (
    "The capybara is the largest living rodent.   It lives near water,\n"
    "in groups of ten to twenty animals, and eats grass.   \n\n\n\n"
)
CODE = "```python\nweight  =  {'capybara':   50}\n```"


def main() -> None:
    """Ask with the same context three times over, with and without the optimizer."""
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        tracker = CostTracker(open_ledger(f"sqlite:///{folder}/ledger.db"))
        llm = ChatOpenAI(
            model="gpt-4o",
            base_url=provider.base_url,
            api_key=SecretStr("none"),
            max_completion_tokens=10,
        )
        prompt = ChatPromptTemplate([("system", "Be brief."), ("user", "{context}\n\n{question}")])
        optimizer = TokenOptimizer("gpt-4o", max_tokens=4000)
        given = {"context": CHUNK * 3 + CODE, "question": "How heavy is it?"}
        costs = []
        for chain in (prompt | llm, prompt | optimizer | llm):
            handler = CostCallbackHandler(tracker)
            chain.invoke(given, config={"callbacks": [handler]})
            costs.append(handler.total)
        print(f"plain ${costs[0]}, optimized ${costs[1]}")
        print(optimizer.invoke(prompt.invoke(given))[-1].text)
        assert costs[1] < costs[0]

        # The same for what a raw client is given; images and tool calls pass unchanged.
        done = core.TokenOptimizer("claude-sonnet-4-5", max_tokens=100, keep_last=1).messages(
            [
                {"role": "user", "content": CHUNK * 5},
                {"role": "assistant", "content": "I see."},
                {"role": "user", "content": f"{CODE}\n\nHow heavy is it?"},
            ]
        )
        saving = done.saving
        about = "about " if saving.estimated else ""
        print(f"{about}{saving.tokens_saved} tokens, ${saving.saved_usd} ({saving.counted_by})")
        assert CODE in done.messages[-1]["content"]
        tracker.close()


if __name__ == "__main__":
    main()
