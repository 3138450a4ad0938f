"""Streams handed on from one model to the caller of another, in the context that they began in."""

from collections.abc import Awaitable, Callable, Generator, Iterator
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


def in_context(context: Context, items: Generator[T]) -> Generator[T]:
    """Yield what a generator yields, while it runs in a context of its own.

    So a stream has the labels of where it was asked for, wherever it is read, and what it sets does
    not leak into whoever reads it.
    """
    try:
        while True:
            try:
                item = context.run(next, items)
            except StopIteration:
                return
            yield item
    finally:
        context.run(items.close)


async def close_stream(stream: Any) -> None:
    """Close an asynchronous stream, if it can be."""
    close: Callable[[], Awaitable[Any]] | None = getattr(stream, "aclose", None)
    if close is not None:
        await close()


def close_iterator(stream: Iterator[Any]) -> None:
    """Close a stream, if it can be."""
    close: Callable[[], Any] | None = getattr(stream, "close", None)
    if close is not None:
        close()
