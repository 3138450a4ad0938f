import os
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

import pytest

from llmcost_plugins.budgets import Budget
from llmcost_plugins.leases import Leases
from llmcost_plugins.ledger import Ledger, Status
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.usage import Usage
from tests.unit.trackers import NOON, make_tracker, spec

LEASE = timedelta(seconds=120)


def lease_of(ledger: Ledger) -> timedelta:
    (hold,) = ledger.holds()
    return hold.lease_until - NOON


def test_a_watched_call_has_a_short_lease_and_a_bare_one_a_single_long_one(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", 1))
    watched = tracker.start(spec(watched=True))
    assert lease_of(ledger) == LEASE
    watched.release()
    tracker.start(spec())
    assert lease_of(ledger) == timedelta(seconds=900)
    tracker.close()


def test_a_watched_call_is_kept_alive_until_it_ends_or_has_taken_too_long(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", 1))
    call = tracker.start(spec(watched=True))
    for _ in range(14):
        clock.advance(60)
        assert tracker._parts.leases.renew_now() == 1
    assert ledger.sweep(clock()) == 0
    assert lease_of(ledger) == timedelta(seconds=14 * 60) + LEASE
    clock.advance(60)
    assert tracker._parts.leases.renew_now() == 0
    clock.advance(60)
    assert ledger.sweep(clock()) == 1
    call.finish(Usage(input=1))
    assert [entry.outcome.status for entry in ledger.entries()] == [Status.LOST, Status.CORRECTION]
    tracker.close()


def test_a_call_that_has_ended_is_not_renewed(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", 1))
    tracker.start(spec(watched=True)).finish(Usage(input=1))
    clock.advance(60)
    assert tracker._parts.leases.renew_now() == 0
    tracker.close()


def test_the_lease_is_at_most_the_longest_call(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock, call_max=timedelta(seconds=30))
    tracker.start(spec(watched=True))
    assert lease_of(ledger) == timedelta(seconds=30)
    tracker.close()


def threads(others: Sequence[threading.Thread] = ()) -> list[threading.Thread]:
    found = [thread for thread in threading.enumerate() if thread.name == "llmcost-leases"]
    return [thread for thread in found if thread not in others]


def test_a_thread_renews_while_there_are_watched_calls_and_ends_with_them(
    ledger: Ledger, clock: FakeClock
) -> None:
    lease = timedelta(seconds=0.15)
    others = threads()  # of other tests' trackers
    tracker = make_tracker(ledger, clock, Budget("global", 1), hold_lease=lease)
    assert threads(others) == []
    call = tracker.start(spec(watched=True))
    clock.advance(0.1)
    deadline = time.monotonic() + 10
    while lease_of(ledger) == lease and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lease_of(ledger) == lease + timedelta(seconds=0.1)
    call.finish(Usage(input=1))
    while threads(others) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threads(others) == []
    tracker.close()


def test_a_thread_ends_when_the_tracker_is_closed(ledger: Ledger, clock: FakeClock) -> None:
    others = threads()
    tracker = make_tracker(ledger, clock, Budget("global", 1))
    tracker.start(spec(watched=True))
    (thread,) = threads(others)
    tracker.close()
    thread.join(10)
    assert threads(others) == []


def test_a_ledger_that_cannot_renew_is_asked_again(
    ledger: Ledger, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    leases = Leases(ledger, clock, lease=timedelta(seconds=0.03), call_max=LEASE)
    path = ledger.path  # type: ignore[attr-defined]  # of an SQLite ledger
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"no database" * 100)
    leases.watch("c1", clock())
    deadline = time.monotonic() + 10
    while caplog.text.count("could not be renewed") < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert caplog.text.count("could not be renewed") >= 2
    leases.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking with threads is the point
def test_a_forked_child_renews_its_own_calls(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock, hold_lease=timedelta(seconds=0.05))
    tracker.start(spec(watched=True))
    pid = os.fork()
    if pid == 0:
        tracker.start(spec(watched=True))
        os._exit(0 if len(threads()) == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    tracker.close()
