"""What another process needs to count in the same ledger, under the same budgets and prices.

It is pickled with models and lies in queues and caches, so it holds no secret: where alerts are
sent is not in it. Alerts of such a process wait in the ledger, and are sent by the one that has the
webhook, at its next call or when its tracker is closed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from llmcost_plugins.budgets import Budget
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.pricing.catalog import shared_catalog, shared_files
from llmcost_plugins.tracker import CostTracker


class Transfer(NamedTuple):
    """A tracker, as it travels. Budgets that are set in the ledger are found there.

    Attributes:
        ledger: its URL.
        budgets: those of the settings and of the program.
        prices: the files of the prices: fetched, and your own.
        options: the other arguments of the tracker.
    """

    ledger: str
    budgets: tuple[Budget, ...]
    prices: tuple[Path | None, Path | None]
    options: Mapping[str, Any]

    @classmethod
    def of(cls, tracker: CostTracker) -> "Transfer":
        """Take down what *tracker* is made of.

        Raises:
            ConfigurationError: its ledger is in memory, or its prices were made in code, and would
                be others there.
        """
        url = getattr(tracker.ledger, "url", None)
        if url is None:
            msg = (
                f"another process cannot reach the tracker's ledger, a "
                f"{type(tracker.ledger).__name__} in memory; use a file: 'sqlite:///…'"
            )
            raise ConfigurationError(msg)
        prices = shared_files(tracker.catalog)
        if prices is None:
            msg = (
                "another process cannot use the catalog of prices that was made in code; put your "
                "prices into a file and name it in LLMCOST_PRICES"
            )
            raise ConfigurationError(msg)
        return cls(url, tracker.limits.own, prices, tracker.options)

    def tracker(self) -> CostTracker:
        """Make the tracker of this process.

        Raises:
            ConfigurationError: a file of prices cannot be used here.
            LedgerUnavailable: the ledger cannot be opened here.
        """
        return CostTracker(
            open_ledger(self.ledger, self.options["zone"]),
            self.budgets,
            catalog=shared_catalog(*self.prices),
            **self.options,
        )
