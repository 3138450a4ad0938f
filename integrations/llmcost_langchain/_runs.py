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
        self._roots.setdefault(run_id, self.root_of(run_id, parent))

    def leave(self, run_id: UUID) -> None:
        """Note that a run has ended."""
        self._roots.pop(run_id, None)

    def of(self, run_id: UUID) -> UUID:
        """Return the outermost run; the run itself where nothing is known of it."""
        return self._roots.get(run_id, run_id)

    def root_of(self, run_id: UUID, parent: UUID | None) -> UUID:
        """Return the outermost run of a run that begins.

        Without a parent it belongs to the run whose code is running, if that is open: some of
        LangChain's own runnables lose the parent (`with_fallbacks`), and so does a call with
        callbacks of its own.
        """
        if parent is None:
            parent = running_run()
            if parent not in self._roots:
                return run_id
        return self.of(parent)


def running_run() -> UUID | None:
    """Return the run whose code is running here, as LangChain's context says."""
    from langchain_core.runnables.config import var_child_runnable_config

    config = var_child_runnable_config.get()
    manager = config.get("callbacks") if config else None
    parent = getattr(manager, "parent_run_id", None)
    return parent if isinstance(parent, UUID) else None


run_roots: Final = RunRoots()
"""One for the process: handlers are many, runs are the same for all of them."""
