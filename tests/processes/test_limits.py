"""Processes that do not agree on the limit of a budget, and limits changed while they run."""

import os

import pytest

from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.tracker import CostTracker
from tests.processes.fleet import WORST, Fleet, eventually

pytestmark = pytest.mark.skipif(os.name == "nt", reason="starts processes as POSIX does")


def test_each_process_enforces_the_limit_that_it_was_given(fleet: Fleet) -> None:
    small, large = 50_000_000, 100_000_000
    fleet.start(f"{small}e-9").wait()
    assert small - WORST < fleet.spent() <= small
    fleet.start(f"{large}e-9").wait()
    assert large - WORST < fleet.spent() <= large
    late = fleet.start(f"{small}e-9")
    late.wait()
    assert late.settled() == {}
    assert late.said("refused", str(small))
    assert sum(fleet.billed().values()) == fleet.spent()


def test_a_limit_raised_in_the_ledger_is_seen_by_a_process_that_runs(fleet: Fleet) -> None:
    small, large = 50_000_000, 100_000_000
    plan = {"callers": 2, "until": large}
    workers = [fleet.start(f"{small}e-9", **plan) for _ in range(2)]
    eventually(lambda: all(worker.said("refused", str(small)) for worker in workers))
    assert fleet.spent() <= small
    with open_ledger(fleet.url) as ledger:
        tracker = CostTracker(ledger, sinks=())
        for scope, per in (("global", "total"), ("model:*", "year")):
            tracker.set_budget(scope, f"{large}e-9", per, everywhere=True)
    for worker in workers:
        worker.wait()
        assert worker.said("refused", str(large))
    assert large - WORST < fleet.spent() <= large
    fleet.check_books()
    assert fleet.settled() == fleet.billed()
