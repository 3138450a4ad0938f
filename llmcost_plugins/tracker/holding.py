"""The start of a call: the most that it can cost is held, or it is refused."""

from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from typing import Final

from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.errors import BudgetExceeded, LedgerUnavailable
from llmcost_plugins.guard import Guard
from llmcost_plugins.ledger import Hold, Ledger
from llmcost_plugins.tracker.entry_writer import EntryWriter
from llmcost_plugins.tracker.open_calls import OpenCalls
from llmcost_plugins.tracker.opening import Opening
from llmcost_plugins.tracker.refusals import Refusals

_handed_on: Final[ContextVar[OpenCall | None]] = ContextVar("llmcost_handed_on", default=None)
"""The call that another framework was just asked to make; see `CallSpec.handed_on`."""


class Holding:
    """Starts calls. See the verbs of `CostTracker` that have the same names.

    Args:
        ledger: where money is held.
        guard: holds it, and waits where that helps.
        opening: makes the calls.
        open_calls: those that have not ended.
        refusals: judges those that get no hold.
        writer: writes what still waits for the ledger, before more is held there.
        clock: returns the current aware instant.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that it brings together
        self,
        ledger: Ledger,
        guard: Guard,
        opening: Opening,
        open_calls: OpenCalls,
        refusals: Refusals,
        writer: EntryWriter,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._guard = guard
        self._opening = opening
        self._open_calls = open_calls
        self._refusals = refusals
        self._writer = writer
        self._clock = clock

    def start(self, spec: CallSpec) -> OpenCall:
        """Hold what the call can cost at most; adopt the hold if this call has one already."""
        adopted = self._open_calls.find(spec.id)
        if adopted is not None:
            return adopted
        call, hold = self._begun(spec)
        try:
            self._guard.hold(hold, may_wait=lambda: self._open_calls.may_wait(call))
        except (BudgetExceeded, LedgerUnavailable) as error:
            self._refusals.go_on_after(call, error)
        return self._opened(call)

    async def astart(self, spec: CallSpec) -> OpenCall:
        """Do what `start` does, and wait by awaiting."""
        adopted = self._open_calls.find(spec.id)
        if adopted is not None:
            return adopted
        call, hold = self._begun(spec)
        try:
            await self._guard.ahold(hold, may_wait=lambda: self._open_calls.may_wait(call))
        except (BudgetExceeded, LedgerUnavailable) as error:
            self._refusals.go_on_after(call, error)
        return self._opened(call)

    def refuse_if_spent(self, spec: CallSpec) -> None:
        """Stop a call of which nothing is known, where a budget is used up already."""
        call, hold = self._opening.at_least(spec, self._clock())
        try:
            self._guard.hold(hold, may_wait=lambda: False)
            self._ledger.release(spec.id)
        except (BudgetExceeded, LedgerUnavailable) as error:
            self._refusals.go_on_after(call, error)

    def _begun(self, spec: CallSpec) -> tuple[OpenCall, Hold]:
        outer = _handed_on.get()
        if outer is not None:
            self._take_over(outer)
        now = self._clock()
        self._writer.replay(now)
        return self._opening.at_most(spec, now)

    def _take_over(self, outer: OpenCall) -> None:
        """Give the money of a call back that was handed on to where one begins now."""
        _handed_on.set(None)
        if self._open_calls.has(outer):
            outer.release()

    def _opened(self, call: OpenCall) -> OpenCall:
        opened = self._open_calls.add(call)
        if opened.spec.handed_on:
            _handed_on.set(opened)
        return opened
