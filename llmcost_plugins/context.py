"""Carrying labels, budgets of blocks and the running framework's context into plain threads."""

from collections.abc import Callable
from contextvars import copy_context
from functools import wraps
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


def in_context(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return *function* so that it runs in the context of this place, in whatever thread.

    A thread pool of the standard library starts without context, so that calls made there belong
    to no `attribute` or `CostTracker.budget` block and to no run. ``pool.map(in_context(work),
    items)`` mends that, for several threads at once too. Changes that *function* makes to context
    variables stay its own.

    Args:
        function: a synchronous function; an async one takes its context from its task.
    """
    here = copy_context()

    @wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        # A copy for each call: one context cannot be entered twice at the same time.
        return here.copy().run(function, *args, **kwargs)

    return run
