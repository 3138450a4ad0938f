"""One request's visit to the cache: find its answer, wait for it, or be the one who asks."""

import asyncio
import time
from collections.abc import Generator
from dataclasses import replace
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

from llmcost_plugins.cache.counting import Counter
from llmcost_plugins.cache.entries import CachedAnswer
from llmcost_plugins.cache.flights import Flights
from llmcost_plugins.labels import Labels

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.05
_LONGER: Final = 1.5
_T = TypeVar("_T")


class Keeper(Protocol):
    """Where answers lie: `CompletionCache`."""

    flights: Flights
    counter: Counter

    def put(self, key: str, entry: CachedAnswer) -> bool:
        """Store an answer; return False when that did not work."""

    def namespace_of(self, labels: Labels | None = None) -> str:
        """Return the namespace of a call, for people."""


class Visit:
    """What the cache knows of a request; a context manager around asking the model.

    With an answer *found*, nothing is to be asked. Otherwise the block asks, and calls `keep` with
    an answer that others may have. Leaving the block lets those go on who wait for it.

    Attributes:
        found: the answer, if there is one.
    """

    def __init__(
        self,
        keeper: Keeper | None = None,
        key: str = "",
        found: CachedAnswer | None = None,
        *,
        leads: bool = False,
    ) -> None:
        self.found = found
        self._keeper = keeper
        self._key = key
        self._leads = leads
        self._kept = False

    @property
    def stores(self) -> bool:
        """Whether an answer is wanted."""
        return self._keeper is not None and self.found is None

    def keep(self, entry: CachedAnswer, labels: Labels) -> None:
        """Store the answer to a call of these labels. Never raises."""
        if self._keeper is not None:
            entry = replace(entry, namespace=self._keeper.namespace_of(labels))
            self._kept = self._keeper.put(self._key, entry)

    def skip(self, reason: str) -> None:
        """Count an answer that is not stored."""
        if self._keeper is not None:
            self._keeper.counter.skip(reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._leads and self._keeper is not None:
            self._leads = False
            # Who failed hands over to one of those who wait; an answer that cannot be shared tells
            # all of them to ask themselves.
            self._keeper.flights.release(self._key, shared=self._kept or error is not None)


Steps = Generator[float, None, Visit]
"""Yields how many seconds to wait; returns the visit."""


def run(steps: Generator[float, None, _T]) -> _T:
    """Make a visit, waiting with the thread."""
    while True:
        try:
            pause = next(steps)
        except StopIteration as done:
            found: _T = done.value
            return found
        time.sleep(pause)


async def arun(steps: Generator[float, None, _T]) -> _T:
    """Make a visit, waiting by awaiting."""
    while True:
        try:
            pause = next(steps)
        except StopIteration as done:
            found: _T = done.value
            return found
        await asyncio.sleep(pause)


def pauses() -> Generator[float]:
    """Yield ever longer pauses, in seconds."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * _LONGER, _LONGEST_PAUSE)
