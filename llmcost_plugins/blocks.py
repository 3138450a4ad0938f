"""Blocks of code that count what is spent inside, and may be given a limit."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal

from llmcost_plugins.budgets import Bucket, Budget
from llmcost_plugins.money import nano_to_usd


class Spending:
    """What the calls of a block have cost so far; the value of its ``with`` statement."""

    __slots__ = ("_cost", "_count", "_lock", "_saved")

    def __init__(self) -> None:
        # Reentrant: the garbage collector may end an abandoned stream wherever this thread is.
        self._lock = threading.RLock()
        self._cost = self._saved = self._count = 0

    def add(self, cost: int, saved: int) -> None:
        """Count one call, in nano-dollars."""
        with self._lock:
            self._cost += cost
            self._saved += saved
            self._count += 1

    @property
    def total(self) -> Decimal:
        """USD spent by the calls that have ended."""
        return nano_to_usd(self._cost)

    @property
    def saved(self) -> Decimal:
        """USD that cached answers among them would have cost."""
        return nano_to_usd(self._saved)

    @property
    def calls(self) -> int:
        """How many calls have ended."""
        return self._count


@dataclass(frozen=True, slots=True)
class Block:
    """One entered block.

    Attributes:
        spending: what it counts.
        bucket: its limit; `None` when it only counts.
    """

    spending: Spending
    bucket: Bucket | None


_blocks: ContextVar[tuple[Block, ...]] = ContextVar("llmcost_blocks", default=())


def current_blocks() -> tuple[Block, ...]:
    """Return the blocks around the running code, outermost first."""
    return _blocks.get()


def block_bucket(block_id: str, budget: Budget) -> Bucket:
    """Return the bucket of a block, which no other call belongs to."""
    return Bucket(
        key=f"block|{block_id}",
        scope=f"block:{block_id}",
        limit=budget.limit_count,
        starts_at=None,
        resets_at=None,
        match={"block": block_id},
        budget=budget,
        unit=budget.unit,
    )


@contextmanager
def entered(block: Block) -> Iterator[Spending]:
    """Count what is called inside; nests, and follows tasks and copied contexts."""
    token = _blocks.set((*_blocks.get(), block))
    try:
        yield block.spending
    finally:
        _blocks.reset(token)
