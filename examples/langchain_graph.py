"""A LangGraph graph: one budget for the whole run, sub-graph and plain threads included."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from pydantic import SecretStr

from llmcost_langchain import BudgetExceeded, CostCallbackHandler, FallbackRouter
from llmcost_plugins import Budget, CostTracker, in_context
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.testing import SimulatedProvider


class State(TypedDict):
    """What the nodes hand on."""

    topic: str
    drafts: list[str]


def build(llm: FallbackRouter) -> Any:
    """Draft three times in a thread pool, then review in a sub-graph, over and over."""

    def draft(state: State) -> State:
        # A plain pool loses LangChain's run and its callbacks; in_context carries them along.
        ask = in_context(lambda style: llm.invoke(f"A {style} draft on {state['topic']}").text)
        with ThreadPoolExecutor(3) as pool:
            return {**state, "drafts": list(pool.map(ask, ["short", "witty", "long"]))}

    def review(state: State) -> State:
        best = llm.invoke(f"Which is best? {state['drafts']}").text
        return {**state, "topic": f"{state['topic']}, better than: {best}"}

    inner: Any = StateGraph(State)
    inner.add_node("review", review)
    inner.add_edge(START, "review")
    inner.add_edge("review", END)
    outer: Any = StateGraph(State)
    outer.add_node("draft", draft)
    outer.add_node("review", inner.compile())
    outer.add_edge(START, "draft")
    outer.add_edge("draft", "review")
    outer.add_edge("review", "draft")  # never satisfied: only the budget ends it
    return outer.compile()


def main() -> None:
    """Run the graph until its run has used up two cents."""
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        tracker = CostTracker(
            open_ledger(f"sqlite:///{folder}/ledger.db"),
            [Budget("run", "0.02")],
            sinks=[print],  # told at 80 % and 90 % of a budget
        )
        models = [
            ChatOpenAI(
                model=name,
                base_url=provider.base_url,
                api_key=SecretStr("none"),
                max_completion_tokens=100,
            )
            for name in ("gpt-4o", "gpt-4o-mini")
        ]
        graph = build(FallbackRouter(models, tracker=tracker))
        handler = CostCallbackHandler(tracker, feature="writer")
        try:
            graph.invoke(
                {"topic": "capybaras", "drafts": []},
                {"callbacks": [handler], "recursion_limit": 10_000},
            )
        except BudgetExceeded as refusal:
            print(refusal)
        print(f"{handler.calls} calls, {handler.total} USD")
        runs = {entry.call.run for entry in tracker.ledger.entries()}
        assert len(runs) == 1, "every call belongs to the run of the graph"
        assert handler.total == provider.billed_usd <= Budget("run", "0.02").limit
        tracker.close()


if __name__ == "__main__":
    main()
