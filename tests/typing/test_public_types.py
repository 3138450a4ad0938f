"""What a type checker sees of the public names; `make check` checks this file, the tests run it."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import assert_type

from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from openai import OpenAI

from llmcost_langchain import CompletionCache, CostCallbackHandler, CostMiddleware, FallbackRouter
from llmcost_plugins import Budget, BudgetStatus, CostTracker, attribute, track_cost
from llmcost_plugins.labels import Labels


def test_the_public_names_have_the_types_that_the_docs_say(tmp_path: Path) -> None:
    tracker = CostTracker.from_env(ledger=f"sqlite:///{tmp_path}/ledger.db")
    assert_type(tracker, CostTracker)
    assert_type(tracker.budgets(), list[BudgetStatus])
    assert_type(Budget("global", "1", "day").limit, Decimal)
    with attribute(user="u1") as labels:
        assert_type(labels, Labels)

    handler = CostCallbackHandler(tracker, feature="chat")
    assert_type(handler.total, Decimal)

    with OpenAI(api_key="none") as client:
        assert_type(tracker.wrap(client, feature="chat"), OpenAI)

    @track_cost(tracker, feature="chat")
    async def ask(question: str) -> int:
        return len(question)

    assert_type(asyncio.run(ask("why?")), int)

    router = FallbackRouter(models=[FakeListChatModel(responses=["hi"])], tracker=tracker)
    assert_type(router.invoke("hello"), AIMessage)
    for chunk in router.stream("hello"):
        assert_type(chunk, AIMessageChunk)

    assert_type(CompletionCache(), CompletionCache)
    cost: CostMiddleware[None, object] = CostMiddleware(run_limit="0.50", tracker=tracker)
    assert_type(cost.thread_cost({}), Decimal)
    create_agent(FakeListChatModel(responses=["hi"]), middleware=[cost, ModelRetryMiddleware()])
    tracker.close()
