"""What `CostMiddleware` keeps in an agent's state, and what it counts by it."""

import threading
from collections.abc import Mapping
from typing import Annotated, Any, Final, NotRequired
from uuid import uuid4

from langchain.agents.middleware.types import AgentState, PrivateStateAttr

from llmcost_plugins.blocks import Block
from llmcost_plugins.budgets import Bucket, Budget
from llmcost_plugins.errors import LedgerUnavailable
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.money import nano_to_usd, usd_to_nano
from llmcost_plugins.spending import Spending

_KEPT: Final = 4096

Spent = dict[str, int]
"""Nano-dollars by the id of a counter. JSON-safe."""


def highest(known: Spent, new: Spent) -> Spent:
    """Merge counters; each only ever grows, so that updates may come in any order and twice."""
    return {key: max(known.get(key, 0), new.get(key, 0)) for key in {**known, **new}}


def latest(known: Spent, new: Spent) -> Spent:
    """Merge the counter of a run; that of a new run replaces it."""
    return highest(known, new) if known.keys() == new.keys() else new


class CostState(AgentState[Any]):
    """The state of an agent with `CostMiddleware`; both fields are hidden from its users.

    Attributes:
        llmcost_run: what the run has spent. Kept in the checkpoint, so that a run which is resumed
            after an interrupt goes on with the limit that it had.
        llmcost_thread: what the thread has spent, by each ledger that has counted it.
    """

    llmcost_run: NotRequired[Annotated[Spent, PrivateStateAttr, latest]]
    llmcost_thread: NotRequired[Annotated[Spent, PrivateStateAttr, highest]]


class Counter:
    """What one run or thread has spent, as far as this process knows.

    Attributes:
        id: its name in the state and, where there is a limit, in the ledger.
        spending: what calls have cost that this process made for it.
    """

    __slots__ = ("_base", "_lock", "id", "spending")

    def __init__(self, counter_id: str) -> None:
        self.id = counter_id
        self.spending = Spending()
        self._base = 0
        self._lock = threading.Lock()

    @property
    def nano(self) -> int:
        """What is spent, in nano-dollars."""
        return self._base + usd_to_nano(self.spending.total)

    def catch_up(self, seen: int) -> None:
        """Take over what others are known to have spent: a checkpoint or the ledger says so."""
        with self._lock:
            self._base += max(0, seen - self.nano)


class Counters:
    """The counters of one kind, each with a bucket of its own where there is a limit.

    Args:
        scope: what a refusal calls the limit.
        limit: nano-dollars; `None` to count only.
    """

    def __init__(self, scope: str, limit: int | None) -> None:
        self.scope = scope
        self.limit = limit
        # Built here, so that a limit beyond what the ledger can hold is refused at once.
        self._budget = None if limit is None else Budget("block", nano_to_usd(limit))
        self._counters: dict[str, Counter] = {}
        self._begun: dict[tuple[str, frozenset[str]], str] = {}
        self._lock = threading.Lock()

    def find(self, key: str, spent: Mapping[str, int], ledger: Ledger) -> Counter:
        """Return the counter to go on with.

        One of the state, if its money was counted in this ledger; a new one otherwise. Runs that
        begin at the same time, before any has written its state, get the same one.

        Args:
            key: names the run or thread.
            spent: what its state says.
            ledger: where buckets are counted.
        """
        with self._lock:
            for counter_id, nano in spent.items():
                known = self._counters.get(counter_id) or self._met(counter_id, nano, ledger)
                if known is not None:
                    known.catch_up(nano)
                    return known
            began = (key, frozenset(spent))
            counter_id = self._begun.get(began) or uuid4().hex
            _keep(self._begun, began, counter_id)
            return self._counters.get(counter_id) or self._made(counter_id)

    def _met(self, counter_id: str, nano: int, ledger: Ledger) -> Counter | None:
        """Return the counter of another process, or of a former one, unless it counts elsewhere."""
        if self._budget is None:
            return self._made(counter_id)
        bucket = _bucket_key(counter_id)
        try:
            standing = ledger.standing([bucket]).get(bucket)
        except LedgerUnavailable:
            return self._made(counter_id)  # the hold that follows says so
        if standing is None or standing[0] < nano:
            # A new one then: the two together are what is spent.
            return self._made(counter_id) if not nano else None
        counter = self._made(counter_id)
        counter.catch_up(standing[0])
        return counter

    def _made(self, counter_id: str) -> Counter:
        counter = Counter(counter_id)
        _keep(self._counters, counter_id, counter)
        return counter

    def block(self, counter: Counter, spent: Mapping[str, int]) -> Block:
        """Return what charges a call to the counter, and holds it to the limit."""
        if self._budget is None or self.limit is None:
            return Block(counter.spending, None)
        elsewhere = sum(nano for key, nano in spent.items() if key != counter.id)
        bucket = Bucket(
            key=_bucket_key(counter.id),
            scope=self.scope,
            limit=max(0, self.limit - elsewhere),
            starts_at=None,
            resets_at=None,
            match={"block": counter.id},
            budget=self._budget,
        )
        return Block(counter.spending, bucket)

    def end(self, counter: Counter, ledger: Ledger) -> None:
        """Forget a counter that is not used any more; raises what `Ledger.drop` does."""
        with self._lock:
            self._counters.pop(counter.id, None)
        if self._budget is not None:
            ledger.drop(_bucket_key(counter.id))


def _bucket_key(counter_id: str) -> str:
    return f"block|agent:{counter_id}"


def _keep(kept: dict[Any, Any], key: Any, value: Any) -> None:
    """Put in; where there are many, the one put in first goes."""
    if key not in kept and len(kept) >= _KEPT:
        del kept[next(iter(kept))]
    kept[key] = value
