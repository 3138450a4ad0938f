"""Generators that run in a context of their own."""

from collections.abc import Generator
from contextvars import Context
from typing import TypeVar

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
