"""Which requests are cached."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from llmcost_plugins.budgets import Budget, BudgetBook, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the rules look at in a request.

    Attributes:
        wanted: what the caller says: cache it, do not, or nothing (`None`).
        temperature: the temperature asked for, if any.
        answers_tools: whether it brings results of tools, which the model has not seen yet.
    """

    wanted: bool | None = None
    temperature: float | None = None
    answers_tools: bool = False


class CacheRules:
    """Says which requests are cached.

    By default all but those with a temperature above 0, whose answers are meant to differ, and
    those that bring results of tools: what follows them may act again. A caller's own word for one
    call wins over both.

    Args:
        sampled: whether answers of a temperature above 0 are cached.
        after_tools: whether answers to results of tools are.
        skip: scopes that are never cached, as budgets write them, e.g. ``feature:legal``,
            ``model:gpt-4o+team:alpha``, ``user:*``.

    Raises:
        ConfigurationError: a scope cannot be used.
    """

    def __init__(
        self, *, sampled: bool = False, after_tools: bool = False, skip: Iterable[str] = ()
    ) -> None:
        self.sampled = sampled
        self.after_tools = after_tools
        scopes = [Budget(scope, 0) for scope in dict.fromkeys(skip)]
        self._book = BudgetBook(scopes) if scopes else None

    def reason_against(self, asked: Asked, subject: Callable[[], Subject], at: datetime) -> str:
        """Return why a request is not cached; an empty text if it is.

        Args:
            asked: the request.
            subject: gives the model and the labels of the call; asked for only where rules look.
            at: now.
        """
        if asked.wanted is False:
            return "the call says so"
        if self._book is not None and self._book.buckets(subject(), at):
            return "a rule says so"
        if asked.wanted:
            return ""
        if asked.temperature and not self.sampled:
            return "temperature above 0"
        return "results of tools" if asked.answers_tools and not self.after_tools else ""
