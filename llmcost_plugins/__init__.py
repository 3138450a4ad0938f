"""Cost control for LLM applications, inside the Python process.

Calls are recorded with their exact cost, budgets hold money before a call is made, and reports say
who spent it. This package knows no framework; `llmcost_langchain` and `llmcost_llamaindex` connect
it with LangChain and LlamaIndex.
"""

from typing import TYPE_CHECKING, Any

from llmcost_plugins.lazy import lazy_names

if TYPE_CHECKING:
    from llmcost_plugins.budgets import Budget, BudgetStatus
    from llmcost_plugins.cache import CompletionCache
    from llmcost_plugins.context import in_context
    from llmcost_plugins.cool_downs import CoolDowns
    from llmcost_plugins.decorator import track_cost
    from llmcost_plugins.errors import (
        AllModelsFailed,
        BudgetExceeded,
        ConfigurationError,
        LedgerUnavailable,
        LLMCostError,
        PriceUnknown,
    )
    from llmcost_plugins.labels import attribute
    from llmcost_plugins.reporter import CostReporter
    from llmcost_plugins.rules import Rule
    from llmcost_plugins.settings import Settings
    from llmcost_plugins.tracker import CostTracker, default_tracker, set_default_tracker
    from llmcost_plugins.usage import Usage

__all__ = [
    "AllModelsFailed",
    "Budget",
    "BudgetExceeded",
    "BudgetStatus",
    "CompletionCache",
    "ConfigurationError",
    "CoolDowns",
    "CostReporter",
    "CostTracker",
    "LLMCostError",
    "LedgerUnavailable",
    "PriceUnknown",
    "Rule",
    "Settings",
    "Usage",
    "attribute",
    "default_tracker",
    "in_context",
    "set_default_tracker",
    "track_cost",
]

_load = lazy_names(
    __name__,
    {
        **dict.fromkeys(__all__, "errors"),
        **dict.fromkeys(("Budget", "BudgetStatus"), "budgets"),
        **dict.fromkeys(("CostTracker", "default_tracker", "set_default_tracker"), "tracker"),
        "CompletionCache": "cache",
        "CoolDowns": "cool_downs",
        "CostReporter": "reporter",
        "Rule": "rules",
        "Settings": "settings",
        "Usage": "usage",
        "attribute": "labels",
        "in_context": "context",
        "track_cost": "decorator",
    },
)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("llmcost-plugins")
    return _load(name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
