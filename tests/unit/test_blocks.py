import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from decimal import Decimal

import pytest

from llmcost_plugins.budgets import Budget
from llmcost_plugins.errors import BudgetExceeded, ConfigurationError
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.usage import Usage
from tests.unit.trackers import make_tracker, spec

USED = Usage(input=1000, output=100)
COST = Decimal("0.0035")


def test_a_block_may_spend_what_it_was_given_and_no_more(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock)
    with tracker.budget("0.0105") as spent:
        for _ in range(3):
            tracker.start(spec()).finish(USED)
        with pytest.raises(BudgetExceeded, match="block") as caught:
            tracker.start(spec())
        assert (spent.total, spent.calls) == (3 * COST, 3)
    assert caught.value.spent == 3 * COST
    tracker.start(spec()).finish(USED)
    assert spent.calls == 3


def test_a_block_leaves_no_bucket_behind(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock)
    with tracker.budget(1):
        tracker.start(spec()).finish(USED)
        assert len(ledger.statuses(clock())) == 1
    assert ledger.statuses(clock()) == []
    assert ledger.totals([])[0].cost == 3_500_000


def test_a_block_that_calls_nothing_makes_no_ledger(ledger: Ledger, clock: FakeClock) -> None:
    with make_tracker(ledger, clock).budget(1) as spent:
        pass
    assert spent.total == 0
    assert not ledger.exists()


def test_blocks_nest_and_each_holds(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock)
    with tracker.budget("0.0075") as outer:
        with tracker.budget("0.0035") as inner:
            tracker.start(spec()).finish(USED)
            with pytest.raises(BudgetExceeded):
                tracker.start(spec())
        with tracker.budget(1) as rich:
            tracker.start(spec()).finish(USED)
            with pytest.raises(BudgetExceeded):
                tracker.start(spec())
    assert (outer.total, inner.total, rich.total) == (2 * COST, COST, COST)


def test_a_block_is_within_the_budgets_that_hold_anyway(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", "0.0035"))
    with tracker.budget(1):
        tracker.start(spec()).finish(USED)
        with pytest.raises(BudgetExceeded, match="'global'"):
            tracker.start(spec())


def test_a_block_may_count_requests(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock)
    with tracker.budget("2 requests") as spent:
        tracker.start(spec()).finish(USED)
        tracker.start(spec()).cached(USED)
        tracker.start(spec()).finish(USED)
        with pytest.raises(BudgetExceeded, match="2 requests"):
            tracker.start(spec())
    assert (spent.total, spent.saved) == (2 * COST, COST)


def test_a_block_without_a_limit_only_counts(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock)
    with tracker.track() as spent:
        tracker.start(spec()).finish(USED)
        tracker.start(spec()).fail(KeyError())
    assert (spent.total, spent.calls) == (COST, 2)
    assert ledger.statuses(clock()) == []


async def test_tasks_inside_a_block_belong_to_it_and_others_do_not(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock)
    entered = asyncio.Event()

    async def call() -> None:
        await asyncio.sleep(0)
        (await tracker.astart(spec())).finish(USED)

    async def outside() -> None:
        await entered.wait()
        await call()

    other = asyncio.create_task(outside())
    with tracker.budget(1) as spent:
        entered.set()
        await asyncio.gather(call(), call())
        await other
    assert spent.total == 2 * COST
    assert ledger.totals([])[0].cost == 3 * 3_500_000


def test_threads_count_if_they_run_in_a_copy_of_the_context(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock)

    def call() -> None:
        tracker.start(spec()).finish(USED)

    with ThreadPoolExecutor(2) as pool, tracker.budget(1) as spent:
        pool.submit(copy_context().run, call).result()
        pool.submit(call).result()
    assert spent.total == COST


@pytest.mark.parametrize("limit", ["a lot", "-1", 0.5])
def test_a_limit_that_cannot_be_used_is_refused_at_once(
    ledger: Ledger, clock: FakeClock, limit: str
) -> None:
    with pytest.raises(ConfigurationError), make_tracker(ledger, clock).budget(limit):
        pytest.fail("the block was entered")


def test_an_error_in_the_block_passes_through(ledger: Ledger, clock: FakeClock) -> None:
    with pytest.raises(KeyError), make_tracker(ledger, clock).budget(1):
        raise KeyError
