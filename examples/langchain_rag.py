"""A RAG chain: embeddings and answers on one bill, and a budget that stops it when it runs away."""

import tempfile
from datetime import UTC

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore, VectorStoreRetriever
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import SecretStr

from llmcost_langchain import (
    BudgetExceeded,
    CostCallbackHandler,
    FallbackRouter,
    TrackedEmbeddings,
)
from llmcost_plugins import Budget, CostTracker
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.reports import spend
from llmcost_plugins.testing import SimulatedProvider

FACTS = ("The capybara is the largest rodent.", "The moon has no air.", "Rust never sleeps.")


def make_retriever(provider: SimulatedProvider, tracker: CostTracker) -> VectorStoreRetriever:
    """Index the facts; that is paid for as well."""
    embeddings = OpenAIEmbeddings(
        model="text-embedding-3-small",
        base_url=provider.base_url,
        api_key=SecretStr("none"),
        check_embedding_ctx_length=False,  # send texts; token ids need a download of tiktoken's
    )
    store = InMemoryVectorStore(TrackedEmbeddings(embeddings, tracker=tracker, feature="search"))
    store.add_documents([Document(fact) for fact in FACTS])
    return store.as_retriever(search_kwargs={"k": 2})


def make_rag(
    retriever: VectorStoreRetriever, provider: SimulatedProvider, tracker: CostTracker
) -> Runnable[str, str]:
    """Build the chain: look facts up, answer from them."""
    models = [
        ChatOpenAI(
            model=name,
            base_url=provider.base_url,
            api_key=SecretStr("none"),
            max_completion_tokens=100,
        )
        for name in ("gpt-4o", "gpt-4o-mini")
    ]
    prompt = ChatPromptTemplate.from_template("Facts: {facts}\nQuestion: {question}")
    return (
        {"facts": retriever, "question": RunnablePassthrough()}
        | prompt
        | FallbackRouter(models=models, tracker=tracker)
        | StrOutputParser()
    )


def main() -> None:
    """Ask once, then let a chain that is never content ask on."""
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        # Each outermost run may cost a cent, however many steps it takes.
        budgets = [Budget("run", "0.01")]
        tracker = CostTracker(open_ledger(f"sqlite:///{folder}/ledger.db"), budgets, sinks=[])
        rag = make_rag(make_retriever(provider, tracker), provider, tracker)

        handler = CostCallbackHandler(tracker, feature="rag")
        rag.invoke("Which rodent is the largest?", {"callbacks": [handler]})
        print(f"one question: {handler.total} USD, embedding included")

        def refine(question: str) -> str:
            while True:  # no answer is ever good enough
                question = rag.invoke(f"Say it better: {question}")

        try:
            RunnableLambda(refine).invoke("Why?", {"callbacks": [handler]})
        except BudgetExceeded as refusal:
            print(refusal)

        for row in spend(tracker.ledger, ["model"], zone=UTC):
            print(f"{row.group[0]}: {row.calls} calls, {row.cost} USD")
        recorded = sum(row.cost for row in spend(tracker.ledger, zone=UTC))
        assert recorded == provider.billed_usd
        tracker.close()


if __name__ == "__main__":
    main()
