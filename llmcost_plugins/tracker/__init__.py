"""One object that prices, holds, settles and records calls, and the one of the process."""

from llmcost_plugins.tracker.cost_tracker import CostTracker
from llmcost_plugins.tracker.default import default_tracker, set_default_tracker

__all__ = ["CostTracker", "default_tracker", "set_default_tracker"]
