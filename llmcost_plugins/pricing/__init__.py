"""Prices as data: the catalog, the cost of a usage, and the most a call can cost."""

from llmcost_plugins.pricing.catalog import Catalog
from llmcost_plugins.pricing.cost import Cost, Line, cost_of
from llmcost_plugins.pricing.estimate import CallSize, Estimate, Mode, estimate, upper_bound
from llmcost_plugins.pricing.rates import Prices
from llmcost_plugins.pricing.resolution import Match, Resolution

__all__ = [
    "CallSize",
    "Catalog",
    "Cost",
    "Estimate",
    "Line",
    "Match",
    "Mode",
    "Prices",
    "Resolution",
    "cost_of",
    "estimate",
    "upper_bound",
]
