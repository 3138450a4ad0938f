"""Blocks of code with a limit of their own."""

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from llmcost_plugins.blocks import Block, block_bucket, entered
from llmcost_plugins.budgets import Budget
from llmcost_plugins.errors import LedgerUnavailable
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.spending import Spending

_log: Final = logging.getLogger("llmcost_plugins")


@contextmanager
def limited(ledger: Ledger, budget: Budget) -> Iterator[Spending]:
    """Count what is called inside, in a bucket of the ledger that is there as long as the block."""
    bucket = block_bucket(uuid.uuid4().hex, budget)
    try:
        with entered(Block(Spending(), bucket)) as spending:
            yield spending
    finally:
        try:
            ledger.drop(bucket.key)
        except LedgerUnavailable:
            _log.warning("the bucket of a block could not be removed", exc_info=True)
