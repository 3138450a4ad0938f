"""Give an agent a limit in dollars: it goes on with a cheaper model, and ends with a message."""

import tempfile
from decimal import Decimal

from langchain.agents import create_agent
from langchain.agents.middleware import AgentState, before_model
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.runtime import Runtime
from pydantic import SecretStr

from llmcost_langchain import CostMiddleware
from llmcost_plugins import CostTracker
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.testing import SimulatedProvider


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


@before_model
def never_satisfied(state: AgentState, runtime: Runtime) -> dict[str, list[HumanMessage]]:  # noqa: ARG001 - LangChain's signature
    """Ask again in every step: a loop that would go on for thousands of them."""
    return {"messages": [HumanMessage("are you sure? look at the weather again")]}


def main() -> None:
    """Let a runaway agent spend a cent, on two threads."""
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        tracker = CostTracker(open_ledger(f"sqlite:///{folder}/ledger.db"), sinks=[])
        best, cheaper = (
            ChatOpenAI(
                model=name,
                base_url=provider.base_url,
                api_key=SecretStr("none"),
                max_completion_tokens=200,
            )
            for name in ("gpt-4o", "gpt-4o-mini")
        )
        cost = CostMiddleware(
            run_limit="0.01",  # USD
            thread_limit="0.015",  # of all runs of a thread, kept by the checkpointer
            models=[cheaper],
            tracker=tracker,
            feature="weather",
        )
        agent = create_agent(
            best, [weather], middleware=[cost, never_satisfied], checkpointer=InMemorySaver()
        )
        spent = Decimal(0)
        for thread in ("t1", "t1", "t2"):
            config: RunnableConfig = {"configurable": {"thread_id": thread}}
            result = agent.invoke({"messages": [HumanMessage("the weather, please")]}, config)
            end = result["messages"][-1]
            print(f"{thread}: {end.response_metadata['llmcost']['run_usd']} USD. {end.text}")
            spent += Decimal(end.response_metadata["llmcost"]["run_usd"])
            assert cost.thread_cost(agent.get_state(config).values) <= Decimal("0.015")

        served = [request.model for request in provider.requests]
        print(f"{served.count('gpt-4o')} x gpt-4o, {served.count('gpt-4o-mini')} x gpt-4o-mini")
        assert spent == provider.billed_usd
        tracker.close()


if __name__ == "__main__":
    main()
