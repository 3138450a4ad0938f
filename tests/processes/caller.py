"""A process that sends calls to a provider until its budget is used up. Run as: caller.py JSON.

The JSON object has the fields of `Plan`. Prints ``ready``, then a line for each call that it
settled (its id and its cost in nano-dollars) and, when it gives up, ``refused`` with the limit.
"""

import asyncio
import json
import os
import random
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx

from llmcost_plugins.budgets import Budget
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.errors import BudgetExceeded
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.ledger.sqlite import SQLiteLedger
from llmcost_plugins.pricing import CallSize, Catalog
from llmcost_plugins.pricing.sources import packaged_snapshot
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage

LARGEST_PROMPT = 400
LARGEST_ANSWER = 100
HEADERS = {"authorization": "Bearer sk-test"}


@dataclass(frozen=True)
class Plan:
    ledger: str
    provider: str
    limit: str
    mode: str = "threads"
    callers: int = 8
    hold_wait: float = 1.0
    call_max: float = 60.0
    hold_lease: float = 60.0
    until: int = 0
    """Give up only when refused by a limit of at least so many nano-dollars."""
    stop_at: str = ""
    """Where to stop for ever in the first call: held, answered or transaction."""


PLAN = Plan(**json.loads(sys.argv[1]))


def say(line: str) -> None:
    # One write, so that the lines of several threads stay whole.
    os.write(1, f"{line}\n".encode())


def new_tracker() -> CostTracker:
    return CostTracker(
        open_ledger(PLAN.ledger),
        [Budget("global", PLAN.limit), Budget("model:*", PLAN.limit, "year")],
        catalog=Catalog(packaged_snapshot()),
        hold_wait=timedelta(seconds=PLAN.hold_wait),
        call_max=timedelta(seconds=PLAN.call_max),
        hold_lease=timedelta(seconds=PLAN.hold_lease),
        sinks=(),
    )


def request() -> tuple[str, int]:
    return "word " * random.randint(1, LARGEST_PROMPT // 5), random.randint(1, LARGEST_ANSWER)


def planned() -> tuple[CallSpec, dict[str, Any]]:
    text, cap = request()
    # Half of the calls are held as a handler holds them, half as a router does.
    watched = random.random() < 0.5
    size = CallSize(len(text) + 64, cap)
    spec = CallSpec(uuid.uuid4().hex, "gpt-4o", "openai", size, watched=watched)
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], "max_tokens": cap}
    return spec, {**body, "user": spec.id}


def settle(call: OpenCall, response: httpx.Response) -> None:
    response.raise_for_status()
    reported = response.json()["usage"]
    outcome = call.finish(
        Usage.from_totals(reported["prompt_tokens"], reported["completion_tokens"])
    )
    if outcome is not None:
        say(f"{call.spec.id} {outcome.cost}")


def gives_up(error: BudgetExceeded) -> bool:
    refusal = error.refusal
    if refusal.only_holds_stand_in_the_way:
        return False
    say(f"refused {refusal.limit}")
    return refusal.limit >= PLAN.until


def stop(where: str, tracker: CostTracker) -> None:
    if where != PLAN.stop_at:
        return
    if where == "transaction":
        assert isinstance(tracker.ledger, SQLiteLedger)
        with tracker.ledger._database.writing() as db:
            db.execute("UPDATE buckets SET spent = spent + 1000000")
            say("stopped")
            time.sleep(600)
    say("stopped")
    time.sleep(600)


def call_in_thread(tracker: CostTracker, post: Callable[..., httpx.Response]) -> None:
    while True:
        spec, body = planned()
        try:
            call = tracker.start(spec)
        except BudgetExceeded as error:
            if gives_up(error):
                return
            time.sleep(0.01)
            continue
        stop("held", tracker)
        response = post(f"{PLAN.provider}/chat/completions", json=body)
        stop("answered", tracker)
        stop("transaction", tracker)
        settle(call, response)


def call_through_router(tracker: CostTracker, client: httpx.Client) -> None:
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    from llmcost_langchain import FallbackRouter

    model = ChatOpenAI(
        model="gpt-4o",
        api_key=SecretStr("none"),
        base_url=PLAN.provider,
        http_client=client,
        max_retries=0,
    )
    router = FallbackRouter(models=[model], tracker=tracker)
    while True:
        text, cap = request()
        try:
            router.invoke(text, max_tokens=cap)
        except BudgetExceeded as error:
            if gives_up(error):
                return
            time.sleep(0.01)


async def call_in_task(tracker: CostTracker, client: httpx.AsyncClient) -> None:
    while True:
        spec, body = planned()
        try:
            call = await tracker.astart(spec)
        except BudgetExceeded as error:
            if gives_up(error):
                return
            await asyncio.sleep(0.01)
            continue
        settle(call, await client.post(f"{PLAN.provider}/chat/completions", json=body))


async def in_tasks(tracker: CostTracker) -> None:
    limits = httpx.Limits(max_connections=PLAN.callers)
    async with httpx.AsyncClient(headers=HEADERS, timeout=60, limits=limits) as client:
        await asyncio.gather(*(call_in_task(tracker, client) for _ in range(PLAN.callers)))


def in_threads(tracker: CostTracker) -> None:
    limits = httpx.Limits(max_connections=PLAN.callers)
    with httpx.Client(headers=HEADERS, timeout=60, limits=limits) as client:
        target: Callable[[], None] = lambda: call_in_thread(tracker, client.post)  # noqa: E731
        if PLAN.mode == "router":
            target = lambda: call_through_router(tracker, client)  # noqa: E731
        threads = [threading.Thread(target=target) for _ in range(PLAN.callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def in_forked_children(tracker: CostTracker) -> None:
    """Do what a pre-forking server does: use the ledger, fork, and go on in all processes."""
    for watched in (True, False):
        spec, body = planned()
        call = tracker.start(CallSpec(spec.id, spec.model, "openai", spec.size, watched=watched))
        url = f"{PLAN.provider}/chat/completions"
        settle(call, httpx.post(url, json=body, headers=HEADERS))
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            in_threads(tracker)
            os._exit(1 if tracker.failures else 0)
        children.append(child)
    in_threads(tracker)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4


def main() -> None:
    tracker = new_tracker()
    say("ready")
    if PLAN.mode == "tasks":
        asyncio.run(in_tasks(tracker))
    elif PLAN.mode == "fork":
        in_forked_children(tracker)
    else:
        in_threads(tracker)
    assert tracker.failures == 0
    tracker.close()


main()
