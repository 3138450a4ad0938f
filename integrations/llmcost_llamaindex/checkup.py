"""Tries the recorder on the LlamaIndex that is installed; ``llmcost doctor --adapters`` asks."""

from collections.abc import Iterator

from llama_index.core.llms import MockLLM

from llmcost_llamaindex.handler import install, uninstall
from llmcost_plugins.checkup import Fact
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.tracker import CostTracker


def check() -> Iterator[Fact]:
    """Yield whether a call of a model that answers by itself is seen. Nothing is sent or kept.

    Raises:
        ConfigurationError: a recorder is installed in this process already.
    """
    tracker = CostTracker(open_ledger("memory://"))
    try:
        install(tracker)
        try:
            MockLLM(max_tokens=1).complete("a self-test")
        finally:
            uninstall()
        seen = len(list(tracker.ledger.entries()))
        yield _fact(seen, tracker.failures)
    finally:
        tracker.close()


def _fact(seen: int, failures: int) -> Fact:
    if seen == 1 and not failures:
        return Fact("adapters", "llamaindex", "records and guards calls")
    why = f"of one call {seen} were recorded, with {failures} failures of the bookkeeping"
    remedy = "install a version of llama-index-core that the README names"
    return Fact("adapters", "llamaindex", "does not work", "", why, remedy)
