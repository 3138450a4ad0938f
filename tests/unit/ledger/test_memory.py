import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from llmcost_plugins.budgets import Budget
from llmcost_plugins.errors import ConfigurationError, LedgerUnavailable, Refusal
from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.ledger.memory import MemoryLedger
from llmcost_plugins.testing.ledger_contract import NOON, USD, make_call, make_hold, outcome


def test_each_opening_is_a_ledger_of_its_own() -> None:
    one, other = open_ledger("memory://"), open_ledger("memory://")
    one.settle(make_call(), outcome(1))
    assert len(list(one.entries())) == 1
    assert list(other.entries()) == []


@pytest.mark.parametrize("url", ["memory:", "memory:///", "memory://name", "memory:///x.db"])
def test_a_url_that_names_something_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="'memory://' is gone with the process"):
        open_ledger(url)


def test_an_sqlite_url_without_a_file_is_told_of_memory() -> None:
    with pytest.raises(ConfigurationError, match="say 'memory://' where nothing is to be kept"):
        open_ledger("sqlite:///:memory:")


@pytest.mark.parametrize(
    "verb",
    [
        lambda ledger: ledger.hold(make_hold(make_call(), 1)),
        lambda ledger: ledger.release("x"),
        lambda ledger: ledger.sweep(NOON),
        lambda ledger: ledger.statuses(NOON),
    ],
)
def test_any_other_verb_in_the_middle_of_one_is_refused(verb: Callable[[Ledger], object]) -> None:
    ledger = MemoryLedger()
    call = make_call()
    ledger.hold(make_hold(call, USD, Budget("global", 9)))
    with ledger._changing(), pytest.raises(LedgerUnavailable, match="in the middle of one"):
        verb(ledger)
    (state,) = ledger.statuses(NOON)
    assert (state.spent, state.held, state.holds) == (0, USD, 1)


def test_what_is_asked_in_the_middle_of_a_verb_is_answered() -> None:
    ledger = MemoryLedger()
    ledger.settle(make_call(), outcome(7))
    with ledger._changing():
        assert [entry.outcome.cost for entry in ledger.entries()] == [7]
        assert [total.cost for total in ledger.totals([])] == [7]
        assert ledger.holds() == []


def test_a_verb_that_fails_lets_the_deferred_call_be_settled() -> None:
    ledger = MemoryLedger()
    call = make_call()

    def fail_in_the_middle() -> None:
        with ledger._changing():
            ledger.settle(call, outcome(7))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_in_the_middle()
    assert [entry.outcome.cost for entry in ledger.entries()] == [7]
    assert ledger.release(call.id) is False


def test_an_entry_is_not_changed_by_what_its_writer_does_to_the_lines() -> None:
    ledger = MemoryLedger()
    done = replace(outcome(7), lines=[])
    ledger.settle(make_call(), done)
    (entry,) = ledger.entries()
    assert entry.outcome.lines == ()


FORK = """
import os, threading
from datetime import UTC, datetime
from llmcost_plugins.labels import Labels
from llmcost_plugins.ledger import Call, Outcome, Status, open_ledger
from llmcost_plugins.usage import Usage

now = datetime(2026, 3, 10, 12, tzinfo=UTC)
ledger = open_ledger("memory://")

def write(call_id):
    call = Call(call_id, now, "gpt-4o", "gpt-4o", "openai", Labels(), "run")
    assert ledger.settle(call, Outcome(Status.OK, Usage(input=1), 1, now))

write("first")
stop = threading.Event()

def busy():
    while not stop.is_set():
        ledger.sweep(now)
        list(ledger.entries())

threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()
children = []
for child in range(8):
    pid = os.fork()
    if pid == 0:
        for n in range(20):
            write(f"{child}-{n}")
        os._exit(len(list(ledger.entries())))
    children.append(pid)
stop.set()
for thread in threads:
    thread.join()
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
print(codes, [entry.call.id for entry in ledger.entries()])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_of_a_busy_process_goes_on_with_a_copy() -> None:
    done = subprocess.run(
        # Python 3.12 warns of every fork with threads about.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{[21] * 8} ['first']\n"


def test_a_model_whose_name_has_no_form_in_utf_8_is_refused_as_any_other() -> None:
    ledger = MemoryLedger()
    refusal = Refusal("global", "total", 1, 1, 0, 0, 5, None, may_fall_back=True)
    for _ in range(2):
        ledger.record_refusal(replace(make_call(), model="m\ud800"), refusal)
    (entry,) = ledger.entries()
    assert (entry.call.model, entry.count) == ("m\ud800", 2)
