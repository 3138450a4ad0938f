"""Cost control for LLM applications, inside the Python process.

Calls are recorded with their exact cost, budgets hold money before a call is made, and reports say
who spent it. This package knows no framework; `llmcost_langchain` and `llmcost_llamaindex` connect
it with LangChain and LlamaIndex.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmcost_plugins.budgets import Budget, BudgetStatus
    from llmcost_plugins.cache import CompletionCache
    from llmcost_plugins.errors import (
        AllModelsFailed,
        BudgetExceeded,
        ConfigurationError,
        LedgerUnavailable,
        LLMCostError,
        PriceUnknown,
    )
    from llmcost_plugins.labels import attribute
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
    "CostTracker",
    "LLMCostError",
    "LedgerUnavailable",
    "PriceUnknown",
    "Settings",
    "Usage",
    "attribute",
    "default_tracker",
    "set_default_tracker",
]

_HOME = {
    "Budget": "budgets",
    "BudgetStatus": "budgets",
    "CompletionCache": "cache",
    "CostTracker": "tracker",
    "Settings": "settings",
    "Usage": "usage",
    "attribute": "labels",
    "default_tracker": "tracker",
    "set_default_tracker": "tracker",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that the import itself stays light."""
    if name == "__version__":
        from importlib.metadata import version

        return version("llmcost-plugins")
    if name in __all__:
        from importlib import import_module

        value = getattr(import_module(f"llmcost_plugins.{_HOME.get(name, 'errors')}"), name)
        globals()[name] = value
        return value
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
