import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from llmcost_plugins.budgets import Budget
from llmcost_plugins.errors import BudgetExceeded, Refusal
from llmcost_plugins.guard import Guard, current_owner
from llmcost_plugins.ledger import Call, Hold, Ledger, open_ledger
from llmcost_plugins.testing.ledger_contract import USD, make_call, make_hold, outcome

BUDGET = Budget("global", 1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        yield ledger


@pytest.fixture
def held(ledger: Ledger) -> Call:
    """Return a call that holds the whole budget."""
    call = make_call()
    ledger.hold(make_hold(call, USD, BUDGET))
    return call


def settle_soon(ledger: Ledger, call: Call) -> threading.Timer:
    timer = threading.Timer(0.1, ledger.settle, (call, outcome(0)))
    timer.start()
    return timer


def guard(ledger: Ledger, seconds: float = 5) -> Guard:
    return Guard(ledger, timedelta(seconds=seconds))


def test_a_call_waits_until_the_one_in_its_way_has_settled(ledger: Ledger, held: Call) -> None:
    timer = settle_soon(ledger, held)
    guard(ledger).hold(make_hold(make_call(), USD, BUDGET))
    timer.join()


@pytest.mark.usefixtures("held")
def test_waiting_ends_in_a_refusal_that_says_so(ledger: Ledger) -> None:
    started = time.monotonic()
    with pytest.raises(BudgetExceeded) as caught:
        guard(ledger, 0.2).hold(make_hold(make_call(), USD, BUDGET))
    assert 0.2 <= time.monotonic() - started < 2
    assert caught.value.waited
    assert caught.value.refusal.only_holds_stand_in_the_way


def test_a_call_that_would_not_fit_anyway_does_not_wait(ledger: Ledger, held: Call) -> None:
    ledger.settle(held, outcome(1))
    started = time.monotonic()
    with pytest.raises(BudgetExceeded) as caught:
        guard(ledger).hold(make_hold(make_call(), USD, BUDGET))
    assert time.monotonic() - started < 1
    assert not caught.value.waited


@pytest.mark.usefixtures("held")
def test_a_call_that_must_not_wait_is_refused_at_once(ledger: Ledger) -> None:
    started = time.monotonic()
    with pytest.raises(BudgetExceeded) as caught:
        guard(ledger).hold(make_hold(make_call(), USD, BUDGET), may_wait=lambda: False)
    assert time.monotonic() - started < 1
    assert not caught.value.waited


@pytest.mark.usefixtures("held")
async def test_on_an_event_loop_a_sync_hold_does_not_wait(ledger: Ledger) -> None:
    started = time.monotonic()
    with pytest.raises(BudgetExceeded):
        guard(ledger).hold(make_hold(make_call(), USD, BUDGET))
    assert time.monotonic() - started < 1


async def test_an_async_hold_leaves_the_event_loop_free_while_it_waits(
    ledger: Ledger, held: Call
) -> None:
    waiting = asyncio.create_task(guard(ledger).ahold(make_hold(make_call(), USD, BUDGET)))
    ticks = 0
    while ticks < 5:
        await asyncio.sleep(0.01)
        ticks += 1
    assert not waiting.done()
    ledger.settle(held, outcome(0))
    await asyncio.wait_for(waiting, 5)


async def test_an_async_hold_that_is_cancelled_while_it_waits_holds_nothing(
    ledger: Ledger, held: Call
) -> None:
    waiting = asyncio.create_task(guard(ledger).ahold(make_hold(make_call(), USD, BUDGET)))
    await asyncio.sleep(0.02)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    (state,) = ledger.statuses(held.at)
    assert state.holds == 1


def test_a_warning_is_handed_over_with_its_numbers(ledger: Ledger) -> None:
    told: list[tuple[Hold, Refusal]] = []
    budget = Budget("team:*", 1, "day", "warn")
    hold = make_hold(make_call(team="a"), 2 * USD, budget)
    Guard(ledger, timedelta(0), lambda *what: told.append(what)).hold(hold)
    ((held, warning),) = told
    assert held is hold
    assert (warning.scope, warning.needed, warning.limit) == ("team:a", 2 * USD, USD)


async def test_each_task_is_an_owner_of_its_own_and_so_is_each_thread() -> None:
    async def owner() -> tuple[int, int]:
        return current_owner()

    tasks = [asyncio.create_task(owner()) for _ in range(2)]
    owners = {*(await asyncio.gather(*tasks)), current_owner()}
    owners.add(await asyncio.to_thread(current_owner))
    assert len(owners) == 4
    assert current_owner() == current_owner()
