"""Budgets as they are written in the environment: ``global=1000/month; run=0.50``."""

import re
from typing import Final

from llmcost_plugins.budgets.book import BudgetBook
from llmcost_plugins.budgets.budget import Budget
from llmcost_plugins.budgets.scopes import has_another
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.periods import Period

_EXAMPLE: Final = "'team:alpha=200/month; user:*=500 requests/day:raise; run=0.50'"


def parse_budgets(text: str, *, where: str = "LLMCOST_BUDGETS") -> tuple[Budget, ...]:
    """Read budgets in their env form: ``scope=amount[/period][:action]`` joined by ``;``.

    A scope's value may stand in double quotes, and then contain anything but one.

    Args:
        text: the budgets.
        where: the variable or file, for the error message.

    Raises:
        ConfigurationError: the text cannot be read; the message names the part.
    """
    try:
        return read_budgets(text)
    except ConfigurationError as error:
        msg = f"{where}: {error}. A good value is {_EXAMPLE}"
        raise ConfigurationError(msg) from None


def read_budgets(text: str) -> tuple[Budget, ...]:
    """Do what `parse_budgets` does; the error does not say where the text comes from."""
    items = (item.strip() for item in re.findall(r'(?:[^;"]|"[^"]*"?)+', text))
    budgets = tuple(_parse_budget(item) for item in items if item)
    if any(budget.scope == "block" for budget in budgets):
        msg = "the limit of a block is set in code: with tracker.budget('0.50')"
        raise ConfigurationError(msg)
    BudgetBook(budgets)  # refuses two of the same scope and period
    return budgets


def _parse_budget(item: str) -> Budget:
    scope, equals, rest = item.rpartition("=")
    if not equals or not scope.strip():
        msg = f"{item!r} is not of the form scope=amount/period"
        raise ConfigurationError(msg)
    if '"' not in scope and has_another(scope):
        # Else all but the last budget would be the value of a label, and never apply.
        msg = (
            f"{item!r} has budgets joined by ','; join them by ';'. If it is one budget, write the "
            "value of its scope in double quotes"
        )
        raise ConfigurationError(msg)
    amount_and_period, colon, action = rest.partition(":")
    amount, slash, period = amount_and_period.partition("/")
    return Budget(
        scope.strip(),
        amount.strip(),
        period.strip() if slash else Period.TOTAL,
        action.strip() if colon else None,
    )
