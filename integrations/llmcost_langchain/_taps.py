"""Stands between LangChain's embeddings and compressors and the clients that send for them.

LangChain throws away what providers report of embeddings and reranks; only the client has seen it.
The user's object is left alone: a shallow copy of it is given a client that tells of each request.
"""

import copy
from typing import Final, TypeVar

from llmcost_plugins.listening import Listener, listened
from llmcost_plugins.taps import Tap

_HOLDERS: Final = ("client", "async_client", "_client", "_aclient", "_async_client")
"""Where packages keep the client of their provider's SDK."""

T = TypeVar("T")


def tapped(component: T, methods: frozenset[str], listener: Listener) -> T | None:
    """Return a shallow copy whose clients tell of each request; `None` if it has no such client.

    Args:
        component: an embeddings or compressor object; it is not changed.
        methods: the names of the methods that send.
        listener: who is told.
    """
    found = {
        name: client
        for name in _HOLDERS
        if (client := getattr(component, name, None)) is not None
        and any(callable(getattr(client, method, None)) for method in methods)
    }
    if not found:
        return None
    other = copy.copy(component)
    for name, client in found.items():
        # Not by `setattr`: the class may be frozen, or check what is assigned. Here is where even a
        # private attribute of pydantic is looked for first.
        other.__dict__[name] = Tap(client, methods, listened(listener))
    return other
