"""Stands between LangChain's embeddings and compressors and the clients that send for them.

LangChain throws away what providers report of embeddings and reranks; only the client has seen it.
The user's object is left alone: a shallow copy of it is given a client that tells of each request.
"""

import copy
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

from llmcost_plugins.calls import OpenCall

_HOLDERS: Final = ("client", "async_client", "_client", "_aclient", "_async_client")
"""Where packages keep the client of their provider's SDK."""
_RAW: Final = "with_raw_response"
"""The same methods, for an answer that is not parsed yet, in OpenAI's SDK."""

T = TypeVar("T")


class Listener(Protocol):
    """Who is told of each request of a client."""

    def open(self, arguments: Mapping[str, Any]) -> OpenCall:
        """Hold for a request; what is raised stops it."""

    async def aopen(self, arguments: Mapping[str, Any]) -> OpenCall:
        """Do what `open` does, and wait by awaiting."""

    def close(self, opened: OpenCall, answer: object, arguments: Mapping[str, Any]) -> None:
        """Settle an answered request. Never raises."""

    def fail(self, opened: OpenCall, error: BaseException) -> None:
        """Settle a request that failed or was broken off. Never raises."""


class Tap:
    """A client that tells a listener of what some of its methods send.

    Args:
        client: the client.
        methods: the names of the methods that send.
        listener: who is told.
    """

    def __init__(self, client: object, methods: frozenset[str], listener: Listener) -> None:
        self._client = client
        self._methods = methods
        self._listener = listener

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name == _RAW:
            return Tap(found, self._methods, self._listener)
        if name not in self._methods:
            return found
        return self._awaited(found) if inspect.iscoroutinefunction(found) else self._called(found)

    def _called(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def send(*args: Any, **kwargs: Any) -> Any:
            arguments = _named(method, args, kwargs)
            opened = self._listener.open(arguments)
            try:
                answer = method(*args, **kwargs)
            except BaseException as error:
                self._listener.fail(opened, error)
                raise
            if inspect.isawaitable(answer):  # an asynchronous method behind a plain wrapper
                return self._finished(opened, answer, arguments)
            self._listener.close(opened, answer, arguments)
            return answer

        return send

    def _awaited(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def send(*args: Any, **kwargs: Any) -> Any:
            arguments = _named(method, args, kwargs)
            opened = await self._listener.aopen(arguments)
            return await self._finished(opened, method(*args, **kwargs), arguments)

        return send

    async def _finished(
        self, opened: OpenCall, answering: Awaitable[T], arguments: Mapping[str, Any]
    ) -> T:
        try:
            answer = await answering
        except BaseException as error:
            self._listener.fail(opened, error)
            raise
        self._listener.close(opened, answer, arguments)
        return answer


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
        other.__dict__[name] = Tap(client, methods, listener)
    return other


def _named(
    method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments by name."""
    if not args:
        return dict(kwargs)
    try:
        bound = inspect.signature(method).bind(*args, **kwargs)
    except (TypeError, ValueError):  # of no use to us, and for the method itself to refuse
        return dict(kwargs)
    return {**bound.arguments, **bound.arguments.get("kwargs", {})}
