"""Who records a call that several of ours see: the innermost, which knows most."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from llmcost_plugins.calls import OpenCall
from llmcost_plugins.raw.books import Books


class Frame:
    """A decorated function that runs.

    Attributes:
        books: where it records.
        opened: what it holds, until someone within it records.
        gave_way: whether someone within it has recorded.
    """

    __slots__ = ("books", "gave_way", "opened", "outer")

    def __init__(self, books: Books, opened: OpenCall | None) -> None:
        self.books = books
        self.opened = opened
        self.gave_way = False
        self.outer = _current.get()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be the innermost one meanwhile."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def give_way(self) -> None:
        """Give back what is held: the call is recorded further within."""
        self.gave_way = True
        if self.opened is not None:
            self.opened.release()


_current: Final[ContextVar[Frame | None]] = ContextVar("llmcost_frame", default=None)


def take_over(books: Books, frame: Frame | None = None) -> None:
    """Record in the place of the frames around this one, those of the same tracker."""
    outer = _current.get() if frame is None else frame.outer
    while outer is not None:
        if outer.books is books:
            outer.give_way()
        outer = outer.outer
