"""Embed documents with LlamaIndex under a budget: each batch is held for before it is sent.

Runs against a simulated provider on this machine: no key, no network, no cost. For OpenAI itself,
leave `api_base` and `api_key` out.
"""

import tempfile
from datetime import UTC
from pathlib import Path

from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import Document
from llama_index.embeddings.openai import OpenAIEmbedding

from llmcost_llamaindex import install, uninstall
from llmcost_plugins import Budget, BudgetExceeded, CostTracker, attribute
from llmcost_plugins.reports import spend
from llmcost_plugins.testing import SimulatedProvider


def main() -> None:
    """Embed for two teams, the second of which wants more than its budget pays for."""
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        tracker = CostTracker.from_env(
            ledger=f"sqlite:///{Path(folder) / 'ledger.db'}",
            budgets=(Budget("team:*", "0.0001", "day"),),
        )
        install(tracker, feature="ingestion")
        model = OpenAIEmbedding(
            model="text-embedding-3-small",
            embed_batch_size=10,
            api_base=provider.base_url,
            api_key="none",
        )
        pipeline = IngestionPipeline(transformations=[model])
        for team, words in (("alpha", 10), ("beta", 60)):
            documents = [Document(text="cost " * words) for _ in range(50)]
            with attribute(team=team):
                try:
                    print(f"{team}: {len(pipeline.run(documents=documents))} embedded")
                except BudgetExceeded as error:
                    print(f"{team}: refused: {error}")
        uninstall()
        for row in spend(tracker.ledger, ["team"], zone=UTC):
            print(row.group, f"{row.calls} calls, {row.refused} refused, ${row.cost}")
        (total,) = spend(tracker.ledger, zone=UTC)
        assert total.cost == provider.billed_usd
        assert total.refused == 1
        tracker.close()


if __name__ == "__main__":
    main()
