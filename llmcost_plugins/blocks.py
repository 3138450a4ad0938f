"""Blocks of code that count what is spent inside, and may be given a limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from llmcost_plugins.budgets import Bucket, Budget
from llmcost_plugins.spending import Spending


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
