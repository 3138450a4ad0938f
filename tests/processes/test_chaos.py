"""Processes are killed at random moments; the money that they held or spent stays in the books."""

import os
import random
import signal
import time

import pytest

from llmcost_plugins.budgets import Budget
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.testing import SimulatedProvider
from llmcost_plugins.testing.behavior import Behavior
from llmcost_plugins.tracker import CostTracker
from tests.processes.fleet import WORST, Caller, Fleet, eventually, tell

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="kills processes as POSIX does"),
    pytest.mark.timeout(900),
]
LEASE = 1.5


def kill(caller: Caller) -> None:
    caller.process.kill()
    assert caller.process.wait(timeout=60) in {0, -signal.SIGKILL}, caller.errors.read_text()


def hold_once_more(fleet: Fleet) -> None:
    """Make another call, which must find the expired holds counted as lost."""
    with open_ledger(fleet.url) as ledger:
        budgets = [Budget("global", 1000), Budget("model:*", 1000, "year")]
        tracker = CostTracker(ledger, budgets, sinks=())
        call = tracker.start(CallSpec("last", "gpt-4o", "openai", CallSize(1, 1)))
        assert [hold.call.id for hold in ledger.holds()] == ["last"]
        call.release()


def check_against_the_invoice(fleet: Fleet, limit: int) -> None:
    fleet.check_books()
    costs, billed, settled = fleet.costs(), fleet.billed(), fleet.settled()
    assert settled.items() <= costs.items()
    assert billed.keys() <= costs.keys()
    assert [call for call in billed if costs[call] < billed[call]] == []
    assert {call: billed[call] for call in settled} == settled
    assert sum(billed.values()) <= fleet.spent() <= limit


def test_no_money_is_lost_or_counted_twice_when_processes_are_killed(
    fleet: Fleet, long: bool
) -> None:
    kills, limit = (200, 8_000_000_000) if long else (12, 600_000_000)
    # They never give up: the last kills hit processes whose budget is used up.
    plan = {"hold_lease": LEASE, "call_max": LEASE * 2, "until": limit + 1}
    workers = [fleet.start(f"{limit}e-9", **plan) for _ in range(4)]
    # Until there is a ledger to ask.
    eventually(lambda: fleet.provider.billed_nano > 0)
    for _ in range(kills):
        time.sleep(random.uniform(0.05, 0.3))
        victim = random.choice(workers)
        kill(victim)
        workers[workers.index(victim)] = fleet.start(f"{limit}e-9", **plan)
        assert fleet.query("SELECT max(spent + held) FROM buckets")[0][0] <= limit
    for worker in workers:
        kill(worker)
    fleet.provider.settled(timeout=30)
    time.sleep(LEASE * 2)
    hold_once_more(fleet)
    check_against_the_invoice(fleet, limit)
    lost = fleet.query("SELECT count(*) FROM entries WHERE status = 'lost'")[0][0]
    killed = sum(one.process.returncode == -signal.SIGKILL for one in fleet.callers)
    billed = fleet.provider.billed_nano
    tell(f"{killed} kills, {len(fleet.costs())} calls, {lost} lost")
    tell(f"billed {billed / 1e9:.3f}, counted {fleet.spent() / 1e9:.3f} of {limit / 1e9}")
    assert killed > kills // 2
    assert lost > 0


@pytest.mark.parametrize("moment", ["held", "sent", "answered", "transaction"])
def test_a_process_killed_at_any_moment_of_a_call_leaves_the_whole_hold_counted(
    fleet: Fleet, provider: SimulatedProvider, moment: str
) -> None:
    if moment == "sent":
        provider.behave("*", Behavior(delay=60))
    plan = {"callers": 1, "hold_lease": 0.3, "call_max": 0.3}
    worker = fleet.start("1", stop_at=moment, **plan)
    if moment == "sent":
        eventually(lambda: provider._invoice._in_flight == 1)
    else:
        eventually(lambda: worker.said("stopped"))
    kill(worker)
    time.sleep(0.3)
    with open_ledger(fleet.url) as ledger:
        (hold,) = ledger.holds()
        if moment == "transaction":
            ledger.statuses(hold.lease_until)
        else:
            assert ledger.sweep(hold.lease_until) == 1
    check_against_the_invoice(fleet, 10**9)
    assert fleet.query("SELECT status FROM entries") == [("lost",)]
    assert len(fleet.billed()) == (moment != "held")
    assert 0 < fleet.spent() == hold.charge.usd <= WORST


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_ledger_in_use_goes_through_a_fork(fleet: Fleet) -> None:
    limit = 250_000_000
    fleet.start(f"{limit}e-9", mode="fork", callers=4).wait()
    fleet.check_books()
    assert fleet.settled() == fleet.costs() == fleet.billed()
    assert limit * 0.98 <= fleet.spent() <= limit
