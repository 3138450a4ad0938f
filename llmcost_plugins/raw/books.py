"""What a tracker does for calls of raw clients."""

from typing import Protocol

from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.capping import Buyer
from llmcost_plugins.pricing import CallSize, Catalog, Prices
from llmcost_plugins.pricing.sizes import PromptSizer


class Books(Buyer, Protocol):
    """Where calls are held for and recorded: a `CostTracker`."""

    @property
    def catalog(self) -> Catalog:
        """The prices."""

    def sizer(self, model: str) -> PromptSizer:
        """Return what measures a prompt."""

    def output_cap(self, prices: Prices | None, size: CallSize) -> int:
        """Return the answer tokens per choice that a capped call of this size is held for."""

    def start(self, spec: CallSpec) -> OpenCall:
        """Hold for a call, or raise."""

    async def astart(self, spec: CallSpec) -> OpenCall:
        """Do what `start` does, and wait by awaiting."""

    def refuse_if_spent(self, spec: CallSpec) -> None:
        """Stop a call of which nothing is known, where a budget is used up already."""

    def start_late(self, spec: CallSpec) -> OpenCall:
        """Open a call that was made already; nothing is held for it."""
