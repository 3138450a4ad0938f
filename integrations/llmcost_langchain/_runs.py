"""The outermost run of each run, so that a budget per run can find its bucket."""

from typing import Final
from uuid import UUID

_KEPT: Final = 10_000


class RunRoots:
    """Remembers for open runs which outermost run they belong to.

    Runs whose end is never reported are forgotten when many newer ones have come.
    """

    def __init__(self) -> None:
        self._roots: dict[UUID, UUID] = {}

    def enter(self, run_id: UUID, parent: UUID | None) -> None:
        """Note that a run has begun."""
        if len(self._roots) >= _KEPT:
            # Dicts keep the order of insertion: the first is the oldest.
            self._roots.pop(next(iter(self._roots), run_id), None)
        self._roots.setdefault(run_id, self.of(parent) if parent else run_id)

    def leave(self, run_id: UUID) -> None:
        """Note that a run has ended."""
        self._roots.pop(run_id, None)

    def of(self, run_id: UUID) -> UUID:
        """Return the outermost run; the run itself where nothing is known of it."""
        return self._roots.get(run_id, run_id)


run_roots: Final = RunRoots()
"""One for the process: handlers are many, runs are the same for all of them."""
