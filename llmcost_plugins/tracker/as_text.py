"""Ledgers and budgets in the form of the environment, where objects are asked for."""

from pathlib import Path

from llmcost_plugins.budgets import Budget
from llmcost_plugins.errors import ConfigurationError


def refuse_text(ledger: object, budgets: object) -> None:
    """Refuse what only `CostTracker.from_env` reads.

    Raises:
        ConfigurationError: one is text, or a single budget; the message says what to write.
    """
    if isinstance(ledger, str | Path):
        text, what = str(ledger), "no ledger; of llmcost_plugins.ledger, write open_ledger"
    elif isinstance(budgets, str):
        text, what = budgets, "no list of budgets; of llmcost_plugins.budgets, write parse_budgets"
    elif isinstance(budgets, Budget):
        msg = f"budgets={budgets!r} is one budget; write a list of budgets"
        raise ConfigurationError(msg)
    else:
        return
    msg = f"{text!r} is {what}({text!r})"
    raise ConfigurationError(msg)
