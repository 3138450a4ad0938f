"""The adapter's own check-up, as `llmcost doctor --adapters` asks for it."""

from importlib.metadata import EntryPoint

from llama_index_instrumentation import get_dispatcher

from llmcost_llamaindex import install, uninstall
from llmcost_plugins import CostTracker
from llmcost_plugins.checkup.adapters import GROUP, adapters
from llmcost_plugins.ledger import open_ledger

OURS = EntryPoint("llamaindex", "llmcost_llamaindex.checkup:check", GROUP)


def test_it_records_a_call_and_leaves_nothing_behind() -> None:
    before = list(get_dispatcher().event_handlers)
    (fact,) = adapters([OURS])
    assert (fact.value, fact.finding) == ("records and guards calls", "")
    assert get_dispatcher().event_handlers == before


def test_it_tells_when_it_cannot_be_tried_and_leaves_what_is_installed() -> None:
    with open_ledger("memory://") as ledger:
        install(CostTracker(ledger))
        before = list(get_dispatcher().event_handlers)
        try:
            (fact,) = adapters([OURS])
            assert "another tracker is installed" in fact.finding
            assert get_dispatcher().event_handlers == before
        finally:
            uninstall()


def test_an_adapter_that_does_not_load_is_a_finding() -> None:
    (fact,) = adapters([EntryPoint("odd", "llmcost_nowhere:check", GROUP)])
    assert (fact.name, "llmcost_nowhere" in fact.finding) == ("odd", True)
