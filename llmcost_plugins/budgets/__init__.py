"""Budgets: what may be spent, by whom, in which period. Pure: no clock, no store."""

from llmcost_plugins.budgets.amounts import Unit, amount_of
from llmcost_plugins.budgets.book import BudgetBook
from llmcost_plugins.budgets.bucket import Bucket
from llmcost_plugins.budgets.budget import WARN_AT, Action, Budget, BudgetKey
from llmcost_plugins.budgets.env_form import parse_budgets, read_budgets
from llmcost_plugins.budgets.scopes import parse_scope
from llmcost_plugins.budgets.status import BudgetStatus
from llmcost_plugins.budgets.subjects import Subject, parse_subject

__all__ = [
    "WARN_AT",
    "Action",
    "Bucket",
    "Budget",
    "BudgetBook",
    "BudgetKey",
    "BudgetStatus",
    "Subject",
    "Unit",
    "amount_of",
    "parse_budgets",
    "parse_scope",
    "parse_subject",
    "read_budgets",
]
