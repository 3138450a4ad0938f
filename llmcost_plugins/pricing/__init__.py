"""Prices as data: the catalog, the cost of a usage, and the most a call can cost."""

from llmcost_plugins.pricing.catalog import Catalog, Match, Resolution
from llmcost_plugins.pricing.cost import Cost, cost_of
from llmcost_plugins.pricing.estimate import CallSize, upper_bound
from llmcost_plugins.pricing.rates import Prices

__all__ = [
    "CallSize",
    "Catalog",
    "Cost",
    "Match",
    "Prices",
    "Resolution",
    "cost_of",
    "upper_bound",
]
