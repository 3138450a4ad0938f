"""A process that makes calls under a budget. Run as: worker.py URL LIMIT THREADS CALLS [hold].

Prints a line for each call that it settled: its id and its cost in nano-dollars. With ``hold`` it
makes one call, says so and never ends it.
"""

import os
import random
import sys
import threading
import time
from datetime import timedelta

from llmcost_plugins.budgets import Budget
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.errors import BudgetExceeded
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.pricing import CallSize, Catalog
from llmcost_plugins.pricing.sources import packaged_snapshot
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage

URL, LIMIT, THREADS, CALLS, *MODE = sys.argv[1:]


def spec(call_id: str) -> CallSpec:
    """Describe a call to gpt-4o that costs at most 3,500,000 nano-dollars."""
    return CallSpec(call_id, "gpt-4o", "openai", CallSize(1000, 100))


def work(tracker: CostTracker, name: str) -> None:
    """Make calls until the budget is used up."""
    for n in range(int(CALLS)):
        try:
            call = tracker.start(spec(f"{os.getpid()}-{name}-{n}"))
        except BudgetExceeded as error:
            if error.refusal.only_holds_stand_in_the_way:
                continue
            return
        usage = Usage(input=random.randint(0, 1000), output=random.randint(0, 100))
        outcome = call.finish(usage)
        assert outcome is not None
        # One write for the line, so that lines of several threads stay whole.
        os.write(1, f"{call.spec.id} {outcome.cost}\n".encode())


def main() -> None:
    """Do what the arguments say."""
    tracker = CostTracker(
        open_ledger(URL),
        [Budget("global", LIMIT), Budget("model:*", LIMIT, "year")],
        catalog=Catalog(packaged_snapshot()),
        hold_wait=timedelta(seconds=5),
        call_max=timedelta(seconds=60),
    )
    if MODE:
        tracker.start(spec("held"))
        os.write(1, b"held\n")
        time.sleep(60)
        return
    threads = [threading.Thread(target=work, args=(tracker, str(n))) for n in range(int(THREADS))]
    os.write(1, b"ready\n")
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tracker.failures == 0
    tracker.close()


main()
