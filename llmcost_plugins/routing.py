"""The ladder: which candidate of a router is tried next, and what that says at the end.

Framework-free. An adapter walks the attempts, in sync or async code alike::

    for attempt in Attempts(candidates, is_transient):
        with attempt:
            ... hold, call the candidate of attempt.index, return its answer
"""

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from llmcost_plugins.errors import AllModelsFailed, BudgetExceeded, ConfigurationError, PriceUnknown


class Attempt:
    """One candidate's turn. As a context manager it keeps an error that the next one may mend.

    Attributes:
        index: the candidate's place on the ladder.
        is_last: whether no candidate comes after this one.
        passed_over: the candidates before it, each with why it did not answer.
        committed: set it once output has reached the caller; from then on every error is let
            through, because a second candidate would repeat what was already given.
    """

    def __init__(self, attempts: "Attempts", index: int, *, is_last: bool) -> None:
        self._attempts = attempts
        self.index = index
        self.is_last = is_last
        self.committed = False

    @property
    def passed_over(self) -> list[tuple[str, str]]:
        """The candidates before this one, each with why it did not answer."""
        return [(name, _reason(error)) for name, error in self._attempts.failed]

    @property
    def may_wait(self) -> bool:
        """Whether the hold may wait for calls in flight: once per call, not per candidate."""
        return not any(
            isinstance(error, BudgetExceeded) and error.waited for _, error in self._attempts.failed
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is None or self.committed or not isinstance(error, Exception):
            return False
        if not self._attempts.may_fall_back(error):
            return False
        self._attempts.failed.append((self._attempts.names[self.index], error))
        return True


class Attempts:
    """Walks a ladder from the preferred to the cheapest candidate.

    A candidate is passed over when a budget that allows falling back refuses it, when it has no
    price under a budget, and on transient errors of its provider.

    Args:
        names: the candidates' names, for messages.
        is_transient: whether another candidate may succeed where this error happened.
        cheapest_first: whether to walk the ladder from its other end.

    Raises:
        ConfigurationError: there is no candidate.
        BudgetExceeded: budgets refused all candidates; the cheapest one's refusal.
        AllModelsFailed: no candidate answered, for several kinds of reasons.
    """

    def __init__(
        self,
        names: Sequence[str],
        is_transient: Callable[[Exception], bool],
        *,
        cheapest_first: bool = False,
    ) -> None:
        if not names:
            msg = "a router needs at least one model; pass them from preferred to cheapest"
            raise ConfigurationError(msg)
        self.names = names
        self.failed: list[tuple[str, Exception]] = []
        self._is_transient = is_transient
        self._cheapest_first = cheapest_first

    def __iter__(self) -> Iterator[Attempt]:
        order = list(range(len(self.names)))
        if self._cheapest_first:
            order.reverse()
        for index in order:
            yield Attempt(self, index, is_last=index == order[-1])
        raise self._give_up()

    def may_fall_back(self, error: Exception) -> bool:
        """Tell whether the next candidate may answer instead."""
        if isinstance(error, BudgetExceeded):
            return error.refusal.may_fall_back
        return isinstance(error, PriceUnknown) or self._is_transient(error)

    def _give_up(self) -> Exception:
        errors = [error for _, error in self.failed]
        if len(errors) == 1 or all(isinstance(error, BudgetExceeded) for error in errors):
            return errors[-1]
        reasons = [(name, _reason(error)) for name, error in self.failed]
        raised = AllModelsFailed(reasons)
        raised.__cause__ = errors[-1]
        return raised


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
