"""Situations in which calls are billed: what each is, and a list of them that functions join."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Outcome = Literal["exact", "estimated", "nothing"]

W = TypeVar("W")


@dataclass(frozen=True, slots=True)
class BilledSituation(Generic[W]):
    """One situation.

    Attributes:
        name: what happens.
        play: makes it happen.
        outcome: whether we know the cost exactly, estimate it, or cannot see it.
        entries: how many entries it leaves.
        reason: why it is not exact.
        held: whether all of it was held for before it was sent.
    """

    name: str
    play: Callable[[W], Awaitable[object]]
    outcome: Outcome
    entries: int
    reason: str
    held: bool


class Situations(list[BilledSituation[W]]):
    """The situations of one framework."""

    def add(  # noqa: PLR0913 - keyword-only facts with defaults
        self,
        name: str,
        *,
        outcome: Outcome = "exact",
        entries: int = 1,
        reason: str = "",
        held: bool = True,
        needs: bool = True,
    ) -> Callable[[Callable[[W], Awaitable[object]]], Callable[[W], Awaitable[object]]]:
        """Add a function as a situation, if what it needs is installed."""

        def join(play: Callable[[W], Awaitable[object]]) -> Callable[[W], Awaitable[object]]:
            if needs:
                self.append(BilledSituation(name, play, outcome, entries, reason, held))
            return play

        return join
