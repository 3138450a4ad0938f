"""The ladder: which candidate of a router is tried next, and what that says at the end.

Framework-free. An adapter walks the attempts, in sync or async code alike::

    for attempt in Attempts(candidates, is_transient):
        with attempt:
            ... hold, call the candidate of attempt.index, return its answer
"""

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from llmcost_plugins.errors import (
    AllModelsFailed,
    BudgetExceeded,
    ConfigurationError,
    ModelUnsuitable,
    PriceUnknown,
)


class Attempt:
    """One candidate's turn. As a context manager it keeps an error that the next one may mend.

    Attributes:
        index: the candidate's place on the ladder.
        preferred: the place of the one that was to be asked first.
        is_last: whether no candidate comes after this one.
        passed_over: the candidates before it, each with why it did not answer.
        committed: set it once output has reached the caller; from then on every error is let
            through, because a second candidate would repeat what was already given.
    """

    def __init__(self, attempts: "Attempts", index: int, *, is_last: bool) -> None:
        self._attempts = attempts
        self.index = index
        self.preferred = attempts.preferred
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
        self._attempts.note(self.index, error)
        return True


class Attempts:
    """Walks a ladder from the preferred to the cheapest candidate.

    A candidate is passed over when a budget that allows falling back refuses it, when it has no
    price under a budget, when it cannot do the call, and on transient errors of its provider.

    Args:
        names: the candidates' names, for messages.
        is_transient: whether another candidate may succeed where this error happened.
        order: their indexes, in the order in which they are asked; by default that of *names*.
        preferred: the index of the one that would be asked first if budgets were not thin and no
            provider had failed; by default the first in that order.
        on_failure: told of each candidate that was passed over, and why.

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
        order: Sequence[int] | None = None,
        preferred: int | None = None,
        on_failure: Callable[[int, Exception], None] = lambda _index, _error: None,
    ) -> None:
        if not names:
            msg = "a router needs at least one model; pass them from preferred to cheapest"
            raise ConfigurationError(msg)
        self.names = names
        self.failed: list[tuple[str, Exception]] = []
        self._is_transient = is_transient
        self._on_failure = on_failure
        self._order = range(len(names)) if order is None else order
        self.preferred = self._order[0] if preferred is None else preferred

    def __iter__(self) -> Iterator[Attempt]:
        for index in self._order:
            yield Attempt(self, index, is_last=index == self._order[-1])
        raise self._give_up()

    def note(self, index: int, error: Exception) -> None:
        """Note why a candidate was passed over."""
        self.failed.append((self.names[index], error))
        self._on_failure(index, error)

    def may_fall_back(self, error: Exception) -> bool:
        """Tell whether the next candidate may answer instead."""
        if isinstance(error, BudgetExceeded):
            return error.refusal.may_fall_back
        return isinstance(error, PriceUnknown | ModelUnsuitable) or self._is_transient(error)

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
